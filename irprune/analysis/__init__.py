"""From a graph to atoms and groups: which channels can only be removed together, and why some cannot be."""

from .atoms import Atoms, Mask, find_atoms, kept_indices, kept_mask
from .coupling import Bound, Coupling, couple
from .groups import Analysis, Cost, CostModel, Group, Member, Parameter, analyse
from .views import Region

__all__ = [
    "Analysis",
    "Atoms",
    "Bound",
    "Cost",
    "CostModel",
    "Coupling",
    "Group",
    "Mask",
    "Member",
    "Parameter",
    "Region",
    "analyse",
    "couple",
    "find_atoms",
    "kept_indices",
    "kept_mask",
]
