"""Plans: what to remove, decided once, reviewable, replayable."""

from .document import FORMAT, Plan, Slice, removed_atoms
from .planner import Request, make_plan
from .sequence import RemovalOrder

__all__ = ["FORMAT", "Plan", "RemovalOrder", "Request", "Slice", "make_plan", "removed_atoms"]
