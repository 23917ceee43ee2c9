"""Facts about operators stand in the tables: no other module decides by an operator's name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from irprune.frontends.aten import TABLE
from irprune.signatures import OPERATORS

ROOT = Path(__file__).parents[2]

TABLES = {"irprune/signatures", "irprune/frontends/aten.py", "irprune/frontends/aten_calls.py"}

EVALUATORS = {
    "irprune/ir/integers.py": ("shape arithmetic: what an operator computes from integers", {"_OPERATORS"}),
    "irprune/ir/ramps.py": ("shape arithmetic: what an operator makes of ranges", {"_RULES"}),
    "irprune/analysis/views.py": ("shape arithmetic: where a chain of views puts each element", {"_RULES"}),
    "irprune/torch/capture/meta_rules.py": ("capture: the shapes of results", {"_RULES", "_WHOLE_RULES"}),
    "irprune/torch/capture/module.py": ("capture: the normal form of a call", {"_NORMAL"}),
    "irprune/rewriting/identities.py": ("folding: when an operator changes nothing", {"IDENTITIES"}),
    "irprune/rewriting/batchnorm.py": ("folding: how an operator takes a scale per channel", {"_SCALED"}),
    "irprune/verification/drawn.py": ("verification: fixed numbers for random ones", {"_DRAWS"}),
    "irprune/trees/operators.py": ("trees: how an operator stores an ensemble", {"CODECS"}),
    "irprune/torch/importer/functions.py": ("importer: an operator as plain PyTorch calls", {"FUNCTIONS"}),
    "irprune/torch/importer/microsoft.py": ("importer: the activations that a fused operator names", {"_ACTIVATIONS"}),
    "irprune/torch/importer/recurrent.py": ("importer: the activations of PyTorch's cells", {"_CELLS"}),
    "irprune/torch/importer/shapes.py": ("importer: shape arithmetic at run time", {"_RULES"}),
}
"""Modules that compute what operators compute, with their tables of functions, one line an operator.

Outside of these tables such a module names operators no more than others do.
"""

WRITERS = {
    "irprune/verification/drawn.py": (
        "writes what makes fixed numbers in the shape of a value",
        {
            *("Add", "Cast", "Floor", "Less", "Mul"),
            *("Range", "Reshape", "Shape", "Size", "Sub"),
        },
    ),
    "irprune/calibration/flat.py": ("stands for what a branch yields", {"Identity"}),
    "irprune/rewriting/slicing.py": (
        "writes lookups and arithmetic of sizes into the smaller graph, and fixes the sizes in those that are there",
        {"Add", "Concat", "Div", "Gather", "Identity", "Mod", "Mul", "Slice", "irprune::sizes"},
    ),
    "irprune/backends/fx.py": (
        "writes as ATen calls what the rewriter adds",
        {"Add", "Concat", "Div", "Gather", "Identity", "Mod", "Mul", "Slice"}
        | {
            f"aten.{name}"
            for name in ["add", "cat", "floor_divide", "index", "index_select", "mul", "remainder", "slice"]
        },
    ),
    "irprune/torch/reference.py": (
        "writes masks around the calls of the original",
        {"aten.index_select", "aten.where"},
    ),
    "irprune/torch/capture/module.py": (
        "writes calls in their normal form",
        {
            *(
                "aten.flatten",
                "aten.reshape",
                "aten.split_with_sizes",
            ),
            *("aten.squeeze", "aten.sym_size", "aten.transpose", "aten.unflatten", "aten.unsafe_split_with_sizes"),
        },
    ),
    "irprune/torch/capture/decompositions.py": (
        "writes operators as others where PyTorch has no such definition",
        {"aten.select_scatter", "aten.slice_scatter"},
    ),
    "irprune/torch/capture/recording.py": (
        "records calls that PyTorch makes for its own bookkeeping as other calls",
        {"aten.detach", "aten.detach_", "aten.lift_fresh", "aten.lift_fresh_copy"},
    ),
    "irprune/torch/capture/recurrent.py": (
        "writes one call a layer, and reads the selection of a layer's last state",
        {"aten.cat", "aten.dropout", "aten.select", "aten.slice"},
    ),
    "irprune/frontends/branches.py": (
        "writes a copy where a branch that is always taken hands a value out",
        {"Identity"},
    ),
    "irprune/runtime/inner.py": (
        "hands values out of bodies",
        {"Identity"},
    ),
    "irprune/verification/reference.py": (
        "writes masks around the nodes of the original",
        {"Cast", "Gather", "Mul", "Pad", "Where"},
    ),
    "irprune/verification/branches.py": ("multiplies a branch by zero", {"Mul"}),
    "irprune/verification/rounding.py": (
        "writes a saturation in the place of a quantization and its inverse, and moves numbers as integers were",
        {"DequantizeLinear", "Identity", "Max", "Min", "Pad", "QuantizeLinear", "Resize"},
    ),
}
"""Modules that write nodes, with the names of what they write or replace."""

OTHER_MEANINGS = {
    "irprune/torch/capture/meta_rules.py": ("a layout in memory", {"contiguous"}),
    "irprune/torch/importer/layout.py": (
        "values of the attributes reduction, mode and padding_mode",
        {"add", "linear", "max", "min", "mode", "mul", "zeros"},
    ),
    "irprune/torch/importer/elements.py": ("the attributes of Clip", {"max", "min"}),
    "irprune/torch/training.py": ("the name of a schedule", {"linear"}),
    "irprune/torch/exporting/expressions.py": (
        "functions of sympy that sizes are written with",
        {"Abs", "Add", "And", "Identity", "Max", "Min", "Mod", "Mul", "Not", "Or", "Pow", "Where"},
    ),
}

STORED = {"Constant"}
"""A Constant node is how a file stores a tensor: the frontends make a constant of it, as of an initializer."""


def onnx_names() -> set[str]:
    """As ONNX and com.microsoft call operators, with and without the domain."""
    own = {name for name in OPERATORS if not name.startswith("aten::")}
    schemas = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    return (schemas | own | {name.partition("::")[2] for name in own if name.startswith("com.")}) - STORED


def aten_names() -> set[str]:
    own = {name for name in OPERATORS if name.startswith("aten::")}
    return own | {key.partition(".")[0] for key in TABLE}


def modules() -> list[str]:
    files = [*(ROOT / "irprune").rglob("*.py"), *(ROOT / "passes").glob("*.py")]
    paths = {path.relative_to(ROOT).as_posix() for path in files if "passes" not in path.relative_to(ROOT).parts[1:]}
    return sorted(path for path in paths if not any(path.startswith(table) for table in TABLES))


def literals(tree: ast.Module) -> Iterator[str]:
    """Strings of a module that are neither documentation nor names that it exports."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        exports = isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]
        if exports:
            skipped |= {id(part) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def compared(tree: ast.Module) -> Iterator[str]:
    """Strings that values are compared with or looked up by: in sets, keys of dictionaries and comparisons."""
    for node in ast.walk(tree):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = list(node.keys)
        elif isinstance(node, (ast.Set, ast.Tuple, ast.List)):
            parts = list(node.elts)
        for part in parts:
            for inner in ast.walk(part) if part is not None else ():
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.value


def reads_torch(tree: ast.Module) -> bool:
    """Whether a module may meet ATen operators, whose names are words like any other."""
    imports = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imports |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return "torch" in {name.partition(".")[0] for name in imports}


def objects(tree: ast.Module) -> Iterator[str]:
    """Operators that a module names as objects: ``torch.ops.aten.cat``, also under another name of the namespace."""
    spaces = {"torch.ops.aten"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in spaces:
            spaces |= {ast.unparse(target) for target in node.targets}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in spaces:
            yield f"aten.{node.attr}"


def named_in(path: str, code: str | None = None) -> set[str]:
    """The operators that a module names outside of its tables, one by one or several to a string, or as objects."""
    tree = ast.parse((ROOT / path).read_text() if code is None else code)
    _, tables = EVALUATORS.get(path, ("", set()))
    tree.body = [statement for statement in tree.body if not tables & _assigned(statement)]
    found = _of(literals(tree), onnx_names()) | set(objects(tree))
    if reads_torch(tree):
        found |= _of(compared(tree), aten_names()) | _of(literals(tree), aten_names(), least=2)
    return found


def _assigned(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.AnnAssign):
        return {ast.unparse(statement.target)}
    return {ast.unparse(target) for target in statement.targets} if isinstance(statement, ast.Assign) else set()


def _of(texts: Iterator[str], names: set[str], least: int = 1) -> set[str]:
    lists = (text.replace(",", " ").split() for text in texts)
    return {word for words in lists if len(words) >= least and names.issuperset(words) for word in words}


@pytest.mark.parametrize("path", modules())
def test_no_module_beside_the_tables_names_operators(path: str) -> None:
    _, allowed = {**WRITERS, **OTHER_MEANINGS}.get(path, ("", set()))
    assert named_in(path) == allowed, "make it a trait of the operator's entry (irprune/signatures/traits.py)"


@pytest.mark.parametrize(
    ("path", "table"), [(path, table) for path, (_, found) in EVALUATORS.items() for table in sorted(found)]
)
def test_the_table_of_an_evaluator_names_operators(path: str, table: str) -> None:
    body = ast.parse((ROOT / path).read_text()).body
    (statement,) = (statement for statement in body if table in _assigned(statement))
    tree = ast.Module([statement], [])
    names = onnx_names() | aten_names() | {"_ATEN"}
    assert _of(literals(tree), names) or _of((n.id for n in ast.walk(tree) if isinstance(n, ast.Name)), names)


@pytest.mark.parametrize(
    ("path", "code", "expected"),
    [
        ("irprune/scoring.py", 'if node.op == "BatchNormalization": pass', {"BatchNormalization"}),
        (
            "irprune/scoring.py",
            '_THROUGH = frozenset("Cast Reshape Identity".split())',
            {"Cast", "Reshape", "Identity"},
        ),
        ("irprune/scoring.py", '"""Cast"""\n__all__ = ["Size"]', set()),
        ("irprune/scoring.py", 'raise ValueError("Size matters")', set()),
        ("irprune/scoring.py", 'node.qualified_op in {"com.microsoft::QGemm"}', {"com.microsoft::QGemm"}),
        ("irprune/frontends/effects.py", 'import torch; _VIEWS = {"reshape", "lift"}', {"reshape", "lift"}),
        ("irprune/frontends/effects.py", 'import torch; _VIEWS = "reshape lift".split()', {"reshape", "lift"}),
        ("irprune/scoring.py", 'kind = {"linear": 1}', set()),
        ("irprune/torch/api.py", "_OPS = torch.ops.aten\n_SAME = {_OPS.relu.default}", {"aten.relu"}),
        ("irprune/torch/api.py", "if target is torch.ops.aten.cat.default: pass", {"aten.cat"}),
        ("irprune/rewriting/batchnorm.py", '_SCALED = {"Conv": 1}\nif node.op == "Gemm": pass', {"Gemm"}),
    ],
)
def test_a_fact_outside_the_tables_is_found(path: str, code: str, expected: set[str]) -> None:
    assert named_in(path, code) == expected
