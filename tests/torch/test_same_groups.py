"""What is coupled does not depend on the way in: the groups of a captured module are those of its ONNX export.

Both start at one exported program. The ONNX side keeps every tensor of the module under its own name: batch
normalization stays a node of its own, and only what is computed from no weight is folded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import onnx_ir as oir
import pytest
import torch
from onnxscript import optimizer
from torch import nn
from torch.export import Dim, ExportedProgram

import irprune.torch
from irprune import api
from irprune.analysis import Analysis, Group
from irprune.ir import Graph
from irprune.models.architectures import ARCHITECTURES
from irprune.models.zoo import ZOO
from irprune.plans import make_plan, removed_atoms
from irprune.request import Request
from irprune.rewriting import remove_atoms
from irprune.torch.capture.module import quiet
from tests.torch.test_models import model_of

QUICK = ("resnet18", "shufflenet_v2_x1_0", "bert", "llama", "lstm_tagger")
EXPERTS_BY_GATHERND = {"mixtral"}
"""Without the exporter's optimization, experts are looked up by GatherND, at indices that went through Max and Expand:
on the ONNX side they stay frozen. The optimized export has Gather."""

DYNAMIC = {name: entry.dynamic("dynamo") for name, entry in ARCHITECTURES.items()}


@dataclass(frozen=True)
class Seen:
    """What two analyses of one model have to agree on for a group."""

    size: int
    kind: str
    exact: bool
    tensors: frozenset[str]


@dataclass(frozen=True)
class Side:
    """The prunable groups of one analysis, and the size of the module's parameters before and after a plan."""

    groups: Counter[Seen]
    before: int
    after: int


def side_of(analysis: Analysis, owners: Mapping[str, str], learned: set[str]) -> Side:
    """``owners`` names the tensors of the module, tied ones alike; ``learned`` are its parameters."""
    plan = make_plan(analysis, Request(ratio=0.5, align=1))
    small, _ = remove_atoms(analysis, removed_atoms(plan, analysis))
    groups = Counter(_seen(group, owners) for group in analysis.groups if not group.frozen)
    before, after = (_elements(graph, owners, learned) for graph in (analysis.graph, small))
    return Side(groups, before, after)


def _elements(graph: Graph, owners: Mapping[str, str], learned: set[str]) -> int:
    used = [constant for name, constant in graph.constants.items() if name in graph.consumers]
    return sum(constant.size for constant in used if owners.get(constant.origin or "") in learned)


def _seen(group: Group, owners: Mapping[str, str]) -> Seen:
    tensors = frozenset(owners[member.tensor] for member in group.members if member.tensor in owners)
    return Seen(group.size, group.kind, group.exact, tensors)


def owners_of(model: nn.Module) -> dict[str, str]:
    """Every parameter and buffer by name, as the first name of the same tensor."""
    first: dict[int, str] = {}
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: first.setdefault(id(tensor), name) for name, tensor in tensors}


# -- two ways in ------------------------------------------------------------------------------------------------------


def program_of(name: str, model: nn.Module, inputs: tuple[torch.Tensor, ...], dynamic: bool) -> ExportedProgram:
    with quiet(), torch.no_grad():
        shapes = shapes_of(name, model) if dynamic else None
        return torch.export.export(model, inputs, dynamic_shapes=shapes, strict=False)


def shapes_of(name: str, model: nn.Module) -> Any:
    """All dimensions that can vary do."""
    varying = DYNAMIC[name]
    each = tuple(
        {axis: Dim.DYNAMIC for axis, dim in enumerate(entry.dims) if dim in varying}
        for entry in ARCHITECTURES[name].inputs
    )
    kinds = [parameter.kind for parameter in signature(model.forward).parameters.values()]
    return (each,) if Parameter.VAR_POSITIONAL in kinds else each


def onnx_of(program: ExportedProgram, owners: Mapping[str, str]) -> oir.Model:
    with quiet(), torch.no_grad():
        exported = torch.onnx.export(program, (), dynamo=True, optimize=False, verbose=False)
        assert exported is not None
        model = exported.model
        # Equal to what the exporter's own optimization does, but for arithmetic on weights and folded statistics.
        optimizer.fold_constants(model, should_fold=lambda node: None if _weightless(node, owners) else False)
        optimizer.remove_unused_nodes(model)
    return model


def _weightless(node: oir.Node, owners: Mapping[str, str]) -> bool:
    return not any(value is not None and value.name in owners for value in node.inputs)


def compare(name: str, dynamic: bool = False) -> tuple[Side, Side]:
    model, inputs = model_of(name)
    owners = owners_of(model)
    learned = {owners[each] for each, _ in model.named_parameters()}
    program = program_of(name, model, inputs, dynamic)
    here = irprune.torch.trace(program).analysis()
    there = api.analyze_model(api.open_model(onnx_of(program, owners)))
    return side_of(here, owners, learned), side_of(there, owners, learned)


# -- agreement --------------------------------------------------------------------------------------------------------


def cases() -> list[Any]:
    fixed = [(name, False) for name in (*ZOO, *ARCHITECTURES)]
    dynamic = [(name, True) for name in ARCHITECTURES]
    return [
        pytest.param(
            name,
            varies,
            id=f"{name}-{'dynamic' if varies else 'fixed'}",
            marks=() if name in QUICK and not varies else pytest.mark.slow,
        )
        for name, varies in (*fixed, *dynamic)
    ]


@pytest.mark.parametrize(("name", "dynamic"), cases())
def test_both_sides_find_the_same_groups(name: str, dynamic: bool) -> None:
    here, there = compare(name, dynamic)
    extra = Counter({seen: count for seen, count in here.groups.items() if seen.kind == "experts"})
    assert here.groups == there.groups + (extra if name in EXPERTS_BY_GATHERND else Counter())
    assert bool(extra) == (name in EXPERTS_BY_GATHERND)
    assert (here.before, here.after) == (there.before, there.after)
