"""Adjust remaining weights to make up for removed ones."""
