"""Measure a model on data: the inputs of its contractions, and their second moments."""
