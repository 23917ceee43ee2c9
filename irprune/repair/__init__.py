"""Weights that make up for what was removed."""
