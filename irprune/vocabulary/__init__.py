"""Tokens that a language model does not need: rows of its embeddings, columns of its heads, lines of its tokenizer."""
