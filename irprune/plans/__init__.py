"""Plans: what to remove, decided once, reviewable, replayable."""

from .document import FORMAT, Plan, Slice, removed_atoms
from .planner import make_plan
from .sequence import RemovalOrder

__all__ = ["FORMAT", "Plan", "RemovalOrder", "Slice", "make_plan", "removed_atoms"]
