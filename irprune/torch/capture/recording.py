"""Records the ATen calls of a module while ``forward`` runs once on tensors without data.

The result is the graph of ``torch.export.export(..., strict=False)`` for fixed sizes, several times faster: export
traces through layers of dispatch for symbolic sizes, guards and higher-order operators. Here a dispatch mode sees each
call once, in inference mode, where composite operators (``conv2d``, ``linear``, ``batch_norm``) are not decomposed.

Modules that are not plain are left to export, which supports more and reports errors better: :func:`record` then
returns ``None``, and leaves the model unchanged.
"""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.graph import _PyTreeCodeGen, _PyTreeInfo
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ...frontends.effects import mutated_nodes
from .attributes import Attributes
from .meta_tensors import Dataless, MetaTensor

_ATEN = torch.ops.aten
_DETACH_ = _ATEN.detach_.default

_PLAIN = (type(None), bool, int, float, str)
"""Types of inputs other than tensors; the graph holds their values."""

_ARGUMENTS = (*_PLAIN, complex, torch.dtype, torch.device, torch.layout, torch.memory_format)
"""Types of arguments that a graph can hold."""


class NotPlain(Exception):
    """Why a module is left to ``torch.export``."""


@dataclass(frozen=True)
class Recording:
    """Calls, and the tensors that ``forward`` spells out, or finds in plain attributes, by the names that they get."""

    graph: fx.Graph
    constants: Mapping[str, Tensor]


def record(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Recording | None:
    """The calls of one run, as export would give them; ``None`` for models that only export can capture."""
    if _is_special(model):
        return None
    attributes = Attributes(model)
    try:
        recording = _recorded(model, attributes, args, kwargs)
    except Exception:  # whatever fails here, export decides
        return None
    finally:
        changed = attributes.restore()
    return None if changed else recording


def _is_special(model: nn.Module) -> bool:
    """Whether the model contains graph modules, or a context changes the meaning of calls."""
    own = (fx.GraphModule, torch.jit.ScriptModule)
    if any(isinstance(module, own) for module in model.modules()) or torch.is_inference_mode_enabled():
        return True
    return _has_autocast() or not hasattr(torch.compiler, "_is_exporting_flag")


def _has_autocast() -> bool:
    return torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")


def _recorded(model: nn.Module, attributes: Attributes, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Recording:
    grad = torch.is_grad_enabled()
    leaves, in_spec = pytree.tree_flatten((args, dict(kwargs)))
    with torch.inference_mode():
        recorder = _Recorder(fx.Graph(), model)
        names, paths = _input_names(model, args, kwargs)
        fakes = [recorder.input(path, leaf) for path, leaf in zip(paths, leaves, strict=True)]
        attributes.exchange(recorder.state())
        fake_args, fake_kwargs = pytree.tree_unflatten(fakes, in_spec)
        with torch.set_grad_enabled(grad), _as_in_export(), _watching_autocast(recorder), recorder:
            results = model(*fake_args, **fake_kwargs)
    if recorder.refused or recorder.has_other_data() or recorder.changes_constants():
        raise NotPlain(recorder.refused)
    found, out_spec = pytree.tree_flatten(results)
    recorder.graph.output(tuple(map(recorder.operand, found)))
    recorder.graph.set_codegen(_PyTreeCodeGen(_PyTreeInfo(names, in_spec, out_spec)))
    return Recording(recorder.graph, recorder.constants)


@contextmanager
def _as_in_export() -> Iterator[None]:
    """Set ``torch.compiler.is_exporting()``, by which modules choose an implementation, and turn cuDNN off."""
    before = torch.compiler._is_compiling_flag, torch.compiler._is_exporting_flag
    torch.compiler._is_compiling_flag = torch.compiler._is_exporting_flag = True
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch.compiler._is_compiling_flag, torch.compiler._is_exporting_flag = before


@contextmanager
def _watching_autocast(recorder: _Recorder) -> Iterator[None]:
    """Refuse autocast: operators cast their operands before the recorder sees them, while an export wraps them.

    The flag itself is off again where a call is recorded, as it is in ``autocast(enabled=False)``.
    """
    original = torch.set_autocast_enabled

    def watched(*args: Any) -> None:
        if args[-1]:
            recorder.refused = "autocast"
        original(*args)

    torch.set_autocast_enabled = watched  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.set_autocast_enabled = original


def _input_names(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The names of the arguments, and of each leaf in them, from the signature of ``forward``."""
    signature = inspect.signature(model.forward)
    bound = signature.bind(*args, **kwargs).arguments
    names: list[str] = []
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{name}_{k}" for k in range(len(bound.get(name, ())))]
        elif len(names) < len(args):
            names.append(name)
    names = [*names[: len(args)], *kwargs]
    given = dict(zip(names, (*args, *kwargs.values()), strict=True))
    paths, _ = pytree.tree_flatten_with_path(given)
    return names, ["_".join(map(_key_name, path)).lower() for path, _ in paths]


def _key_name(key: Any) -> str:
    found = next(getattr(key, name) for name in ("key", "idx", "name") if hasattr(key, name))
    return re.sub(r"[^a-zA-Z0-9]", "_", str(found))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every call, and answers it with tensors without data."""

    def __init__(self, graph: fx.Graph, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph
        self.model = model
        self.constants: dict[str, Tensor] = {}
        self.refused = ""
        self._dataless = Dataless()
        self._nodes: dict[int, tuple[Tensor, fx.Node]] = {}  # by id: all of these tensors stay alive
        self._names: dict[int, list[str]] = {}  # of the MetaTensors of parameters, buffers and constants
        self._constants: dict[int, tuple[Tensor, Tensor]] = {}  # other tensors by id, each with its MetaTensor
        self._first: fx.Node | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # skips a wrapper that imports dynamo only to disable it

    # -- what is there before the run --------------------------------------------------------------------------

    def input(self, name: str, leaf: Any) -> Any:
        node = self.graph.placeholder(name)
        if isinstance(leaf, Tensor):
            return self._known(node, self._stand_in(name, leaf))
        if not isinstance(leaf, _PLAIN):
            raise NotPlain(f"input '{name}' is a {type(leaf).__name__}")
        return _with_value(node, leaf)

    def state(self) -> dict[int, Tensor]:
        """The MetaTensor of each parameter and buffer, by the id of the tensor."""
        self._first = next(iter(self.graph.nodes), None)
        if self._first is None:
            raise NotPlain("no inputs")
        found: dict[int, Tensor] = {}
        for name, tensor in (
            *self.model.named_parameters(remove_duplicate=False),
            *self.model.named_buffers(remove_duplicate=False),
        ):
            if id(tensor) not in found:
                found[id(tensor)] = self._stand_in(name, tensor)
            self._names.setdefault(id(found[id(tensor)]), []).append(name)
        return found

    def _read(self, tensor: Tensor) -> None:
        """Put what is stored in front of the inputs under all of its names; the last one is read."""
        assert self._first is not None
        with self.graph.inserting_before(self._first):
            for name in self._names[id(tensor)]:
                self._known(self.graph.create_node("get_attr", name, name=name.replace(".", "_").lower()), tensor)

    def _stand_in(self, name: str, tensor: Tensor) -> Tensor:
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout is not torch.strided:
            raise NotPlain(f"'{name}' is a {type(tensor).__name__}")
        return self._dataless.like(tensor)

    def has_other_data(self) -> bool:
        return self._dataless.has_other_data()

    def changes_constants(self) -> bool:
        """Whether anything is written into a tensor that is neither parameter nor buffer."""
        return bool(self.constants) and any(
            node.op == "get_attr" and node.target in self.constants for node in mutated_nodes(self.graph)
        )

    # -- the run -----------------------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        try:
            return self._call(func, args, kwargs or {})
        except Exception as error:
            self.refused = self.refused or f"{func}: {error}"  # even if the model catches the error
            raise

    def _call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not isinstance(func, torch._ops.OpOverload) or (
            torch.Tag.inplace_view in func.tags and func is not _DETACH_
        ):
            raise NotPlain("it changes what a tensor is")
        func = _ATEN.lift_fresh_copy.default if func is _ATEN.lift_fresh.default else func
        args, kwargs = self._without_data(args), {name: self._without_data(value) for name, value in kwargs.items()}
        operands = tuple(map(self.operand, args))
        options = {name: self.operand(value) for name, value in kwargs.items()}
        result = self._dataless.call(func, args, kwargs)
        if func is _ATEN.detach.default and _makes_new(operands[0].target):
            return self._known(operands[0], result)  # PyTorch returns the same object for factory functions
        packet = func.overloadpacket.__name__
        node = self.graph.create_node("call_function", func, operands, options, name=packet)
        return self._results(node, result)

    def _without_data(self, value: Any) -> Any:
        """An argument with stand-ins for the tensors in it that are neither parameters nor buffers."""
        if isinstance(value, (list, tuple)):
            return type(value)([self._without_data(item) for item in value])
        if not isinstance(value, Tensor) or isinstance(value, MetaTensor):
            return value
        if type(value) is not Tensor:
            raise NotPlain(f"a {type(value).__name__} that no module has")
        if id(value) not in self._constants:
            name = self._attributes.get(id(value)) or self._name_of_constant()
            made = self._stand_in(name, value)
            self.constants[name] = value.detach()
            self._constants[id(value)] = value, made
            self._names[id(made)] = [name]
        return self._constants[id(value)][1]

    def _name_of_constant(self) -> str:
        names = (f"lifted_tensor_{number}" for number in count())
        return next(name for name in names if name not in self.constants and not hasattr(self.model, name))

    @cached_property
    def _attributes(self) -> dict[int, str]:
        """The names of plain tensors among the attributes of modules, by their ids."""
        return {
            id(value): f"{path}.{name}" if path else name
            for path, module in self.model.named_modules()
            for name, value in vars(module).items()
            if isinstance(value, Tensor)
        }

    def operand(self, value: Any) -> Any:
        """A value as an argument of a node."""
        if isinstance(value, Tensor):
            if id(value) not in self._nodes:
                if id(value) not in self._names:
                    raise NotPlain("a tensor that nothing is known of")
                self._read(value)
            return self._nodes[id(value)][1]
        if isinstance(value, (list, tuple)):
            return [self.operand(item) for item in value]
        if not isinstance(value, _ARGUMENTS):
            raise NotPlain(f"an argument is a {type(value).__name__}")
        return value

    def _results(self, node: fx.Node, result: Any) -> Any:
        if isinstance(result, Tensor):
            return self._known(node, result)
        if not isinstance(result, (list, tuple)):
            return _with_value(node, result)
        for position, item in enumerate(result):
            if isinstance(item, Tensor):
                taken = self.graph.create_node("call_function", operator.getitem, (node, position), name="getitem")
                self._known(taken, item)
        return _with_value(node, result)

    def _known(self, node: fx.Node, tensor: Tensor) -> Tensor:
        """From here on, ``node`` computes this tensor."""
        if not isinstance(tensor, MetaTensor):
            raise NotPlain("a call whose result has data")
        self._nodes[id(tensor)] = tensor, node
        node.meta["val"] = tensor
        return tensor


def _makes_new(target: Any) -> bool:
    """Whether an operator is a factory (``zeros``, ``full_like``): these take the memory that the result goes to."""
    return isinstance(target, torch._ops.OpOverload) and any(a.name == "pin_memory" for a in target._schema.arguments)


def _with_value(node: fx.Node, value: Any) -> Any:
    node.meta["val"] = value
    return value
