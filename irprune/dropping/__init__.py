"""Depth: residual branches are taken out whole, so that a sum becomes its other summand."""
