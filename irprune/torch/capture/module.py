"""From a module or exported program to a graph of ATen calls that irprune can read: export and normal forms."""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from ...errors import InputError
from ...frontends.aten import aten_operator
from ...frontends.captured import Captured, attribute_of
from ...frontends.effects import mutated_nodes, operator_name, viewed_by
from .decompositions import decompose
from .export_errors import why_not_exported
from .recording import record
from .recurrent import one_call_a_layer

AnyModule: TypeAlias = "nn.Module | ExportedProgram"
Target: TypeAlias = "torch._ops.OpOverload[Any, Any]"

_ATEN = torch.ops.aten


def capture(
    model: AnyModule,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> Captured:
    """The model as ATen calls, with its own parameter names.

    An :class:`ExportedProgram` needs no inputs. Raises :class:`InputError` for a model that ``torch.export`` cannot
    capture, naming its reason.
    """
    if isinstance(model, ExportedProgram):
        program = model
    elif isinstance(model, torch.jit.ScriptModule):
        raise InputError("torch.export takes no TorchScript module: pass the torch.nn.Module that it was made of")
    elif not isinstance(model, nn.Module):
        raise InputError(f"expected a torch.nn.Module or an ExportedProgram, got {type(model).__name__}")
    elif example_inputs is None and not example_kwargs:
        raise InputError(
            "example inputs are missing: torch.export traces the module with them; pass example_inputs=(...)"
        )
    else:
        args, kwargs = tuple(example_inputs or ()), dict(example_kwargs or {})
        with quiet():
            recording = None if dynamic_shapes else record(model, args, kwargs)
        if recording is not None:
            return _captured(model, recording.graph, type(model), recording.constants)
        program = export(model, args, kwargs, dynamic_shapes)
    with quiet():
        module = program.module(check_guards=False)
    assert isinstance(module, fx.GraphModule)
    _leave_out_of_the_state(module, program.graph_signature.lifted_tensor_constants)
    _inline_contexts(module)
    return _captured(module, module.graph, type(model))


def _captured(
    root: nn.Module, graph: fx.Graph, origin: type, constants: Mapping[str, Tensor] | None = None
) -> Captured:
    """The calls of a graph in normal form, with their state from ``root`` or from the constants."""
    normalize(graph)
    _refuse_mutated_parameters(root, graph)
    if not any(node.all_input_nodes for node in graph.nodes if node.op == "output"):
        raise InputError(f"{origin.__name__} returns no tensor: there is nothing to compare")
    return Captured.of(root, graph, constants or {})


def export(model: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], dynamic_shapes: Any) -> ExportedProgram:
    """``torch.export.export``; raises :class:`InputError` with the reason in one line."""
    try:
        with quiet():
            return torch.export.export(model, inputs, kwargs, dynamic_shapes=dynamic_shapes, strict=False)
    except Exception as error:  # torch.export raises errors of a dozen unrelated kinds
        raise InputError(why_not_exported(error, model, inputs, kwargs)) from error


def _leave_out_of_the_state(module: fx.GraphModule, names: Sequence[str]) -> None:
    """Constants that ``forward`` creates are not part of the state of the model."""
    for name in names:
        path, _, last = name.rpartition(".")
        module.get_submodule(path)._non_persistent_buffers_set.add(last)


def _refuse_mutated_parameters(root: nn.Module, graph: fx.Graph) -> None:
    """By the graph, not by the export signature: programs for training list no mutated parameters there."""
    for node in mutated_nodes(graph):
        if node.op == "get_attr" and isinstance(attribute_of(root, str(node.target)), nn.Parameter):
            raise InputError(
                f"forward changes parameter '{node.target}' in place; make it a buffer, or return the new value"
            )


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings and log lines of tracing."""
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)  # errors are raised as well as logged
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


# -- normal forms -----------------------------------------------------------------------------------------------------


def normalize(graph: fx.Graph) -> None:
    """Rewrite calls whose numbers cannot follow a removal.

    An even split may become an uneven one (``chunk, split -> split_with_sizes``) and a dimension may shrink to one
    (``squeeze() -> squeeze(dims)``). Recurrent layers get one call each, and a view that is only read needs no
    particular strides (``view -> reshape``): the exporter and other memory formats use different strides. Positions
    are computed out of place (``add_ -> add``).
    """
    _count_out_of_place(graph)
    decompose(graph, {key.partition(".")[0] for key in _NORMAL})
    written = mutated_nodes(graph)
    for node in list(graph.nodes):
        rule = _normal_form(node)
        if rule is not None and (node not in written or rule in _SPLITS):
            rule(graph, node)
    graph.eliminate_dead_code(_has_effect)  # unread calls must not couple axes


def _has_effect(node: fx.Node) -> bool:
    """Remove unread calls, except those that write in place, draw random numbers or check sizes.

    Parameters stay under all of their names, and the results of a call stay together.
    """
    if node.op == "get_attr" or node.target is operator.getitem:
        return True
    return bool(node.is_impure()) and not aten_operator(operator_name(node)).checks_metadata


def _normal_form(node: fx.Node) -> Callable[[fx.Graph, fx.Node], None] | None:
    """The rule of an overload, or of all overloads of an operator."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return None
    name = operator_name(node)
    return _NORMAL.get(f"{name}.{node.target._overloadname or 'default'}") or _NORMAL.get(name)


def _explicit_split(split: Target, graph: fx.Graph, node: fx.Node) -> None:
    """A split into parts of given sizes. They are views, as before: something may write into them."""
    parts = node.meta["val"]
    dim = node.kwargs.get("dim", node.args[2] if len(node.args) > 2 else 0)
    assert isinstance(dim, int)
    sizes = [part.shape[dim] for part in parts]
    if all(isinstance(size, int) for size in sizes):
        node.target = split
        node.args, node.kwargs = (node.args[0], sizes, dim), {}


def _explicit_squeeze(graph: fx.Graph, node: fx.Node) -> None:
    data = node.args[0]
    assert isinstance(data, fx.Node)
    shape = data.meta["val"].shape
    node.target = _ATEN.squeeze.dims
    node.args = (data, [k for k, size in enumerate(shape) if isinstance(size, int) and size == 1])


def _reshape(graph: fx.Graph, node: fx.Node) -> None:
    node.target = _ATEN.reshape.default


def _explicit_fill(plain: Target, graph: fx.Graph, node: fx.Node) -> None:
    """``zeros_like(x) -> x.new_zeros(sizes)``: only the type comes from ``x``, so channels need not agree."""
    like = node.args[0]
    assert isinstance(like, fx.Node)
    sizes = like.meta["val"].shape
    if not all(isinstance(size, int) or str(size).isidentifier() for size in sizes):
        return  # a product with a factor that may shrink
    with graph.inserting_before(node):
        spelled = [size if isinstance(size, int) else _size_of(graph, like, k) for k, size in enumerate(sizes)]
    node.target = plain
    node.args = (like, spelled, *node.args[1:])
    node.kwargs = {name: value for name, value in node.kwargs.items() if name != "memory_format"}


def _size_of(graph: fx.Graph, tensor: fx.Node, dim: int) -> fx.Node:
    size = graph.call_function(_ATEN.sym_size.int, (tensor, dim))
    size.meta["val"] = tensor.meta["val"].shape[dim]
    return size


def _shuffle_as_views(graph: fx.Graph, node: fx.Node) -> None:
    """``channel_shuffle(x, g) -> view, transpose, view``."""
    data, groups = node.args[0], node.args[1]
    assert isinstance(data, fx.Node) and isinstance(groups, int)
    value = data.meta["val"]
    channels = value.shape[1]
    with graph.inserting_before(node):
        split = graph.call_function(_ATEN.unflatten.int, (data, 1, [groups, channels // groups]))
        split.meta["val"] = value.unflatten(1, (groups, channels // groups))
        swapped = graph.call_function(_ATEN.transpose.int, (split, 1, 2))
        swapped.meta["val"] = split.meta["val"].transpose(1, 2)
        joined = graph.call_function(_ATEN.flatten.using_ints, (swapped, 1, 2))
        joined.meta["val"] = node.meta["val"]
    node.replace_all_uses_with(joined)
    graph.erase_node(node)


_SPLITS = (
    partial(_explicit_split, _ATEN.split_with_sizes.default),
    partial(_explicit_split, _ATEN.unsafe_split_with_sizes.default),
)
"""Whose results are views, and whose are not."""

_NORMAL: dict[str, Callable[[fx.Graph, fx.Node], None]] = {
    **dict.fromkeys(("chunk", "split", "tensor_split"), _SPLITS[0]),
    **dict.fromkeys(("unsafe_chunk", "unsafe_split"), _SPLITS[1]),
    "squeeze.default": _explicit_squeeze,
    "zeros_like": partial(_explicit_fill, _ATEN.new_zeros.default),
    "ones_like": partial(_explicit_fill, _ATEN.new_ones.default),
    "full_like": partial(_explicit_fill, _ATEN.new_full.default),
    "view.default": _reshape,
    **dict.fromkeys(("lstm.input", "gru.input"), one_call_a_layer),
    "channel_shuffle": _shuffle_as_views,
    "native_channel_shuffle": _shuffle_as_views,
}


def _count_out_of_place(graph: fx.Graph) -> None:
    """``x.add_(y) -> x.add(y)`` for integers or booleans ``x`` that nothing else reads afterwards.

    A tensor that is written into is not known at import. Activations stay: in-place writes save memory.
    """
    for node in graph.nodes:
        plain = _out_of_place(node)
        if plain is not None and _is_the_last_to_read(node, node.args[0]):
            node.target = plain


def _out_of_place(node: fx.Node) -> torch._ops.OpOverload[Any, Any] | None:
    """The out-of-place operator, if its result has the same type."""
    target, name = node.target, operator_name(node)
    if not isinstance(target, torch._ops.OpOverload) or not name.endswith("_") or not hasattr(_ATEN, name[:-1]):
        return None
    plain = getattr(getattr(_ATEN, name[:-1]), target._overloadname, None)
    if plain is None or torch.Tag.pointwise not in plain.tags:
        return None
    value = node.meta["val"]
    if value.is_floating_point() or value.is_complex():
        return None
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda operand: _one_of(operand.meta["val"]))
    return plain if plain(*args, **kwargs).dtype == value.dtype else None


def _one_of(value: Any) -> Any:
    """A one-element sample of an argument: of the type of a tensor, or an integer for a size."""
    return torch.ones([1] * value.dim(), dtype=value.dtype) if isinstance(value, torch.Tensor) else 1


def _is_the_last_to_read(node: fx.Node, operand: Any) -> bool:
    """Whether a call is the only one that writes into a tensor, which has no aliases or views."""
    if operand.op != "call_function" or viewed_by(operand) is not None:
        return False
    others = [user for user in operand.users if user is not node]
    return all(
        user < node and isinstance(user.meta.get("val"), torch.Tensor) and viewed_by(user) is not operand
        for user in others
    )


def _inline_contexts(module: fx.GraphModule) -> None:
    """Inline the body of ``with torch.autocast(...)`` or ``torch.no_grad()``."""
    graph = module.graph
    for node in list(graph.nodes):
        name = getattr(node.target, "__name__", "")
        if node.op != "call_function" or name not in ("wrap_with_autocast", "wrap_with_set_grad_enabled"):
            continue
        position = next(k for k, argument in enumerate(node.args) if _is_body(module, argument))
        if name == "wrap_with_autocast" and node.args[position - 2 if position > 1 else 0] is True:
            continue  # autocast changes types
        body = getattr(module, str(node.args[position].target))
        mapping = dict(
            zip((n for n in body.graph.nodes if n.op == "placeholder"), node.args[position + 1 :], strict=True)
        )
        with graph.inserting_before(node):
            result = graph.graph_copy(body.graph, mapping)
        results = result if isinstance(result, (list, tuple)) else [result]
        for user in list(node.users):
            if user.target is operator.getitem:
                user.replace_all_uses_with(results[user.args[1]])
                graph.erase_node(user)
        if node.users:
            node.replace_all_uses_with(results[0])
        graph.erase_node(node)


def _is_body(module: fx.GraphModule, argument: Any) -> bool:
    return (
        isinstance(argument, fx.Node)
        and argument.op == "get_attr"
        and isinstance(getattr(module, str(argument.target), None), fx.GraphModule)
    )
