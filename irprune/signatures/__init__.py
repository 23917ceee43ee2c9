"""Axis signatures: one line an operator, from which coupling, slicing, cost and reference models are derived."""

from . import aten_ops as _aten_ops  # these four fill the table
from . import microsoft_ops as _microsoft_ops
from . import onnx_ops as _onnx_ops
from . import qonnx_ops as _qonnx_ops
from .grammar import (
    Composite,
    ElementMap,
    Flags,
    Follower,
    Grid,
    Indices,
    Name,
    Notation,
    Renumber,
    Restride,
    Signature,
    SizeOf,
    Star,
    Term,
    Unit,
    Unknown,
    names_of,
    parse_notation,
    signature,
    term,
)
from .registry import OPERATORS, NoSignature, Operator, Rule, RuleContext, register, signature_of, traits_of
from .traits import EVERY, Integers, Traits

__all__ = [
    "EVERY",
    "OPERATORS",
    "Composite",
    "ElementMap",
    "Flags",
    "Follower",
    "Grid",
    "Indices",
    "Integers",
    "Name",
    "NoSignature",
    "Notation",
    "Operator",
    "Renumber",
    "Restride",
    "Rule",
    "RuleContext",
    "Signature",
    "SizeOf",
    "Star",
    "Term",
    "Traits",
    "Unit",
    "Unknown",
    "names_of",
    "parse_notation",
    "register",
    "signature",
    "signature_of",
    "term",
    "traits_of",
]

del _aten_ops, _microsoft_ops, _onnx_ops, _qonnx_ops
