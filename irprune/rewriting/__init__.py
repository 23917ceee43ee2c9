"""From a plan to the smaller graph."""

from .recipe import Smaller, analyzed, carried_out, decide, replay
from .slicing import remove_atoms

__all__ = ["Smaller", "analyzed", "carried_out", "decide", "remove_atoms", "replay"]
