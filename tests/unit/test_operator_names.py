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
    "irprune/ir/integers.py": "shape arithmetic: what an operator computes from integers",
    "irprune/ir/ramps.py": "shape arithmetic: what an operator makes of ranges",
    "irprune/analysis/views.py": "shape arithmetic: where a chain of views puts each element",
    "irprune/torch/capture/module.py": "capture: one rule an operator for its normal form",
    "irprune/rewriting/identities.py": "folding: one rule an operator for when it changes nothing",
    "irprune/rewriting/batchnorm.py": "folding: the equation of a normalization behind a product",
    "irprune/torch/importer/functions.py": "importer: an operator as plain PyTorch calls",
    "irprune/torch/importer/layout.py": "importer: functions that two operators share",
    "irprune/torch/importer/microsoft.py": "importer: the activations that a fused operator names",
    "irprune/torch/importer/module.py": "importer: the element types of shape arithmetic",
    "irprune/torch/importer/quantized.py": "importer: a pair of operators that becomes one call",
    "irprune/torch/importer/recurrent.py": "importer: gates and activations of the recurrent operators",
    "irprune/torch/importer/shapes.py": "importer: shape arithmetic at run time",
}
"""Modules that compute what operators compute: each has its table of functions, one line an operator."""

WRITERS = {
    "irprune/rewriting/slicing.py": (
        "writes lookups and arithmetic of sizes into the smaller graph, and fixes the sizes in those that are there",
        {"Add", "Concat", "Div", "Gather", "Identity", "Mod", "Mul", "Slice", "irprune::sizes"},
    ),
    "irprune/backends/fx.py": (
        "writes as ATen calls what the rewriter adds",
        {"Add", "Concat", "Div", "Gather", "Identity", "Mod", "Mul", "Slice"},
    ),
    "irprune/frontends/branches.py": (
        "writes a copy where a branch that is always taken hands a value out",
        {"Identity"},
    ),
    "irprune/verification/reference.py": (
        "writes masks around the nodes of the original",
        {"Cast", "Gather", "Mul", "Pad", "Where"},
    ),
    "irprune/verification/rounding.py": (
        "writes a saturation in the place of a quantization and its inverse, and moves numbers as integers were",
        {"DequantizeLinear", "Identity", "Max", "Min", "Pad", "QuantizeLinear", "Resize"},
    ),
}
"""Modules that write nodes, with the names of what they write or replace."""

OTHER_MEANINGS = {
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


def named_in(path: str, code: str | None = None) -> set[str]:
    """The operators that a module names, one by one or several to a string."""
    tree = ast.parse((ROOT / path).read_text() if code is None else code)
    found = _of(literals(tree), onnx_names())
    if reads_torch(tree):
        found |= _of(compared(tree), aten_names()) | _of(literals(tree), aten_names(), least=2)
    return found


def _of(texts: Iterator[str], names: set[str], least: int = 1) -> set[str]:
    lists = (text.replace(",", " ").split() for text in texts)
    return {word for words in lists if len(words) >= least and names.issuperset(words) for word in words}


@pytest.mark.parametrize("path", [path for path in modules() if path not in EVALUATORS])
def test_no_module_beside_the_tables_and_the_evaluators_names_operators(path: str) -> None:
    _, allowed = {**WRITERS, **OTHER_MEANINGS}.get(path, ("", set()))
    assert named_in(path) == allowed, "make it a trait of the operator's entry (irprune/signatures/traits.py)"


@pytest.mark.parametrize("path", [*EVALUATORS, *WRITERS, *OTHER_MEANINGS])
def test_what_may_name_operators_does(path: str) -> None:
    assert named_in(path)


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
    ],
)
def test_a_fact_outside_the_tables_is_found(path: str, code: str, expected: set[str]) -> None:
    assert named_in(path, code) == expected
