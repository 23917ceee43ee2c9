"""The plan file: JSON, deterministic, checkable against both models with a few lines of numpy.

The models below are the document: their fields are its keys, and :func:`schema` is their JSON schema.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictStr,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from ..analysis import Analysis, Cost, Mask
from ..errors import InputError
from ..options import brief, location
from ..request import Request
from ..versions import IRPRUNE
from ..zeros import Sparsity

FORMAT: Literal["irprune.plan/1"] = "irprune.plan/1"

Count = Annotated[int, Field(strict=True, ge=0)]
Name = Annotated[str, Field(strict=True, min_length=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
PlanKind = Literal["prune", "compact", "drop"]
"""What a plan does: remove what matters least, what makes no difference, or whole residual branches."""

Digest = Annotated[str, Field(strict=True, pattern="^([0-9a-f]{64})?$")]
"""A SHA-256 in hexadecimal, empty for a model that was never in a file."""


@dataclass(frozen=True)
class Slice:
    """The kept part of a tensor: per axis its old size and the kept indices in order.

    ``of`` is the name in the original of a tensor that became a private copy, ``None`` where the name is unchanged.
    """

    axes: Mapping[int, tuple[int, tuple[int, ...]]]
    of: str | None = None

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            str(axis): {"size": size, "kept": list(kept)} for axis, (size, kept) in sorted(self.axes.items())
        }
        return body if self.of is None else {"of": self.of, **body}

    @staticmethod
    def from_json(body: object) -> Slice:
        """Raises :class:`ValueError` for anything that is not a slice."""
        if isinstance(body, Slice):
            return body
        if not isinstance(body, Mapping):
            raise ValueError("a slice is an object with one key for each axis")
        of = body.get("of")
        if of is not None and not (isinstance(of, str) and of):
            raise ValueError(f"'of' is the name of a tensor, got {brief(of)}")
        return Slice({_axis(key): _kept(key, part) for key, part in body.items() if key != "of"}, of)


def _axis(key: object) -> int:
    if not (isinstance(key, str) and key.isascii() and key.isdecimal() and str(int(key)) == key):
        raise ValueError(f"an axis is a number from 0 on, got {brief(key)}")
    return int(key)


def _kept(axis: object, part: object) -> tuple[int, tuple[int, ...]]:
    if not isinstance(part, Mapping) or part.keys() != {"size", "kept"}:
        raise ValueError(f"axis {axis} has a 'size' and 'kept' indices, got {brief(part)}")
    size, kept = part["size"], part["kept"]
    if type(size) is not int or size < 0:
        raise ValueError(f"the size of axis {axis} is a number from 0 on, got {brief(size)}")
    if not isinstance(kept, (list, tuple)):
        raise ValueError(f"the kept indices of axis {axis} are a list, got {brief(kept)}")
    _require_positions(kept, size, f"the kept indices of axis {axis}")
    return size, tuple(kept)


def _require_positions(found: list[Any] | tuple[Any, ...], size: int, what: str) -> None:
    """Raise :class:`ValueError` unless these are different positions below ``size``."""
    if set(map(type, found)) - {int}:
        wrong = next(item for item in found if type(item) is not int)
        raise ValueError(f"{what} are whole numbers, got {brief(wrong)}")
    if found and (min(found) < 0 or max(found) >= size):
        raise ValueError(f"{what} lie between 0 and {size - 1}, got {min(found) if min(found) < 0 else max(found)}")
    if len(set(found)) != len(found):
        raise ValueError(f"{what} are given once each; there are {len(found) - len(set(found))} repetitions")


_SLICE_SCHEMA = {
    "type": "object",
    "properties": {"of": {"type": "string", "description": "The tensor in the original that this one is a copy of."}},
    "patternProperties": {
        "^[0-9]+$": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "minimum": 0},
                "kept": {"type": "array", "items": {"type": "integer", "minimum": 0}, "uniqueItems": True},
            },
            "required": ["size", "kept"],
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}

AnySlice = Annotated[
    Slice, PlainValidator(Slice.from_json), PlainSerializer(Slice.as_json), WithJsonSchema(_SLICE_SCHEMA)
]
AnyRequest = Annotated[
    Request,
    BeforeValidator(lambda given: Request.given(given) if isinstance(given, Mapping) else given),
    PlainSerializer(Request.as_json),
]
AnySparsity = Annotated[
    Sparsity,
    BeforeValidator(lambda given: Sparsity.given(given) if isinstance(given, Mapping) else given),
    PlainSerializer(Sparsity.as_json),
]


def _updated(given: Any) -> Any:
    """Raises :class:`ValueError` where digests are missing: such tensors would be compared with nothing."""
    if isinstance(given, (list, tuple)):
        raise ValueError(f"each tensor has the SHA-256 of its values, got a list of names: {brief(given)}")
    for name, digest in given.items() if isinstance(given, Mapping) else ():
        if digest == "":
            raise ValueError(f"tensor {brief(name)} has no digest: its values could be any")
    return given


Updated = Annotated[dict[Name, Annotated[str, Field(strict=True, pattern="^[0-9a-f]{64}$")]], BeforeValidator(_updated)]
"""Tensors whose values are not the original's, with :func:`digest_of_values` of the new ones."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelIdentity(_Part):
    """The model that a plan is for: what its file and its data files hash to.

    ``data`` has the digest of each file with external data, by its name in the model. ``models`` has the digest of each
    of several models that are pruned as one, by its name; ``sha256`` is then that of the lines ``DIGEST  NAME``.
    """

    sha256: Digest = ""
    bytes: Count = 0
    opset: Count = 0
    data: dict[Name, Digest] = {}
    models: dict[Name, Digest] = {}

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(exclude={name for name in ("data", "models") if not getattr(self, name)})


UNIDENTIFIED = ModelIdentity()
"""Of a model that was never in a file."""


class PlannedGroup(_Part):
    """A group of the plan: ``removed`` are positions of its atoms, in order."""

    name: Name
    kind: Name = "channels"
    size: Count
    removed: tuple[Count, ...]
    members: tuple[StrictStr, ...]
    exact: StrictBool

    @model_validator(mode="after")
    def _require_positions(self) -> PlannedGroup:
        _require_positions(self.removed, self.size, f"the removed positions of group '{self.name}'")
        return self


class Curve(_Part):
    """What a removal costs by a criterion from data: ``error[k]``, summed over the atoms, after ``removed[k]`` of them.

    ``removed`` counts atoms, from none to the most that the request allows; ``error`` is in the unit of the criterion,
    the same for all groups of a plan.
    """

    removed: tuple[Count, ...]
    error: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]

    @model_validator(mode="after")
    def _require_alike(self) -> Curve:
        if not self.removed or len(self.removed) != len(self.error):
            raise ValueError(f"a curve has one error for each count, got {len(self.error)} for {len(self.removed)}")
        return self


class DroppedBranch(_Part):
    """A residual branch that goes: ``result = skip + branch`` becomes ``result = skip``."""

    result: Name
    branch: Name
    skip: Name


class Plan(_Part):
    """What :mod:`irprune` decided for one model. ``slices`` and ``verification`` are filled in by later stages.

    A plan of kind ``compact`` is lossless where inputs lie within their ``ranges``: its model is compared with the
    original itself. The costs of a model with open sizes are those ``at`` some shapes of its inputs. ``rewritten`` has
    the nodes that are others than in the original, by their results; ``None`` for a plan that is not carried out.
    ``curves``, by the names of groups, show how a choice on data was made; the digest leaves them out, since nothing
    rests on them.
    """

    format: Literal["irprune.plan/1"] = FORMAT
    model: ModelIdentity = UNIDENTIFIED
    versions: dict[Name, StrictStr] = {}
    kind: PlanKind = "prune"
    ranges: dict[Name, tuple[Finite, Finite]] = {}
    request: AnyRequest
    groups: tuple[PlannedGroup, ...]
    dropped: tuple[DroppedBranch, ...] = ()
    slices: dict[Name, AnySlice] = {}
    updated: Updated = {}
    rewritten: tuple[Name, ...] | None = None
    cost: dict[Name, tuple[Count, Count]]
    at: dict[Name, tuple[Count, ...]] = {}
    sparsity: AnySparsity | None = None
    curves: dict[Name, Curve] = {}
    verification: dict[str, Any] = {}

    @field_validator("cost")
    @classmethod
    def _require_costs(cls, cost: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        if not {"params", "macs", "bytes"} <= cost.keys() <= set(_COSTS):
            raise ValueError(f"the costs are {', '.join(_COSTS)}, got {', '.join(cost) or 'none'}")
        return cost

    @field_validator("ranges")
    @classmethod
    def _require_ordered(cls, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in ranges.items():
            if low > high:
                raise ValueError(f"the range of {brief(name)} begins at its least number, got {low}, {high}")
        return ranges

    @property
    def is_lossless(self) -> bool:
        """Whether the smaller model computes what the original does."""
        return self.kind == "compact"

    @property
    def keeps_channels(self) -> bool:
        """Whether the reference needs no masks: nothing of an axis goes, or nothing that makes a difference."""
        return self.kind != "prune"

    @field_validator("groups")
    @classmethod
    def _require_distinct(cls, groups: tuple[PlannedGroup, ...]) -> tuple[PlannedGroup, ...]:
        name, times = Counter(group.name for group in groups).most_common(1)[0] if groups else ("", 0)
        if times > 1:
            raise ValueError(f"group {brief(name)} is given {times} times")
        return groups

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def sha256(self) -> str:
        """The digest of the model's file."""
        return self.model.sha256

    @property
    def cost_before(self) -> Cost:
        return Cost(**{name: before for name, (before, _) in self.cost.items()})

    @property
    def cost_after(self) -> Cost:
        return Cost(**{name: after for name, (_, after) in self.cost.items()})

    @property
    def digest(self) -> str:
        """SHA-256 of the document without curves and verification: it says which plan a pruned file was made by."""
        decided = {name: part for name, part in self.as_json().items() if name != "curves"}
        return hashlib.sha256(json.dumps({**decided, "verification": {}}).encode()).hexdigest()

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of a file that the plan made."""
        return {"irprune.version": IRPRUNE, "irprune.plan_sha256": self.digest}

    # -- later stages ----------------------------------------------------------------------------------------------

    def with_slices(self, slices: Mapping[str, Slice], updated: Mapping[str, str] | None = None) -> Plan:
        """The plan with the slices of tensors, and no others updated than these."""
        return self.model_copy(update={"slices": dict(slices), "updated": dict(updated or {})})

    def with_updated(self, digests: Mapping[str, str]) -> Plan:
        """The plan of a model in which these tensors have other values too: digests by name.

        An empty digest is for plans that are never written: that values are not recorded. No file is read with one.
        """
        return self.model_copy(update={"updated": {**self.updated, **digests}})

    def at_sizes(self, shapes: Mapping[str, Sequence[int]], sizes: Mapping[str, int]) -> Plan:
        """The plan with other shapes of inputs, and other open sizes, to verify at; its own where none are given."""
        if not (shapes or sizes):
            return self
        asked = {"shapes": {name: tuple(shape) for name, shape in shapes.items()}, "sizes": dict(sizes)}
        return self.model_copy(update={"request": self.request.model_copy(update=asked)})

    def with_model(self, model: ModelIdentity) -> Plan:
        """The plan for a model: one that an analysis alone does not know."""
        return self.model_copy(update={"model": model})

    def with_verification(self, verification: Mapping[str, Any]) -> Plan:
        return self.model_copy(update={"verification": dict(verification)})

    # -- files -----------------------------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """The document as plain JSON values."""
        return {
            "format": FORMAT,
            "model": self.model.as_json(),
            "versions": self.versions,
            **({"kind": self.kind} if self.kind != "prune" else {}),
            **({"ranges": {name: list(ends) for name, ends in self.ranges.items()}} if self.ranges else {}),
            "request": self.request.as_json(),
            "groups": [group.model_dump(mode="json") for group in self.groups],
            **({"dropped": [each.model_dump() for each in self.dropped]} if self.dropped else {}),
            "slices": {name: part.as_json() for name, part in sorted(self.slices.items())},
            "updated": dict(sorted(self.updated.items())),
            **({} if self.rewritten is None else {"rewritten": list(self.rewritten)}),
            "cost": {name: list(both) for name, both in self.cost.items()},
            **({"at": {name: list(shape) for name, shape in self.at.items()}} if self.at else {}),
            **({"sparsity": self.sparsity.as_json()} if self.sparsity else {}),
            **(
                {"curves": {name: own.model_dump(mode="json") for name, own in self.curves.items()}}
                if self.curves
                else {}
            ),
            "verification": self.verification,
        }

    def dumps(self) -> str:
        """The document as text."""
        return json.dumps(self.as_json(), indent=1, sort_keys=False) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan file."""
        Path(path).write_text(self.dumps(), encoding="utf-8")

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Plan:
        """Read a plan file. Raises :class:`InputError` for one that is missing, or not a plan of a model."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not JSON: {error}") from error
        except OSError as error:
            raise InputError(f"{path}: it cannot be read: {error.strerror}") from error
        plan = Plan.loads(text, where=str(path))
        if not plan.sha256:
            raise InputError(f"{path}: the plan does not say which model it is for: its sha256 is empty")
        return plan

    @staticmethod
    def loads(text: str, where: str = "plan") -> Plan:
        """Read a plan; raises :class:`InputError` for anything that is not one."""
        try:
            body = json.loads(text, parse_constant=_refuse)
        except RecursionError:
            raise InputError(f"{where}: not JSON of a plan: it is nested too deeply") from None
        except ValueError as error:
            raise InputError(f"{where}: not JSON: {error}") from error
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            found = body.get("format") if isinstance(body, dict) else None
            raise InputError(f"{where}: not a plan: its format is {brief(found)}, expected {FORMAT!r}")
        try:
            return Plan.model_validate(body)
        except ValidationError as error:
            raise InputError(f"{where}: malformed plan: {location(error)}") from error
        except InputError as error:
            raise InputError(f"{where}: malformed plan: request: {error}") from error

    def __repr__(self) -> str:
        """What goes and what that saves; :meth:`dumps` has everything."""
        removed = sum(len(group.removed) for group in self.groups)
        kept = ", ".join(f"{name} {before} -> {after}" for name, (before, after) in self.cost.items() if before)
        return f"Plan({removed} atoms of {len(self.groups)} groups removed; {kept})"

    __str__ = __repr__


_COSTS = tuple(field.name for field in fields(Cost))


def costs(before: Cost, after: Cost) -> dict[str, tuple[int, int]]:
    """The costs of a plan, before and after."""
    return {name: (value, getattr(after, name)) for name, value in asdict(before).items()}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


_REQUIRED = ["format", "model", "request", "groups", "cost"]


def schema() -> dict[str, Any]:
    """The JSON schema of the plan file."""
    found = Plan.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FORMAT, **found, "required": _REQUIRED}


def removed_atoms(plan: Plan, analysis: Analysis) -> Mask:
    """The plan's removals as a mask over the atoms of an analysis of the same model.

    Raises :class:`InputError` where a group of the plan does not exist in the model, or has another size.
    """
    groups = {group.name: group for group in analysis.groups}
    removed = np.zeros(analysis.atoms.count, dtype=bool)
    for planned in plan.groups:
        group = groups.get(planned.name)
        if group is None:
            raise InputError(f"the plan names group '{planned.name}', which the model does not have")
        if group.size != planned.size:
            raise InputError(f"group '{planned.name}' has {group.size} atoms in the model, {planned.size} in the plan")
        removed[group.atoms[np.array(planned.removed, dtype=np.intp)]] = True
    _require_nonempty(analysis, removed)
    return removed


def _require_nonempty(analysis: Analysis, removed: Mask) -> None:
    for number, mask in analysis.kept(removed).items():
        if not mask.any():
            leaf = next(leaf for leaf in analysis.atoms.leaves if leaf.number == number)
            raise InputError(f"the plan removes all {leaf.size} elements of axis '{leaf.name}'")
