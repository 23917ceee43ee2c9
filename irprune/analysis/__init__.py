"""From a graph to atoms and groups: which channels can only be removed together, and why some cannot be."""

from .atoms import Atoms, Mask, find_atoms, kept_indices, kept_mask
from .cost import Cost, CostModel
from .coupling import Coupling, MatchedNode, couple
from .groups import Analysis, Group, Member, analyze
from .learned import Parameter
from .views import Region

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
    "analyze",
    "couple",
    "find_atoms",
    "kept_indices",
    "kept_mask",
]
