"""Node data of Model Explorer: numbers by node, which color the nodes of a graph that is open there.

One file holds one kind of number (``GraphNodeData``: ``results`` by node, a ``gradient`` of colors from the smallest to
the largest). Keys are ids of nodes, or names of their outputs. Source: ``node_data_builder.py`` of
google-ai-edge/model-explorer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

_RISING = ("#ffffff", "#b3261e")
_FALLING = ("#b3261e", "#ffffff")


def node_data(name: str, values: Mapping[str, float], *, falling: bool = False) -> str:
    """A file of node data; with ``falling`` the smallest number has the strongest color."""
    low, high = _FALLING if falling else _RISING
    gradient = [{"stop": 0, "bgColor": low}, {"stop": 1, "bgColor": high}]
    results = {key: {"value": float(f"{value:.6g}")} for key, value in values.items()}
    return json.dumps({"name": name, "results": results, "gradient": gradient}, indent=1) + "\n"
