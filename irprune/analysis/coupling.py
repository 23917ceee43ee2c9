"""Which dimension of which value is which axis: one walk over the graph, unifying as the signatures say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import numpy as np

from ..axes import Axis, AxisSystem, resolve, settle, size_of
from ..ir import Graph, Integers, Node, Ramp, Ramps, Size, Unknown
from ..ir.core import Array
from ..ir.dtypes import is_float, is_integer
from ..reasons import Kind, Place, Reason, graph_input, graph_output, plain
from ..signatures import NoSignature, RuleContext, Signature, signature_of, traits_of
from ..signatures.causes import LOOKED_UP
from ..signatures.grammar import Operand, Term, names_of
from .experts import find_routing
from .invariants import weights_handed_in
from .matching import Dims, Matcher, build
from .repetition import Repetitions
from .states import Pair, State, declared_states, declared_ties, found_states
from .trips import Iterations, find_iterations
from .views import Region, find_region


@dataclass(frozen=True)
class MatchedNode:
    """A node whose signature has been matched: ``axes`` maps each name of the notation to its dimensions."""

    node: Node
    signature: Signature
    axes: Mapping[str, Dims]

    def dim(self, item: Term) -> Axis:
        """The axis expression of one term of the signature."""
        return build(item, self.axes)

    def has_axes(self, position: int) -> bool:
        """Whether the operand has axes of its own, and is not just numbers."""
        inputs = self.signature.notation.inputs
        return position < len(inputs) and inputs[position] is not None

    @property
    def contracted(self) -> set[str]:
        """Axes that are summed away: in an operand, in no result, and neither normalized nor ranked."""
        if traits_of(self.node.qualified_op).only_moves:
            return set()
        notation = self.signature.notation
        consumed, carried = (
            {name for operand in side for item in operand or () for name in names_of(item)}
            for side in (notation.inputs, notation.outputs)
        )
        moved = {name for m in self.signature.maps for name in (m.operand, *m.result.strip("()").split())}
        return consumed - carried - notation.normalized - notation.ranked - moved

    def is_untrained(self, position: int) -> bool:
        """Whether a constant at this operand is not a parameter: running statistics, or numbers cast to integers."""
        return position in (traits_of(self.node.qualified_op).running_statistics or self.signature.untrained)


@dataclass
class Coupling:
    """The result of the walk.

    ``dims`` gives the axes of each value (``None`` where the rank is unknown); ``uses`` those of a constant, or of a
    value with repeated axes, at one operand position, where it is analyzed per use; ``matched`` the matched nodes;
    ``refused`` why the other nodes have no signature; ``regions`` the view chains that permute elements, with their
    relations in ``system`` from number ``first_chain`` on; ``repeated`` pairs the repeated axes of values with those of
    their uses; ``weights`` are constants, values computed from constants, matrices looked up in a stack of weights
    (experts), and weights that are passed into bodies of control flow; ``states`` are inputs with the outputs that are
    fed back to them; ``changeable`` are the inputs and outputs that may change shape; ``iterations`` says how often
    bodies run.
    """

    graph: Graph
    system: AxisSystem
    dims: dict[str, Dims | None] = field(default_factory=dict)
    uses: dict[tuple[str, int], Dims] = field(default_factory=dict)
    matched: dict[str, MatchedNode] = field(default_factory=dict)
    refused: dict[str, Reason] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    first_chain: int = 0
    repeated: tuple[tuple[Axis, Axis], ...] = ()
    weights: set[str] = field(default_factory=set)
    states: tuple[State, ...] = ()
    changeable: frozenset[str] = frozenset()
    iterations: Iterations = field(default_factory=Iterations)

    def operand(self, node: Node, position: int) -> Dims | None:
        """The axes of an operand as this node sees it."""
        return self.uses.get((node.name, position)) or self.dims.get(node.inputs[position])

    def sizes(self, name: str) -> tuple[Size, ...] | None:
        dims = self.dims.get(name)
        return None if dims is None else tuple(size_of(axis) for axis in dims)


def couple(
    graph: Graph,
    allow_io: Sequence[str] = (),
    states: Sequence[str] = (),
    ties: Sequence[str] = (),
    remapped: Collection[str] = (),
) -> Coupling:
    """Match every node with its signature.

    ``allow_io`` are globs of inputs and outputs that may change shape, ``states`` declare pairs of them (``IN=OUT``)
    that may change together; those of ``allow_io`` that are states by their names are tied as well. ``ties`` declares
    other pairs of inputs and outputs that hold the same axes. ``remapped`` are nodes whose indices the caller changes
    to the places that rows have afterwards, so that their tables may lose rows.

    Raises :class:`InputError` for a state or a tie of what the graph does not have.
    """
    across, pairs = declared_ties(graph, ties)
    return _Walk(graph, allow_io, [*declared_states(graph, states), *across], pairs, remapped).run()


class _Walk:
    def __init__(
        self,
        graph: Graph,
        allow_io: Sequence[str],
        declared: Sequence[State],
        ties: Sequence[Pair],
        remapped: Collection[str] = (),
    ) -> None:
        self.graph = graph
        self.remapped = frozenset(remapped)
        self.allow_io = allow_io
        self.declared = {name for pair in (*declared, *ties) for name in pair}
        self.ties = ties
        self.system = AxisSystem(graph.named_symbols)
        changeable = frozenset(filter(self._may_change, (*graph.inputs, *graph.outputs)))
        self.result = Coupling(graph, self.system, states=self._states(declared), changeable=changeable)
        self.integers = Integers(graph, self._sizes)
        self.ramps = Ramps(graph, self.integers)
        self.deferred: list[tuple[Region, dict[str, Axis]]] = []
        self.skipped: set[str] = set()
        self.from_constants = set(graph.constants)
        self.result.weights.update(graph.constants)
        self.repetitions = Repetitions(self.system)
        self.routing = find_routing(graph)
        self.unknowns = 0

    def run(self) -> Coupling:
        for name in self.graph.inputs:
            self._enter(name)
        for node in self.graph.canonical:
            self._trace(node)
            if node.name not in self.skipped:
                self._visit(node)
        self.repetitions.tie_state()
        for before, after in self.result.states:
            self._tie(before, after, Place("state", f"{before}={after}"))
        for left, right in self.ties:
            self._tie(left, right, Place("tie", f"{left}={right}"))
        self._tie_twins()
        self._settle_regions()
        for name in self.graph.outputs:
            if not self._may_change(name):
                self._freeze(self.result.dims.get(name), graph_output(name))
                self._freeze_sizes_in(name)
        self.result.iterations = find_iterations(self.graph, self.result.operand, self.integers.entries)
        self._settle()
        return self.result

    def _states(self, declared: Sequence[State]) -> tuple[State, ...]:
        """The declared states, and those found by name among the inputs and outputs that may change."""
        inputs = [name for name in self.graph.inputs if self._may_change(name) and name not in self.declared]
        outputs = [name for name in self.graph.outputs if self._may_change(name) and name not in self.declared]
        return (*declared, *found_states(self.graph, inputs, outputs))

    def _tie(self, left: str, right: str, where: Place) -> None:
        """Make the ends of a wire one axis in each dimension of known size. Where one may not change, neither may."""
        one, other = self.result.dims.get(left), self.result.dims.get(right)
        if one is None or other is None:
            self._freeze(one or other, where.reason("the rank of one end is unknown", Kind.REFUSED))
            return
        for axis, twin in zip(one, other, strict=True):
            if size_of(axis).is_static and size_of(twin).is_static:
                self.system.unify(axis, twin, where)

    def _tie_twins(self) -> None:
        """Weights that several models store have the same axes, except where they are analyzed per use."""
        for left, right in self.graph.twins:
            one, other = self.result.dims.get(left), self.result.dims.get(right)
            for axis, twin in zip(one, other, strict=True) if one is not None and other is not None else ():
                self.system.unify(axis, twin, Place("equal weights", f"{left}={right}"))

    def _trace(self, node: Node) -> None:
        """Note what is computed from constants alone, and from weights alone."""
        for known in (self.from_constants, self.result.weights):
            if all(name in known for name in node.inputs if name) and not node.captures:
                known.update(node.outputs)
        self.result.weights.update(weights_handed_in(self.graph, node, self.result.weights))

    def _freeze_sizes_in(self, name: str) -> None:
        """Freeze the sizes that an output reports: it is computed from sizes alone, and the user reads them."""
        if self.integers.entries(name) is None:
            return
        waiting, seen = [name], {name}
        while waiting:
            node = self.graph.producers.get(waiting.pop())
            if node is not None and traits_of(node.qualified_op).reads_sizes:
                why = f"its size is graph output '{name}'"
                self._freeze(self.result.dims.get(node.inputs[0]), plain(why, Kind.GRAPH_OUTPUT))
            elif node is not None:
                waiting += [operand for operand in node.inputs if operand and operand not in seen]
                seen.update(node.inputs)

    def _settle(self) -> None:
        """Replace every expression by its final form. Values that shared an expression still do."""
        final: dict[Axis, Axis] = {}

        def settled(dims: Dims) -> Dims:
            for axis in dims:
                if axis not in final:
                    final[axis] = settle(axis)
            return tuple(final[axis] for axis in dims)

        result = self.result
        result.dims = {name: None if dims is None else settled(dims) for name, dims in result.dims.items()}
        result.uses = {use: settled(dims) for use, dims in result.uses.items()}
        result.matched = {
            name: replace(matched, axes={letter: settled(dims) for letter, dims in matched.axes.items()})
            for name, matched in result.matched.items()
        }
        result.repeated = tuple((settle(axis), settle(use)) for axis, use in self.repetitions.pairs)

    # -- values ------------------------------------------------------------------------------------------------

    def _may_change(self, name: str) -> bool:
        return name in self.declared or any(fnmatchcase(name, pattern) for pattern in self.allow_io)

    def _enter(self, name: str) -> None:
        dims = self._fresh(name, self.graph.shape(name))
        self.result.dims[name] = dims
        if not self._may_change(name):
            self._freeze(dims, graph_input(name))

    def _fresh(self, name: str, shape: Sequence[int | str | Size | None] | None) -> Dims | None:
        if shape is None:
            return None
        return tuple(self.system.leaf(self._size(size), f"{name}.{k}") for k, size in enumerate(shape))

    def _size(self, size: int | str | Size | None) -> Size:
        if size is not None and Size.of(size).coefficient >= 0:  # models declare negative sizes, too
            return Size.of(size)
        self.unknowns += 1
        return Size.of(Unknown(f"?{self.unknowns}"))

    def _dims(self, name: str) -> Dims | None:
        if name not in self.result.dims and name in self.graph.constants:
            self.result.dims[name] = self._fresh(name, self.graph.constants[name].shape)
        return self.result.dims.get(name)

    def _sizes(self, name: str) -> tuple[Size, ...] | None:
        if name in self.graph.constants:
            return tuple(map(Size.of, self.graph.constants[name].shape))
        return self.result.sizes(name)

    def _freeze(self, dims: Dims | None, reason: Reason) -> None:
        for axis in dims or ():
            self.system.freeze(axis, reason)

    # -- nodes -------------------------------------------------------------------------------------------------

    def _visit(self, node: Node) -> None:
        region = find_region(self.graph, node, self._sizes, self.integers)
        if region is not None and not self.repetitions.of(region.operand):
            self._defer(region)
            return
        self._bind_node(node)

    def _bind_node(self, node: Node) -> None:
        try:
            ctx = self._site(node)
            self._match(node, ctx, signature_of(ctx))
        except NoSignature as refusal:
            self._refuse(node, str(refusal), refusal.kind)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            why = f"its attributes or operands make no sense ({type(error).__name__}: {error})"
            self._refuse(node, why, Kind.REFUSED)

    def _refuse(self, node: Node, why: str, kind: Kind) -> None:
        reason = place_of(node).reason(why, kind)
        self.result.refused[node.name] = reason
        if node.name in self.routing.lookups:
            self._choose(self.routing.lookups[node.name], (), place_of(node))
        for position in range(len(node.inputs)):
            self.result.uses.pop((node.name, position), None)
        for name in (*node.inputs, *node.captures):
            if name:
                self._freeze(self._dims(name), reason)
        for position in range(len(node.inputs)):
            self._freeze(self.result.uses.get((node.name, position)), reason)
        for name in node.outputs:
            if name:
                dims = self._fresh(name, self.graph.shape(name))
                self.result.dims[name] = dims
                self._freeze(dims, reason)

    def _site(self, node: Node) -> RuleContext:
        def read(position: int) -> Array | None:
            name = node.inputs[position] if position < len(node.inputs) else ""
            return self.integers.array(name) if name else None

        def stored(position: int) -> Array | None:
            name = node.inputs[position] if position < len(node.inputs) else ""
            constant = self.graph.constants.get(name)
            if constant is None or constant.read is None or not is_integer(constant.dtype):
                return None
            return constant.numpy()

        def entries(position: int) -> tuple[Size | None, ...] | None:
            name = node.inputs[position] if position < len(node.inputs) else ""
            found = self.integers.entries(name) if name else None
            if found is None:
                return None
            return tuple(entry if isinstance(entry, Size) else None for entry in found.ravel())

        def ramp(position: int) -> Ramp | None:
            name = node.inputs[position] if position < len(node.inputs) else ""
            return self.ramps.ramp(name) if name else None

        def inferred(name: str) -> tuple[Size | None, ...] | None:
            shape = self.graph.shape(name) if name else None
            return None if shape is None else tuple(None if dim is None else Size.of(dim) for dim in shape)

        def readers(position: int) -> tuple[tuple[str, int], ...]:
            name = node.outputs[position] if position < len(node.outputs) else ""
            seen = ("", 0) if name in self.graph.outputs or name in self.graph.yielded else None
            found = [(user.qualified_op, k) for user, k in self.graph.consumers.get(name, ())] if name else []
            return (*found, *([] if seen is None else [seen]))

        return RuleContext(
            node,
            self.graph.opsets.get(node.domain, 0),
            tuple(self._sizes(name) if name else None for name in node.inputs),
            tuple(inferred(name) for name in node.outputs),
            read,
            stored,
            entries,
            ramp,
            readers,
            node.name in self.routing.nodes,
        )

    def _operand_dims(self, node: Node, position: int, notation: Operand, outputs: frozenset[str]) -> Dims | None:
        """The axes of an operand. A constant that is not the weight of a contraction gets axes of its own for this use.

        If all operands are constants, any of them may be the weight, except 1-D tensors, fills and computed constants.
        """
        name = node.inputs[position]
        if name not in self.graph.constants or notation is None:
            return self._dims(name)
        entry = self.graph.entries.get(node.name, "")
        if entry in self.result.matched or entry in self.result.refused:
            return self._handed_in(node, position, entry)
        names = {inner for item in notation for inner in names_of(item)}
        alone = all(other in self.from_constants for other in node.inputs if other)
        is_weight = (alone and not self._is_vector(name)) or not names <= outputs
        if is_weight and not self.graph.constants[name].computed and not (alone and self._is_fill(name)):
            return self._dims(name)
        dims = self._fresh(f"{name}", self.graph.constants[name].shape)
        assert dims is not None
        self.result.uses[node.name, position] = dims
        return dims

    def _is_vector(self, name: str) -> bool:
        constant = self.graph.constants[name]
        return len(constant.shape) == 1 and is_float(constant.dtype)

    def _is_fill(self, name: str) -> bool:
        """Whether several nodes read one tensor of equal elements: any part of it will do for each of them."""
        constant = self.graph.constants[name]
        if len(self.graph.consumers[name]) < 2 or constant.read is None or constant.size < 2:
            return False
        array = constant.numpy().reshape(-1)
        return bool(array[0] == array[-1] and (array == array[0]).all())

    def _handed_in(self, node: Node, position: int, entry: str) -> Dims | None:
        """The axes of a constant that a body starts from: the control node and its entry share one use of it."""
        dims = self.result.uses.get((entry, position))
        if dims is not None:
            self.result.uses[node.name, position] = dims
        return dims or self._dims(node.inputs[position])

    def _match(self, node: Node, ctx: RuleContext, found: Signature) -> None:
        where = place_of(node)
        notation = found.notation
        matcher = Matcher(self.system, found, where)
        carried = self.repetitions.carried({k: name for k, name in enumerate(node.inputs) if name}, found)
        named = frozenset(n for operand in notation.outputs if operand for item in operand for n in names_of(item))
        for position, name in enumerate(node.inputs):
            operand = notation.inputs[position] if position < len(notation.inputs) else None
            if not name:
                continue
            dims = self._operand_dims(node, position, operand, named)
            own = None if dims is None else self.repetitions.use(name, dims, operand, carried, found)
            if own is not None:
                dims = self.result.uses[node.name, position] = own
            if operand is not None and dims is None:
                raise NoSignature(f"the rank of '{name}' is unknown")
            if operand is not None and dims is not None:
                matcher.operand(operand, dims)
            else:
                why = f"operand {position} counts positions, it holds no channels"
                self._freeze(dims, where.reason(why, Kind.POSITIONS))
        for position, name in enumerate(node.outputs):
            if name:
                operand = notation.outputs[position] if position < len(notation.outputs) else None
                shape = ctx.outputs[position]
                if operand is None:
                    self.result.dims[name] = self._fresh(name, self._evaluated(name) if shape is None else shape)
                    self._freeze(self.result.dims[name], where.reason("its result holds no channels", Kind.REFUSED))
                else:
                    self.result.dims[name] = matcher.result(operand, shape, self._size, name)
                    if not node.mutated:  # a later write makes its elements differ
                        self.repetitions.enter(name, operand, carried | notation.repeated)
        for axis_map in found.maps:
            matcher.relate(axis_map.operand, axis_map.result, axis_map.indices)
        reason = where.reason(found.reason.words, found.reason.kind)
        for name in notation.opaque - self._looked_up(node, found):
            self._freeze(matcher.axes.get(name), reason)
        self.result.matched[node.name] = MatchedNode(node, found, matcher.axes)
        if node.name in self.routing.lookups:
            self._choose(self.routing.lookups[node.name], matcher.axes.get(found.chosen, ()), where)
        if traits_of(node.qualified_op).picks_from(0) and self._is_stack(node.inputs[0]):
            self.result.weights.update(node.outputs)

    def _choose(self, ranking: str, tables: Dims, where: Place) -> None:
        """The axis of a table whose rows a ranking picks is the axis that is ranked; both are frozen if one is."""
        matched = self.result.matched.get(ranking)
        ranked = [axis for name in matched.signature.notation.ranked for axis in matched.axes[name]] if matched else []
        if not tables or not ranked:
            self._freeze((*tables, *ranked), where.reason(LOOKED_UP.words, LOOKED_UP.kind))
        for axis, other in zip(tables, ranked, strict=False):
            self.system.unify(axis, other, where)

    def _looked_up(self, node: Node, found: Signature) -> set[str]:
        """The axes of rows of the tables of a node whose indices the caller changes."""
        if node.name not in self.remapped:
            return set()
        traits = traits_of(node.qualified_op)
        operands = [found.notation.inputs[k] for tables in traits.lookups.values() for k in tables]
        axis = node.int(traits.lookup_axis, 0)
        return {name for operand in operands if operand for name in names_of(operand[axis])}

    def _is_stack(self, name: str) -> bool:
        return name in self.result.weights and len(self.graph.shape(name) or ()) > 2

    def _evaluated(self, name: str) -> tuple[int, ...] | None:
        """The shape of a value of shape arithmetic, if evaluation knows it."""
        entries = self.integers.entries(name)
        return None if entries is None else entries.shape

    # -- view chains -------------------------------------------------------------------------------------------

    def _defer(self, region: Region) -> None:
        """Give the results of the chain new axes; how they relate to the axis of the operand is decided at the end."""
        operand = self.result.dims[region.operand]
        assert operand is not None
        axes: dict[str, Axis] = {}
        for name, indices in region.results.items():
            axes[name] = self.system.leaf(len(indices), f"{name}.{region.axis}")
            self.result.dims[name] = (*operand[: region.axis], axes[name], *operand[region.axis + 1 :])
        self.skipped |= region.nodes
        self.deferred.append((region, axes))

    def _settle_regions(self) -> None:
        """If the dimension factors elsewhere (a grouped convolution), the chain acts on factors, else on elements."""
        pending = self.deferred
        while True:
            factored = [item for item in pending if self._is_factored(*item)]
            if not factored:
                break
            pending = [item for item in pending if item not in factored]
            for region, _ in factored:
                self._expand(region)
        self.result.first_chain = len(self.system.relations)
        for region, axes in pending:
            operand = self.result.dims[region.operand]
            assert operand is not None
            for name, indices in region.results.items():
                whole = np.arange(len(indices))
                where = Place("view chain", region.first)
                self.system.relate(axes[name], whole, operand[region.axis], np.asarray(indices), where)
            self.result.regions.append(region)

    def _is_factored(self, region: Region, axes: dict[str, Axis]) -> bool:
        operand = self.result.dims[region.operand]
        assert operand is not None
        return any(len(_factors(axis)) > 1 for axis in (operand[region.axis], *axes.values()))

    def _expand(self, region: Region) -> None:
        """Match the nodes of the chain one by one, and unify its results with the axes that they were given."""
        given = {name: self.result.dims[name] for name in region.results}
        for node in self.graph.canonical:
            if node.name in region.nodes:
                self._bind_node(node)
        for name, dims in given.items():
            computed = self.result.dims[name]
            for left, right in zip(dims or (), computed or (), strict=True):
                self.system.unify(left, right, Place("view chain", region.first))


def place_of(node: Node) -> Place:
    """How reasons name a node."""
    return Place(node.qualified_op, node.name)


def _factors(axis: Axis) -> list[Axis]:
    """The factors of the most finely factored part of a dimension."""
    axis = resolve(axis)
    parts = getattr(axis, "parts", (axis,))
    return max((list(getattr(part, "factors", (part,))) for part in parts), key=len, default=[])
