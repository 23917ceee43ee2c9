"""The original's values in the places that a smaller model keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ...analysis import Analysis, Mask
from ...api import OpenedModel, analyze_model
from ...frontends.onnx import import_model
from ...ir import Graph
from ...plans import Plan, removed_atoms
from ...repair.refit import kept_part
from .samples import Batch


@dataclass(frozen=True)
class Kept:
    """The original's graph; with a plan its analysis too, and which places of each dimension are kept."""

    graph: Graph
    analysis: Analysis | None = None
    masks: Mapping[int, Mask] = field(default_factory=dict)

    @staticmethod
    def of(original: OpenedModel, plan: Plan | None) -> Kept:
        """Without a plan every place counts as kept."""
        if plan is None:
            return Kept(import_model(original.model))
        analysis = analyze_model(original, plan.request)
        return Kept(analysis.graph, analysis, analysis.kept(removed_atoms(plan, analysis)))

    def part(self, run: Batch) -> Batch:
        """What the smaller model has of the values of a run."""
        if self.analysis is None:
            return run
        dims = self.analysis.coupling.dims
        return {
            name: torch.from_numpy(kept_part(tensor.numpy(), dims[name], self.masks)) for name, tensor in run.items()
        }
