"""The text form of a graph: deterministic, line oriented, and it parses back.

::

    graph "main" opsets {"": 20}
    input "x": float32[batch, 3, 8, 8]
    output "y"
    const "w": float32[4, 3, 1, 1]
    const "shape": int64[2] = [0, -1]
    node "conv" Conv("x", "w") -> ("h": float32[batch, 4, 8, 8]) {"group": 1}

Names are JSON strings. Integer constants of at most 64 elements are written out; other data stays where it is, so
a parsed graph has the structure and the shapes of the original but not its weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

import numpy as np

from ..errors import InputError
from .core import Attribute, Constant, Dim, Graph, Node, Opaque, Value
from .dtypes import is_float, is_native
from .sizes import read_symbol

_INLINE_LIMIT = 64
_STRING = r'"(?:[^"\\]|\\.)*"'
_TYPED = re.compile(rf"({_STRING})(?:: (\S+?)(\[.*?\])?)?(?= = |\)|, \"|$)")


def render(graph: Graph, annotate: Callable[[str], str] | None = None) -> str:
    """The text of ``graph``. ``annotate`` maps a value name to a trailing comment line (``""`` for none)."""

    def note(*names: str) -> list[str]:
        return [f"  # {text}" for name in names if annotate and (text := annotate(name))]

    lines = [f"graph {_quote(graph.name)} opsets {json.dumps(dict(graph.opsets), sort_keys=True)}"]
    for name in graph.inputs:
        lines += [f"input {_typed(graph, name)}", *note(name)]
    lines += [f"output {_quote(name)}" for name in graph.outputs]
    for name in sorted(graph.constants):
        lines += [f"const {_typed(graph, name)}{_inline(graph.constants[name])}", *note(name)]
    for node in graph.nodes:
        lines += [_render_node(graph, node), *note(*(name for name in node.outputs if name))]
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    return json.dumps(text)


def _typed(graph: Graph, name: str) -> str:
    value = graph.values.get(name)
    if value is None or value.dtype is None:
        return _quote(name)
    if value.shape is None:
        return f"{_quote(name)}: {value.dtype}"
    dims = ", ".join("?" if dim is None else str(dim) for dim in value.shape)
    return f"{_quote(name)}: {value.dtype}[{dims}]"


def _inline(constant: Constant) -> str:
    if (
        constant.read is None
        or constant.size > _INLINE_LIMIT
        or not is_native(constant.dtype)
        or is_float(constant.dtype)
    ):
        return ""
    return f" = {json.dumps(constant.numpy().tolist())}"


def _render_node(graph: Graph, node: Node) -> str:
    outputs = ", ".join(_typed(graph, name) for name in node.outputs)
    attributes = json.dumps({k: _encode(v) for k, v in sorted(node.attributes.items())})
    inputs = ", ".join(map(_quote, node.inputs))
    head = f"node {_quote(node.name)} {node.qualified_op}({inputs}) -> ({outputs}) {attributes}"
    return " ".join([head, *_render_fields(node)])


def _render_fields(node: Node) -> list[str]:
    """The fields of a node besides its attributes, in the order in which ``_NODE`` reads them."""
    fields = [
        (bool(node.captures), f"captures {json.dumps(list(node.captures))}"),
        (bool(node.yields), f"yields {node.yields}"),
        (bool(node.entry_of), f"entry of {_quote(node.entry_of)}"),
        (node.mutated, "mutated"),
        (node.writes, "writes"),
        (bool(node.refusal), f"refused {_quote(node.refusal)}"),
    ]
    return [text for is_set, text in fields if is_set]


def _encode(value: Attribute) -> object:
    if isinstance(value, Opaque):
        return {"opaque": value.kind}
    if isinstance(value, Constant):
        inline = value.numpy().tolist() if _inline(value) else None
        return {"tensor": value.dtype, "shape": list(value.shape), "data": inline}
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return list(value) if isinstance(value, tuple) else value


def _decode(value: object) -> Attribute:
    if isinstance(value, dict):
        if "opaque" in value:
            return Opaque(value["opaque"])
        return _constant(value["tensor"], tuple(value["shape"]), value["data"])
    return tuple(value) if isinstance(value, list) else value  # type: ignore[return-value]


def _constant(dtype: str, shape: tuple[int, ...], data: object) -> Constant:
    if data is None:
        return Constant(dtype, shape)
    array = np.array(data, dtype=dtype).reshape(shape)
    return Constant(dtype, shape, lambda: array)


def parse(text: str) -> Graph:
    """Read what :func:`render` wrote. Raises :class:`InputError` with the line number for anything else."""
    name, opsets = "", {}
    inputs: list[str] = []
    outputs: list[str] = []
    nodes: list[Node] = []
    values: dict[str, Value] = {}
    constants: dict[str, Constant] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("  #", 1)[0].rstrip() if raw.startswith("  #") else raw.rstrip()
        if not line:
            continue
        keyword, _, rest = line.partition(" ")
        try:
            if keyword == "graph":
                quoted, _, table = rest.partition(" opsets ")
                name, opsets = json.loads(quoted), json.loads(table)
            elif keyword == "input":
                inputs.append(_read_typed(rest, values))
            elif keyword == "output":
                outputs.append(json.loads(rest))
            elif keyword == "const":
                typed, _, data = rest.partition(" = ")
                key = _read_typed(typed, values)
                shape = tuple(dim for dim in values[key].shape or () if isinstance(dim, int))
                constants[key] = _constant(values[key].dtype or "", shape, json.loads(data) if data else None)
            elif keyword == "node":
                nodes.append(_read_node(rest, values))
            else:
                raise ValueError(f"unknown keyword '{keyword}'")
        except (ValueError, KeyError) as error:
            raise InputError(f"line {number} of the IR text cannot be read: {error}") from error
    return Graph(name, tuple(inputs), tuple(outputs), tuple(nodes), values, constants, opsets)


def _read_typed(text: str, values: dict[str, Value]) -> str:
    match = _TYPED.match(text)
    if match is None:
        raise ValueError(f"expected a quoted name with an optional type, got {text!r}")
    name, dtype, dims = json.loads(match[1]), match[2], match[3]
    if name:
        values[name] = Value(name, dtype, None if dims is None else _read_dims(dims[1:-1]))
    return str(name)


def _read_dims(text: str) -> tuple[Dim, ...]:
    def read(item: str) -> Dim:
        if item == "?":
            return None
        return int(item) if item.isdigit() else read_symbol(item)

    return tuple(read(item) for item in text.split(", ")) if text else ()


_NODE = re.compile(
    rf"({_STRING}) (\S+?)\(((?:{_STRING}(?:, )?)*)\) -> \((.*?)\) (\{{.*\}})(?: captures (\[.*\]))?(?: yields (\d+))?"
    rf"(?: entry of ({_STRING}))?( mutated)?( writes)?(?: refused ({_STRING}))?$"
)


def _read_node(text: str, values: dict[str, Value]) -> Node:
    match = _NODE.match(text)
    if match is None:
        raise ValueError(f'expected: "name" Op(inputs) -> (outputs) {{attributes}}, got {text!r}')
    domain, _, op = match[2].rpartition("::")
    outputs: list[str] = []
    position = 0
    while position < len(match[4]):
        found = _TYPED.match(match[4], position)
        if found is None:
            raise ValueError(f"cannot read the outputs {match[4]!r}")
        outputs.append(_read_typed(found[0], values))
        position = found.end() + 2
    attributes: Mapping[str, Attribute] = {k: _decode(v) for k, v in json.loads(match[5]).items()}
    captures = tuple(json.loads(match[6])) if match[6] else ()
    inputs = tuple(json.loads(f"[{match[3]}]"))
    return Node(
        json.loads(match[1]),
        op,
        inputs,
        tuple(outputs),
        domain,
        attributes,
        captures,
        yields=int(match[7] or 0),
        entry_of=json.loads(match[8] or '""'),
        mutated=bool(match[9]),
        writes=bool(match[10]),
        refusal=json.loads(match[11] or '""'),
    )
