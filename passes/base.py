"""The base class of passes: a frozen dataclass with a name, options as fields, and ``run`` from state to state."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..ir import Graph
from ..plans import UNIDENTIFIED, ModelIdentity, Plan
from ..plans.digests import digest_of_values

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class State:
    """The state that passes transform.

    ``plan`` is set by the pass that decides what to remove, ``base`` is the graph it decided on: the plan's
    slices are slices of the constants of ``base``. ``updated`` names constants of ``graph`` that a pass made,
    or whose values are not a slice of the tensor of that name in the original model. ``model``
    identifies that model, ``sizes`` are numbers for its open sizes, at the shapes ``at`` of its inputs. ``context`` is
    for the passes of the layer that started the pipeline; passes of this layer do not look inside.
    """

    graph: Graph
    plan: Plan | None = None
    base: Graph | None = None
    updated: frozenset[str] = frozenset()
    model: ModelIdentity = UNIDENTIFIED
    context: object = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    at: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"State({self.graph!r}, {self.plan!r})"

    def rewritten(self, graph: Graph, updated: Iterable[str] = ()) -> State:
        """This state with another graph; ``updated`` are constants that the rewriting changed or made."""
        names = (self.updated | frozenset(updated)) & graph.constants.keys()
        plan = self.plan
        if plan is not None:
            slices = {name: part for name, part in plan.slices.items() if name in graph.constants}
            digests = {name: digest_of_values(graph.constants[name].numpy()) for name in sorted(names)}
            plan = plan.with_slices(slices, digests)
        return replace(self, graph=graph, plan=plan, updated=names)


@dataclass(frozen=True)
class PassOption:
    """An option of a pass: ``type`` is that of its value, a tuple of texts where it takes several."""

    name: str
    type: Any
    default: object
    help: str = ""


@dataclass(frozen=True)
class Pass:
    """One rewriting, or one check, of a state. The first line of its docstring is its summary."""

    name: ClassVar[str]
    changes_values: ClassVar[bool] = False
    """Whether the pass gives weights other values, so that the model computes something else."""

    @classmethod
    def options(cls) -> tuple[PassOption, ...]:
        """What can be set, in order: the fields."""
        hints = typing.get_type_hints(cls)
        return tuple(PassOption(field.name, hints[field.name], field.default) for field in dataclasses.fields(cls))

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """The pass with some of its options set. Raises :class:`InputError` for one that is out of range."""
        made = cls(**values)
        made.validate()
        return made

    def option(self, name: str) -> object:
        """The value of an option."""
        return getattr(self, name)

    def validate(self) -> None:
        """Raise :class:`InputError` for an option that is out of range."""

    def run(self, state: State) -> State:
        raise NotImplementedError

    def __str__(self) -> str:
        """The pass as a pipeline spells it, with the options that differ from their defaults."""
        set_options = [
            f"{option.name}={_spell(self.option(option.name))}"
            for option in self.options()
            if self.option(option.name) != option.default
        ]
        return self.name + (f"{{{','.join(set_options)}}}" if set_options else "")


PASSES: dict[str, type[Pass]] = {}
"""Every pass by its name. A higher layer registers its own with :func:`register`."""

P = TypeVar("P", bound=Pass)


def register(cls: type[P]) -> type[P]:
    """Class decorator: make a pass known by its name."""
    if cls.name in PASSES:
        raise ValueError(f"two passes are named '{cls.name}'")
    PASSES[cls.name] = cls
    return cls


def _joined(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


_RESERVED = frozenset(",{}[]=\"'")


def _spell(value: object) -> str:
    if isinstance(value, Mapping):
        return _spell(tuple(f"{name}={_joined(item)}" for name, item in value.items()))
    if isinstance(value, tuple):
        return f"[{','.join(map(_spell, value))}]"
    if isinstance(value, str):
        marked = set(value) & _RESERVED or any(map(str.isspace, value))
        plain = value and not marked and value not in ("none", "true", "false")
        return value if plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return repr(value)
