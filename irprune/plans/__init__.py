"""Plans: what to remove, decided once, reviewable, replayable."""

from ..allocation.sequence import RemovalOrder
from .document import FORMAT, UNIDENTIFIED, ModelIdentity, Plan, PlannedGroup, Slice, costs, removed_atoms, schema
from .planner import make_plan, planned_groups

__all__ = [
    "FORMAT",
    "UNIDENTIFIED",
    "ModelIdentity",
    "Plan",
    "PlannedGroup",
    "RemovalOrder",
    "Slice",
    "costs",
    "make_plan",
    "planned_groups",
    "removed_atoms",
    "schema",
]
