"""From a plan to the smaller graph."""

from .recipe import Smaller, decide, replay
from .slicing import remove_atoms

__all__ = ["Smaller", "decide", "remove_atoms", "replay"]
