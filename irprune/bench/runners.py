"""Models that are ready to run on a runtime, behind one interface."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from ..errors import InputError
from ..runtime.feeds import Feeds
from ..runtime.session import RunFailure, available_providers, open_session, profiled

RuntimeName: TypeAlias = Literal["onnxruntime", "openvino"]
Run: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Timed:
    """One operator of one run: its node, its type as the runtime calls it, and milliseconds."""

    node: str
    op: str
    ms: float


class Runner(Protocol):
    """A runtime and its settings."""

    def open(self, path: Path, feeds: Feeds) -> Run:
        """A function that runs the model once. Raises :class:`RunFailure` where the runtime refuses the model."""

    def profile(self, path: Path, feeds: Feeds, runs: int, scratch: Path) -> list[Timed]:
        """The operators of so many runs. Raises :class:`RunFailure`."""

    def describe(self) -> Mapping[str, str]:
        """The runtime, its version and where it computes."""


def runner_of(runtime: str, threads: int, provider: str) -> Runner:
    """The runtime of a name. Raises :class:`InputError` for one, or for a provider, that is not there."""
    if runtime == "openvino":
        return OpenVINO.found(threads, provider)
    if runtime != "onnxruntime":
        raise InputError(f"unknown runtime '{runtime}'; known: onnxruntime, openvino")
    return OnnxRuntime(threads, _provider(provider))


def _provider(given: str) -> str:
    """The provider of a name, short or in full: ``cuda`` is ``CUDAExecutionProvider``."""
    available = available_providers()
    for name in available:
        if given.lower() in (name.lower(), name.removesuffix("ExecutionProvider").lower()):
            return name
    raise InputError(f"provider '{given}' is not there; this ONNX Runtime has {', '.join(available)}")


_WARM_UP = 3


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime with its defaults, except that threads stop spinning when a run ends: models take turns."""

    threads: int
    provider: str

    def open(self, path: Path, feeds: Feeds) -> Run:
        session = open_session(path, optimize=True, threads=self.threads, thrifty=False, provider=self.provider)
        try:
            session.run(None, feeds)
        except Exception as error:  # of many types: whatever ONNX Runtime raises, it did not run
            raise RunFailure(" ".join(str(error).split())[:400]) from error
        return lambda: session.run(None, feeds)

    def profile(self, path: Path, feeds: Feeds, runs: int, scratch: Path) -> list[Timed]:
        session = open_session(
            path, optimize=True, threads=self.threads, thrifty=False, provider=self.provider, profile=scratch / "ort"
        )
        for _ in range(_WARM_UP + runs):
            session.run(None, feeds)
        file = profiled(session)
        events = [e for e in json.loads(file.read_text(encoding="utf-8")) if e.get("cat") == "Node"]
        timed = [e for e in events if e["name"].endswith(_KERNEL)]
        first = len(timed) * _WARM_UP // (_WARM_UP + runs)
        return [Timed(e["name"].removesuffix(_KERNEL), e["args"]["op_name"], e["dur"] / 1e3) for e in timed[first:]]

    def describe(self) -> Mapping[str, str]:
        from importlib.metadata import version

        return {"runtime": "onnxruntime", "version": version("onnxruntime"), "provider": self.provider}


_KERNEL = "_kernel_time"


@dataclass(frozen=True)
class OpenVINO:
    """OpenVINO in float32: by default it computes float32 models in bfloat16 where the processor can."""

    threads: int
    device: str
    core: Any

    @staticmethod
    def found(threads: int, device: str) -> OpenVINO:
        """Raises :class:`InputError` where the library or the device is not there."""
        try:
            import openvino
        except ImportError as error:
            raise InputError(
                "runtime 'openvino' is not installed; pip install 'irprune[openvino]' brings it"
            ) from error
        core = openvino.Core()
        available = [str(name) for name in core.available_devices]
        wanted = device.upper()
        if wanted not in available:
            raise InputError(f"provider '{device}' is not there; this OpenVINO has {', '.join(available)}")
        return OpenVINO(threads, wanted, core)

    def _request(self, path: Path, feeds: Feeds, *, counts: bool) -> Any:
        settings = {
            "INFERENCE_NUM_THREADS": str(self.threads),
            "NUM_STREAMS": "1",
            "INFERENCE_PRECISION_HINT": "f32",
            "PERF_COUNT": "YES" if counts else "NO",
        }
        try:
            model = self.core.read_model(str(path))
            model.reshape({name: list(array.shape) for name, array in feeds.items()})
            request = self.core.compile_model(model, self.device, settings).create_infer_request()
            request.infer(feeds)
        except RuntimeError as error:
            raise RunFailure(" ".join(str(error).split())[:400]) from error
        return request

    def open(self, path: Path, feeds: Feeds) -> Run:
        request = self._request(path, feeds, counts=False)
        return lambda: request.infer(feeds)

    def profile(self, path: Path, feeds: Feeds, runs: int, scratch: Path) -> list[Timed]:
        request = self._request(path, feeds, counts=True)
        found: list[Timed] = []
        for number in range(_WARM_UP + runs):
            request.infer(feeds)
            if number >= _WARM_UP:
                found += [
                    Timed(str(info.node_name), str(info.node_type), info.real_time.total_seconds() * 1e3)
                    for info in request.profiling_info
                    if info.real_time.total_seconds() > 0
                ]
        return found

    def describe(self) -> Mapping[str, str]:
        from importlib.metadata import version

        return {"runtime": "openvino", "version": version("openvino"), "provider": self.device}


def run_all(runs: Sequence[Run]) -> None:
    """Run each of them once."""
    for run in runs:
        run()
