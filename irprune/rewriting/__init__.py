"""From a plan to the smaller graph."""

from .recipe import Smaller, analyzed, decide, replay
from .slicing import remove_atoms

__all__ = ["Smaller", "analyzed", "decide", "remove_atoms", "replay"]
