"""The JSON schema of a verification report: what :meth:`irprune.Report.as_json` gives.

Numbers that JSON lacks are texts: ``inf``, ``-inf`` and ``nan``. Fields that a later version adds are to be ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter
from typing_extensions import NotRequired, TypedDict

Number: TypeAlias = float | Literal["inf", "-inf", "nan"]
Share = Annotated[float, Field(ge=0, le=1)]


class StructureDocument(TypedDict):
    """The ONNX checker, and the comparison of every tensor and node.

    Tensors are unchanged (the original's or its slices, bit for bit), updated (with the digest of the plan), of values
    that the plan does not record, made (shapes and indices that the original lacks), or a problem.
    """

    ok: bool
    tensors: Annotated[int, Field(ge=0)]
    unchanged: NotRequired[Annotated[int, Field(ge=0)]]
    updated: NotRequired[Annotated[int, Field(ge=0)]]
    other_values: NotRequired[Annotated[int, Field(ge=0)]]
    made: NotRequired[Annotated[int, Field(ge=0)]]
    nodes: NotRequired[Annotated[int, Field(ge=0)]]
    rewritten: NotRequired[list[str]]
    problems: list[str]
    notes: list[str]


class OutputDocument(TypedDict):
    """The worst error of an output, relative to its scale, and the case in which it was found."""

    name: str
    dtype: str
    error: Number
    tolerance: float
    case: str
    noise: NotRequired[Number]


class NamedError(TypedDict):
    """The error of an output that decides nothing: of a quantized model with its roundings."""

    name: str
    error: Number


class DivergenceDocument(TypedDict):
    """The first tensor that differs from the reference."""

    tensor: str
    node: str
    error: Number


class DecisionsDocument(TypedDict):
    """The float values that decisions are made from: how many were compared, of how many, and their errors."""

    compared: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=0)]
    values: list[OutputDocument]


class CoverageDocument(TypedDict):
    """How many of the float values before the outputs were compared, themselves or in a value that shows them."""

    compared: Annotated[int, Field(ge=0)]
    shown: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=0)]
    in_bodies: Annotated[int, Field(ge=0)]
    shown_in_bodies: NotRequired[Annotated[int, Field(ge=0)]]


class EquivalenceDocument(TypedDict):
    """The comparison with the reference."""

    ok: bool
    error: Number
    outputs: list[OutputDocument]
    cases: list[str]
    rejected: list[str]
    problems: list[str]
    as_is: list[NamedError]
    before_decisions: NotRequired[DecisionsDocument]
    in_bodies: NotRequired[list[OutputDocument]]
    in_double: list[OutputDocument]
    float_values: NotRequired[CoverageDocument | None]
    first: DivergenceDocument | None
    notes: NotRequired[list[str]]


class OutputFidelityDocument(TypedDict):
    """How far an output is from the original's; ``note`` says why there are no numbers."""

    name: str
    cosine: NotRequired[Number | None]
    snr_db: NotRequired[Number | None]
    error: NotRequired[Number | None]
    agreement: NotRequired[Share]
    decides: NotRequired[str]
    remark: NotRequired[str]
    note: NotRequired[str]


class Accuracy(TypedDict):
    """The share of right decisions, where labels were given."""

    original: Share
    pruned: Share


class FidelityDocument(TypedDict):
    """The comparison with the original model, and the floors that were set for it."""

    ok: bool
    inputs: str
    random: bool
    outputs: list[OutputFidelityDocument]
    accuracy: Accuracy | None
    floors: dict[str, Any]
    missed: list[str]


class ReportDocument(TypedDict):
    """A verification: the verdict, and the three answers that it rests on."""

    ok: bool
    structure: StructureDocument
    equivalence: EquivalenceDocument
    fidelity: FidelityDocument
    exported: NotRequired[EquivalenceDocument]
    note: NotRequired[str]


def schema() -> dict[str, Any]:
    """The JSON schema of a report."""
    found = TypeAdapter(ReportDocument).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
