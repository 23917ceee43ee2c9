"""Facts about operators that their signatures do not say.

Each trait stands in the operator's line of a table, and whoever needs the fact asks for the trait, never for a name:

::

    "Log": Operator(compute.elementwise, passes_through=True, keeps_shape=True, singular_at_zero=True)

Operands are counted from 0, as the operator's specification lists them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias, TypeVar

K = TypeVar("K")
V = TypeVar("V")

EVERY: Collection[int] = range(1 << 31)
"""All operands, however many there are."""

Combination: TypeAlias = Literal["", "arithmetic", "product", "join"]
Control: TypeAlias = Literal["", "branches", "loop", "scan"]
Cell: TypeAlias = Literal["", "LSTM", "GRU", "RNN"]
Window: TypeAlias = Literal["", "forward", "transposed"]
Question: TypeAlias = Literal["", "equality", "order", "logic"]
Angle: TypeAlias = Literal["", "sine", "cosine"]
Hiding: TypeAlias = Literal["", "decision", "saturation", "pick"]
Probability: TypeAlias = Literal["", "categorical", "independent"]


def _none() -> Mapping[K, V]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Integers:
    """Where a contraction of integers has its operands: tensor, scale and zero point of each, ``None`` for none.

    A scale that the data has not is one that the operator finds by itself, or that later operators multiply with.
    An integer bias has the scale of the product.
    """

    data: tuple[int, int | None, int | None]
    weight: tuple[int, int | None, int | None]
    result: tuple[int, int] | None = None
    bias: int | None = None
    slides: bool = False
    """Whether the letters that stand in the weight alone are a window."""
    makes_floats: bool = False
    """Whether the result is multiplied with both scales."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """The facts about an operator; by default none holds.

    Where elements go:

    ``identity``: the result is operand 0.
    ``copies``: the result has the elements of operand 0, one for one, maybe in another shape, order or type.
    ``moves``: the operands that the result takes its elements from, unchanged; some may be left out or repeated.
    ``keeps_shape``: the result has the dimensions of operand 0.
    ``reorders``: it ``copies`` and ``keeps_shape``, but elements change places along their axes.
    ``keeps_type``: the result has the type of operand 0.
    ``permutation``: the attribute that gives the order of dimensions; they are reversed by default.
    ``passes_through``: what is computed from a weight as operand 0 is a weight still.
    ``reads_sizes``: of its operand only the sizes matter.
    ``control``: its bodies are laid out in the graph around it.

    Zero:

    ``keeps_zero``: zero (or the zero point) in operand 0 is zero (or the zero point) in the result.
    ``singular_at_zero``: the result may be infinite, or no number, where an operand is zero.
    ``divisor``: the operand that integers are divided by, which cannot be zero.
    ``zero_points``: per quantized operand the operand that says which number stands for zero.

    ``annihilates``: the result is zero wherever an operand is, whatever the others are.

    Bounds:

    ``monotone``: in each operand, the others fixed, the result only rises or only falls (with a slope ``alpha`` of at
    least zero, if there is one).
    ``within``: each result lies between the least and the greatest of the elements of operand 0 that it is made of.
    ``fill``: the operand with the number that stands where no element of another does; zero if it is absent.
    ``idle_gate``: the gate of a recurrent cell whose rows are to be zero for a state of zero to stay.

    What operands are:

    ``weights``: operands that are trained, whatever else the operator reads.
    ``channel_scale``: the operand that scales each channel of a normalized activation.
    ``combines``: how operands of equal standing meet; where one of them is data, constants among the others are
    trained.
    ``lookups``: per operand of indices, the operands that it looks rows up in (along attribute ``lookup_axis``).
    ``lengths``: the operand that counts the steps of each sequence.
    ``shape_operands``: operands whose entries shape inference has to know.
    ``implied``: attributes that say the same as a size spelled out (by attribute or operand), and that go when it is.
    ``type_attribute``: the attribute that gives the element type of the result, or a tensor of that type.
    ``takes_type``: other tensors of the call tell nothing but the type of the result.
    ``asks``: the result is a truth value: two operands are equal, or in order, or a combination of truth values.

    Contractions, for the repair of weights:

    ``cell``: the recurrent cell that it is; its operands and gates are those of the ONNX operator of that name.
    ``reset``: the attribute that says whether a reset gate scales the product with the state, or the state itself.
    ``integers``: the operands of a product of integers, see :class:`Integers`.
    ``window``: letters of the weight that stand nowhere else are a window that slides over the operand, or over the
    result ("transposed").
    ``sums``: the result is the sum of both operands.
    ``rectifies``: the result is the operand where that is positive, else zero.
    ``of_angle``: the result is the sine or the cosine of an angle.
    ``running_statistics``: the operands with the mean and the variance of each channel.
    ``positions``: the result that holds positions in operand 0 of what it picks there.
    ``hides``: changes of its operands need not show in the result: it decides, saturates, or picks part of them.
    ``probability``: the result are probabilities (or their logarithms) whose logits are operand 0: of the classes along
    an axis (categorical), or of each element by itself (independent).

    Evaluation:

    ``quantization``: without it a quantized model is quantized no longer.
    ``dequantizes``: the result is the float that a quantized operand 0 stands for.
    ``random``: numbers are drawn.
    ``training_operand``: the operand that turns training on, where numbers are drawn.
    ``makes_map``: the result is a map, not a tensor.
    ``bounded``: the size of the result depends on data, but is at most a small multiple of the operand's.
    """

    identity: bool = False
    copies: bool = False
    moves: Collection[int] = ()
    keeps_shape: bool = False
    reorders: bool = False
    keeps_type: bool = False
    permutation: str = ""
    passes_through: bool = False
    reads_sizes: bool = False
    control: Control = ""
    keeps_zero: bool = False
    annihilates: bool = False
    monotone: bool = False
    within: bool = False
    fill: int | None = None
    idle_gate: int | None = None
    singular_at_zero: bool = False
    divisor: int | None = None
    zero_points: Mapping[int, int] = field(default_factory=_none)
    weights: tuple[int, ...] = ()
    channel_scale: int | None = None
    combines: Combination = ""
    lookups: Mapping[int, tuple[int, ...]] = field(default_factory=_none)
    lookup_axis: str = "axis"
    lengths: int | None = None
    shape_operands: tuple[int, ...] = ()
    type_attribute: str = ""
    takes_type: bool = False
    implied: Mapping[str | int, str] = field(default_factory=_none)
    asks: Question = ""
    positions: int | None = None
    hides: Hiding = ""
    cell: Cell = ""
    reset: str = ""
    integers: Integers | None = None
    probability: Probability = ""
    window: Window = ""
    sums: bool = False
    rectifies: bool = False
    of_angle: Angle = ""
    running_statistics: tuple[int, int] | None = None
    quantization: bool = False
    dequantizes: bool = False
    random: bool = False
    training_operand: int | None = None
    makes_map: bool = False
    bounded: bool = False

    def hands_on(self, position: int) -> bool:
        """Whether elements of an operand are, unchanged, elements of the result."""
        return position in self.moves or (self.copies and position == 0)

    @property
    def only_moves(self) -> bool:
        """Whether no number is computed: nothing that is left out is summed into the result."""
        return self.copies or self.reads_sizes or bool(self.moves)

    def picks_from(self, position: int) -> bool:
        """Whether the result is made of rows of an operand, or of a weight, which other operands pick."""
        is_source = self.hands_on(position) or position in self.weights
        return is_source and any(position in tables for tables in self.lookups.values())
