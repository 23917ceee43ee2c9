"""Expressions of sizes in exported programs: their syntax alone is checked, and nothing is evaluated."""

from __future__ import annotations

import ast
import re

_LONGEST = 1 << 16
_LARGEST_POWER = 64
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)

_FUNCTIONS = frozenset(
    (
        *("Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "Max", "Min", "Abs", "sqrt", "log"),
        *("floor", "ceiling", "Piecewise", "ExprCondPair", "And", "Or", "Not", "Eq", "Ne", "Lt", "Le", "Gt", "Ge"),
        *("Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan"),
        *("FloorDiv", "CleanDiv", "CeilDiv", "IntTrueDiv", "FloatTrueDiv", "PythonMod", "ModularIndexing", "Where"),
        *("PowByNatural", "FloatPow", "LShift", "RShift", "CeilToInt", "FloorToInt", "TruncToInt", "TruncToFloat"),
        *("RoundToInt", "RoundDecimal", "ToFloat", "Identity", "IsNonOverlappingAndDenseIndicator"),
    )
)
"""Functions of sympy and of ``torch.utils._sympy.functions`` that size arithmetic is written with."""

_OPERATORS = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr),
    *(ast.USub, ast.UAdd, ast.Invert, ast.Not, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
    *(ast.Load, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.keyword),
)


def is_arithmetic(text: str) -> bool:
    """Whether a text is arithmetic of numbers and symbols, as sympy prints it or as its constructors spell it."""
    if len(text) > _LONGEST or not text.isascii():
        return False
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = {id(call.args[0]) for call in ast.walk(tree) if isinstance(call, ast.Call) and _is_text(call)}
    return all(_is_allowed(node, names) for node in ast.walk(tree))


def _is_text(call: ast.Call) -> bool:
    """``Symbol('s0', ...)`` and ``Float('1.5', ...)`` have text as their first argument."""
    first = call.args[0] if call.args else None
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str) and isinstance(call.func, ast.Name)):
        return False
    if call.func.id == "Symbol":
        return bool(_NAME.fullmatch(first.value))
    return call.func.id == "Float" and bool(re.fullmatch(r"-?[\d.]+(e[+-]?\d{1,3})?", first.value))


def _is_allowed(node: ast.AST, names: set[int]) -> bool:
    if isinstance(node, ast.Constant):
        return id(node) in names or type(node.value) in (int, float, bool)
    if isinstance(node, ast.Call):
        known = isinstance(node.func, ast.Name) and (
            node.func.id in _FUNCTIONS or node.func.id.startswith("OpaqueUnaryFn_")
        )
        return known and not _is_large_power(node)
    return isinstance(node, _OPERATORS) and not _is_large_power(node)


def _is_large_power(node: ast.AST) -> bool:
    """Whether a power of a number may have more digits than memory holds."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Pow) and not _is_small(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _POWERS:
        return len(node.args) < len(("base", "exponent")) or not _is_small(node.args[1])
    return False


_POWERS = ("Pow", "PowByNatural", "FloatPow", "LShift")


def _is_small(exponent: ast.expr) -> bool:
    if isinstance(exponent, ast.UnaryOp):
        return _is_small(exponent.operand)
    if isinstance(exponent, ast.Call) and isinstance(exponent.func, ast.Name):
        if exponent.func.id == "Symbol":
            return True
        return exponent.func.id in ("Integer", "Rational") and all(map(_is_small, exponent.args))
    if isinstance(exponent, ast.Constant):
        return isinstance(exponent.value, (int, float)) and abs(exponent.value) <= _LARGEST_POWER
    return isinstance(exponent, ast.Name)
