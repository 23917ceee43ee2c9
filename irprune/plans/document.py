"""The plan file: JSON, deterministic, checkable against both models with a few lines of numpy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..analysis import Analysis, Cost, Mask
from ..errors import InputError

FORMAT = "irprune.plan/1"


@dataclass(frozen=True)
class Slice:
    """What stays of a tensor: per axis its old size and the kept indices in order.

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
    def from_json(body: Mapping[str, Any]) -> Slice:
        axes = {int(k): (int(v["size"]), tuple(map(int, v["kept"]))) for k, v in body.items() if k != "of"}
        return Slice(axes, body.get("of"))


@dataclass(frozen=True)
class PlannedGroup:
    """A group of the plan: ``removed`` are positions of its atoms, in order."""

    name: str
    kind: str
    size: int
    removed: tuple[int, ...]
    members: tuple[str, ...]
    exact: bool


@dataclass(frozen=True)
class Plan:
    """What :mod:`irprune` decided for one model. ``slices`` and ``verification`` are filled in by later stages."""

    sha256: str
    bytes: int
    opset: int
    request: Mapping[str, Any]
    groups: tuple[PlannedGroup, ...]
    cost_before: Cost
    cost_after: Cost
    slices: Mapping[str, Slice] = field(default_factory=dict)
    updated: tuple[str, ...] = ()
    verification: Mapping[str, Any] = field(default_factory=dict)

    def with_slices(self, slices: Mapping[str, Slice], updated: tuple[str, ...] = ()) -> Plan:
        return replace(self, slices=dict(slices), updated=updated)

    def as_json(self) -> dict[str, Any]:
        """The document of design section 5."""
        before, after = self.cost_before, self.cost_after
        return {
            "format": FORMAT,
            "model": {"sha256": self.sha256, "bytes": self.bytes, "opset": self.opset},
            "request": dict(self.request),
            "groups": [
                {
                    "name": group.name,
                    "kind": group.kind,
                    "size": group.size,
                    "removed": list(group.removed),
                    "members": list(group.members),
                    "exact": group.exact,
                }
                for group in self.groups
            ],
            "slices": {name: part.as_json() for name, part in sorted(self.slices.items())},
            "updated": sorted(self.updated),
            "cost": {
                "params": [before.params, after.params],
                "macs": [before.macs, after.macs],
                "bytes": [before.bytes, after.bytes],
                "tables": [before.tables, after.tables],
            },
            "verification": dict(self.verification),
        }

    def dumps(self) -> str:
        return json.dumps(self.as_json(), indent=1, sort_keys=False) + "\n"

    @staticmethod
    def loads(text: str, where: str = "plan") -> Plan:
        """Read a plan; raises :class:`InputError` for anything that is not one."""
        try:
            body = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: not JSON: {error}") from error
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            found = body.get("format") if isinstance(body, dict) else None
            raise InputError(f"{where}: not a plan: its format is {found!r}, expected {FORMAT!r}")
        try:
            cost = body["cost"]
            return Plan(
                sha256=body["model"]["sha256"],
                bytes=int(body["model"]["bytes"]),
                opset=int(body["model"]["opset"]),
                request=body["request"],
                groups=tuple(
                    PlannedGroup(
                        g["name"],
                        g.get("kind", "channels"),
                        int(g["size"]),
                        tuple(map(int, g["removed"])),
                        tuple(g["members"]),
                        bool(g["exact"]),
                    )
                    for g in body["groups"]
                ),
                cost_before=Cost(**{key: int(both[0]) for key, both in cost.items()}),
                cost_after=Cost(**{key: int(both[1]) for key, both in cost.items()}),
                slices={name: Slice.from_json(part) for name, part in body.get("slices", {}).items()},
                updated=tuple(body.get("updated", ())),
                verification=body.get("verification", {}),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InputError(f"{where}: malformed plan: {type(error).__name__}: {error}") from error


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
        positions = np.array(planned.removed, dtype=np.intp)
        if len(positions) and (positions.min() < 0 or positions.max() >= group.size):
            raise InputError(f"group '{planned.name}': removed positions go beyond its {group.size} atoms")
        removed[group.atoms[positions]] = True
    _require_nonempty(analysis, removed)
    return removed


def _require_nonempty(analysis: Analysis, removed: Mask) -> None:
    for number, mask in analysis.kept(removed).items():
        if not mask.any():
            leaf = next(leaf for leaf in analysis.atoms.leaves if leaf.number == number)
            raise InputError(f"the plan removes all {leaf.size} elements of axis '{leaf.name}'")
