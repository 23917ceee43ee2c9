"""Golden cases of ATen calls: a function, the shapes of its arguments, and what the analysis finds.

::

    match aten::linear: a bias
    lambda x, w, b: F.linear(x, w, b)
    2 3 4, 6 4, 6
    x[a=2 b=3 c=4] w[d=6 c] b[d]
    -> linear[a b d]

As in :mod:`.cases`, the description follows, inputs and outputs being free to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irprune.torch import Program, trace

from .describe import describe

_HEAD = re.compile(r"(?P<kind>match|refuse) (?P<op>[\w:]+): (?P<title>.+)")


@dataclass(frozen=True)
class AtenCase:
    """One block."""

    kind: str
    op: str
    title: str
    code: str
    shapes: tuple[tuple[int, ...], ...]
    expected: str

    def __str__(self) -> str:
        return f"{self.op}-{self.title.replace(' ', '_')}"

    @property
    def function(self) -> Callable[..., Tensor]:
        found: Callable[..., Tensor] = eval(self.code, {"torch": torch, "F": F})
        return found

    def inputs(self) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(0)
        return tuple(torch.randn(shape, generator=generator) for shape in self.shapes)

    def program(self) -> Program:
        """The function as it stands."""
        return trace(_Called(self.function), self.inputs())

    def weighted(self) -> Program:
        """The function of arguments that are multiplied by parameters, so that there is something to remove."""
        return trace(_Weighted(self.function, self.shapes), self.inputs())


class _Called(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *arguments: Tensor) -> Tensor:
        return self.function(*arguments)


class _Weighted(_Called):
    def __init__(self, function: Callable[..., Tensor], shapes: tuple[tuple[int, ...], ...]) -> None:
        super().__init__(function)
        generator = torch.Generator().manual_seed(1)
        self.factors = nn.ParameterList(nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes)

    def forward(self, *arguments: Tensor) -> Tensor:
        return self.function(*(x * factor for x, factor in zip(arguments, self.factors, strict=True)))


def parse_aten_cases(text: str) -> list[AtenCase]:
    """The blocks of a text, in order. Raises ``ValueError`` for a malformed block."""
    cases = []
    for block in re.split(r"\n\s*\n", text.strip()):
        head, code, shapes, *expected = block.strip().splitlines()
        found = _HEAD.fullmatch(head)
        if found is None:
            raise ValueError(f"cannot read the head of a golden case: {head!r}")
        sizes = tuple(tuple(map(int, shape.split())) for shape in shapes.split(","))
        cases.append(AtenCase(*found.group("kind", "op", "title"), code, sizes, "\n".join(expected)))
    return cases


def found_in(case: AtenCase) -> str:
    """The description of the case's analysis."""
    return describe(case.program().analysis(("*",)))
