"""Runs a model: weights mapped from files, one session at a time, taps on the values inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from ..frontends.external import data_folder, settle_external
from .inner import add_inner_outputs, inner_names
from .session import Outputs, Session, open_session, run_session
from .weights import Scratch, is_external, read_lean, tensors_of

if TYPE_CHECKING:
    from ..ir.core import Array

_LARGEST_PROTO = 1_900_000_000
_SPILLED = 1 << 20
"""Models in memory of more elements than this are written to a temporary file, from which they are mapped."""

_FIRST_TAPS, _MOST_TAPS = 16, 256
_BUDGET = 1 << 28


@dataclass
class Executable:
    """A model on ONNX Runtime. It holds one session at most; :meth:`close` gives its memory back.

    ``model`` is a path, or a proto whose external tensors (if any) lie in ``folder``. ``scratch`` is a folder that goes
    with the model.
    """

    model: onnx.ModelProto | Path
    folder: Path | None = None
    scratch: Scratch | None = None
    _open: tuple[tuple[object, ...], Session] | None = field(default=None, repr=False)

    @cached_property
    def proto(self) -> onnx.ModelProto:
        """The model; large tensors are external data in :attr:`data_folder`."""
        if isinstance(self.model, Path):
            return self._from_path(self.model)
        elements = sum(_elements(tensor) for tensor in tensors_of(self.model.graph) if not is_external(tensor))
        return self.model if elements < _SPILLED else self._spilled(self.model)

    @property
    def data_folder(self) -> Path | None:
        """Where the external tensors of :attr:`proto` lie."""
        _ = self.proto
        return self.folder

    def run(self, feeds: Mapping[str, Array], *, optimize: bool = False, also: Sequence[str] = ()) -> Outputs:
        """The graph's outputs, and the values inside it that are asked for too. Raises :class:`RunFailure`."""
        key = (optimize, *also)
        if self._open is None or self._open[0] != key:
            self.close()
            proto = with_outputs(self.proto, also) if also else self.proto
            self._open = key, self._session(proto, optimize)
        return run_session(self._open[1], feeds)

    def require_runnable(self) -> None:
        """Raise :class:`RunFailure` where ONNX Runtime does not take the model."""
        self._session(self.proto, False)

    def close(self) -> None:
        """Close the session; the next run opens another one."""
        self._open = None

    def probe(self, feeds: Mapping[str, Array], names: Sequence[str], budget: int = _BUDGET) -> Iterator[Outputs]:
        """Values inside the graph for one run, a few at a time. Raises :class:`RunFailure`."""
        for _, values in self.tap([feeds], names, budget):
            yield values

    def tap(
        self, batches: Iterable[Mapping[str, Array]], names: Sequence[str], budget: int = _BUDGET
    ) -> Iterator[tuple[int, Outputs]]:
        """Values inside the graph for each batch: the number of the batch, and values by name.

        As many values are held at a time as fit ``budget`` bytes (one at least), so that ``batches`` is iterated once
        for each group of ``names``; groups follow the order of ``names``. Optimizations are off.

        Raises :class:`RunFailure`.
        """
        self.close()
        start, count = 0, _FIRST_TAPS
        while start < len(names):
            group = list(names[start : start + count])
            session = self._session(with_outputs(self.proto, group), False)
            largest = 1
            for number, feeds in enumerate(batches):
                values = run_session(session, feeds, group)
                largest = max(largest, sum(_bytes(value) for value in values.values()))
                yield number, values
                del values
            del session
            start += count
            count = min(max(1, int(len(group) * budget / largest)), 4 * count, _MOST_TAPS)

    def _session(self, proto: onnx.ModelProto, optimize: bool) -> Session:
        if isinstance(self.model, Path) and proto is self.proto and not _is_small(proto):
            return open_session(self.model, optimize=optimize)
        return open_session(bytes(proto.SerializeToString()), optimize=optimize, folder=self.data_folder)

    def _from_path(self, path: Path) -> onnx.ModelProto:
        """The model with its data where it really lies: ONNX Runtime follows links of models in files alone."""
        proto = read_lean(path)
        settle_external(proto, path)
        self.folder = data_folder(path)
        return proto

    def _spilled(self, proto: onnx.ModelProto) -> onnx.ModelProto:
        """The model in a file of its own, where it is mapped from."""
        scratch = Scratch()
        path = scratch.folder / "model.onnx"
        if _is_small(proto):
            path.write_bytes(proto.SerializeToString())
        else:
            copy = onnx.ModelProto()
            copy.CopyFrom(proto)
            if self.folder is not None:
                onnx.load_external_data_for_model(copy, str(self.folder))
            onnx.save_model(copy, path, save_as_external_data=True, location="model.data")
        lean = read_lean(path)
        foreign = [
            t for t in tensors_of(lean.graph) if is_external(t) and _location(t) not in ("model.onnx", "model.data")
        ]
        scratch.adopt(foreign, self.folder)
        self.scratch, self.folder = scratch, scratch.folder
        return lean


def with_outputs(proto: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """A copy in which these values are graph outputs too; ONNX Runtime infers their types.

    Values inside the bodies of control flow have names with scopes (``loop.body/h``). Raises :class:`RunFailure` for
    one of those that cannot be handed out.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    wanted = list(dict.fromkeys(names))
    inside = inner_names(proto.graph, wanted)
    present = {output.name for output in proto.graph.output} | inside
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in present)
    if inside:
        add_inner_outputs(copy, [name for name in wanted if name in inside])
    return copy


def _location(tensor: onnx.TensorProto) -> str:
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count


def _is_small(proto: onnx.ModelProto) -> bool:
    """Whether a model fits one message."""
    inline = sum(_elements(tensor) * 8 for tensor in tensors_of(proto.graph) if not is_external(tensor))
    return inline < _LARGEST_PROTO or proto.ByteSize() < _LARGEST_PROTO


def _bytes(value: object) -> int:
    return int(getattr(value, "nbytes", 0))
