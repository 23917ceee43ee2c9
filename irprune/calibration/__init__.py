"""What a model does on data: the inputs of its contractions, and their second moments."""
