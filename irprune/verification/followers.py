"""Attributes that spell a size out (``group``, ``num_groups``, ``split``), counted again from the masks of the plan.

The signature says which size an attribute spells out, and :mod:`.masks` counts what stays of it. This shares no code
with the rewriter, so it finds attributes that the rewriter leaves as they were, also in branches that no run reaches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from ..analysis import Analysis, Mask, MatchedNode
from ..frontends.scopes import proto_scopes, qualified
from ..signatures import Follower, SizeOf
from .masks import dimension_mask, loses


def check_followers(analysis: Analysis, kept: Mapping[int, Mask], graph: onnx.GraphProto) -> Iterator[str]:
    """Compare the attributes of a pruned graph whose sizes lose something with the sizes of what stays.

    View chains are left out: other nodes may stand for them.
    """
    nodes = _by_result(graph)
    in_chains = {name for region in analysis.coupling.regions for name in region.nodes}
    for matched in analysis.coupling.matched.values():
        result = next((name for name in matched.node.outputs if name), "")
        node = nodes.get(result)
        if node is None or matched.node.name in in_chains:
            continue
        for name, follower in matched.signature.attributes.items():
            entries = follower if isinstance(follower, tuple) else (follower,)
            if not any(_changes(matched, entry, kept) for entry in entries):
                continue
            expected = [_count(matched, entry, kept) for entry in entries]
            got = _numbers(node, name)
            if len(got) != len(expected) or any(e not in (None, g) for e, g in zip(expected, got, strict=True)):
                wanted = ", ".join("any" if count is None else str(count) for count in expected)
                yield (
                    f"the node that makes '{result}': attribute '{name}' of {node.op_type} spells a size out, the plan "
                    f"leaves {wanted}, got {', '.join(map(str, got)) or 'none'}"
                )


def _by_result(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Nodes by their first result with its scope; rewritten nodes of a body have the scope in the name already."""
    found: dict[str, onnx.NodeProto] = {}
    for scope, body in proto_scopes(graph):
        for node in body.node:
            name = next((name for name in node.output if name), "")
            found[name if scope and name.startswith(f"{scope}/") else qualified(scope, name)] = node
    return found


def _changes(matched: MatchedNode, entry: Follower, kept: Mapping[int, Mask]) -> bool:
    return isinstance(entry, SizeOf) and loses(matched.dim(entry.term), kept)


def _count(matched: MatchedNode, entry: Follower, kept: Mapping[int, Mask]) -> int | None:
    """The number that an entry has to be; ``None`` for one that stays, or that a size at run time decides."""
    if not isinstance(entry, SizeOf):
        return entry
    try:
        return entry.sign * int(dimension_mask(matched.dim(entry.term), kept, {}).sum())
    except KeyError:
        return None


def _numbers(node: onnx.NodeProto, name: str) -> list[int]:
    for attribute in node.attribute:
        if attribute.name == name:
            return list(attribute.ints) if attribute.type == onnx.AttributeProto.INTS else [attribute.i]
    return []
