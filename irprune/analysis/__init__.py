"""From a graph to atoms and groups: which channels can only be removed together, and why some cannot be."""

from .atoms import Atoms, Mask, find_atoms, kept_indices, kept_mask, orders_of
from .cost import Cost, CostModel
from .coupling import Coupling, MatchedNode, couple
from .groups import Analysis, Group, Member, analyze
from .parameters import Parameter
from .shuffles import Shuffled
from .views import Region, Resizing

__all__ = [
    "Analysis",
    "Atoms",
    "Cost",
    "CostModel",
    "Coupling",
    "Group",
    "Mask",
    "MatchedNode",
    "Member",
    "Parameter",
    "Region",
    "Resizing",
    "Shuffled",
    "analyze",
    "couple",
    "find_atoms",
    "kept_indices",
    "kept_mask",
    "orders_of",
]
