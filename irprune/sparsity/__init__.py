"""Zeros inside of weights: single ones, N of every M, or blocks. The graph and all shapes stay as they are."""
