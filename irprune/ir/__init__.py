"""The graph IR: frozen values, nodes and graphs, neutral of any frontend."""

from .check import check
from .core import Attribute, Constant, Dim, FreshNames, Graph, Node, Opaque, Value, fresh_name
from .integers import Integers
from .ramps import Ramp, Ramps
from .sizes import Expression, Size, Unknown
from .text import parse, render

__all__ = [
    "Attribute",
    "Constant",
    "Dim",
    "Expression",
    "FreshNames",
    "Graph",
    "Integers",
    "Node",
    "Opaque",
    "Ramp",
    "Ramps",
    "Size",
    "Unknown",
    "Value",
    "check",
    "fresh_name",
    "parse",
    "render",
]
