"""Depth: residual branches are taken out whole, so that a sum becomes its other summand."""

from .drop import carried_out, drop_blocks, graph_left, norm_scores, replay, without_branches
from .options import Depth

__all__ = ["Depth", "carried_out", "drop_blocks", "graph_left", "norm_scores", "replay", "without_branches"]
