"""Fuzzing: real models, damaged, through plan, apply and verify.

``python tests/fuzz/mutate.py FOLDER --minutes 30`` takes every ONNX file of the folder, changes a few things at random
(bytes of the file, attributes, dimensions, names, operands, element types, nodes that go or come twice) and runs the
whole job. Success and an :class:`irprune.errors.IrpruneError` that is not a bug are no findings; everything else is: an
exception, a job of over 30 seconds, or a result that fails its own verification. Findings are kept in ``--keep``.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import onnx
from google.protobuf.message import DecodeError

import irprune
from irprune.errors import InputError, IRError, IrpruneError, VerificationError

_LIMIT_SECONDS = 30
_LARGEST = 4_000_000


class TooSlow(Exception):
    """The job ran over its limit."""


def _alarm(number: int, frame: FrameType | None) -> None:
    raise TooSlow(f"over {_LIMIT_SECONDS} s")


def _some_node(model: onnx.ModelProto, rng: random.Random) -> onnx.NodeProto:
    return model.graph.node[rng.randrange(len(model.graph.node))]


def change_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _some_node(model, rng)
    if not node.attribute:
        return
    attribute = node.attribute[rng.randrange(len(node.attribute))]
    value = rng.choice([-1, 0, 1, 2, 3, 7, 64, 2**31, -(2**40)])
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = value
    else:
        attribute.i = value


def drop_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _some_node(model, rng)
    if node.attribute:
        del node.attribute[rng.randrange(len(node.attribute))]


def swap_operands(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _some_node(model, rng)
    if len(node.input) > 1:
        a, b = rng.sample(range(len(node.input)), 2)
        node.input[a], node.input[b] = node.input[b], node.input[a]


def rewire(model: onnx.ModelProto, rng: random.Random) -> None:
    node, other = _some_node(model, rng), _some_node(model, rng)
    if node.input and other.output:
        node.input[rng.randrange(len(node.input))] = rng.choice([*other.output, *other.input, "", "nowhere"])


def drop_operand(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _some_node(model, rng)
    if node.input:
        del node.input[rng.randrange(len(node.input))]


def change_dims(model: onnx.ModelProto, rng: random.Random) -> None:
    if not model.graph.initializer:
        return
    tensor = model.graph.initializer[rng.randrange(len(model.graph.initializer))]
    if tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice([0, 1, 2, 5, 1000, -1])


def change_type(model: onnx.ModelProto, rng: random.Random) -> None:
    if model.graph.initializer:
        tensor = model.graph.initializer[rng.randrange(len(model.graph.initializer))]
        tensor.data_type = rng.choice([0, 1, 6, 7, 9, 10, 11, 16, 22, 99])


def change_operator(model: onnx.ModelProto, rng: random.Random) -> None:
    other = _some_node(model, rng)
    _some_node(model, rng).op_type = rng.choice([other.op_type, "Reshape", "Loop", "If", "Einsum", "LSTM", "Nonsense"])


def drop_node(model: onnx.ModelProto, rng: random.Random) -> None:
    if len(model.graph.node) > 1:
        del model.graph.node[rng.randrange(len(model.graph.node))]


def repeat_node(model: onnx.ModelProto, rng: random.Random) -> None:
    model.graph.node.append(_some_node(model, rng))


def change_input(model: onnx.ModelProto, rng: random.Random) -> None:
    if model.graph.input:
        dims = model.graph.input[0].type.tensor_type.shape.dim
        if dims:
            dim = dims[rng.randrange(len(dims))]
            dim.Clear()
            if rng.random() < 0.5:
                dim.dim_value = rng.choice([0, 1, 5])


def change_opset(model: onnx.ModelProto, rng: random.Random) -> None:
    model.opset_import[0].version = rng.choice([1, 6, 7, 9, 11, 13, 18, 21, 25, 99])


MUTATIONS: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    change_attribute,
    drop_attribute,
    swap_operands,
    rewire,
    drop_operand,
    change_dims,
    change_type,
    change_operator,
    drop_node,
    repeat_node,
    change_input,
    change_opset,
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The file with one to four changes; every tenth one is damaged as bytes, not as a model."""
    if rng.random() < 0.1:
        broken = bytearray(data[: rng.randrange(1, len(data))] if rng.random() < 0.3 else data)
        for _ in range(rng.randrange(1, 20)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        return bytes(broken)
    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.randrange(1, 5)):
        rng.choice(MUTATIONS)(model, rng)
    return model.SerializeToString()


def run_job(path: Path, output: Path, ratio: float) -> str:
    """What became of one file; raises for a finding."""
    try:
        irprune.prune(str(path), str(output), ratio=ratio)
    except VerificationError:
        raise
    except IRError:
        raise
    except IrpruneError as error:
        return type(error).__name__
    return "pruned"


def survives(path: Path) -> bool:
    """Whether ONNX Runtime by itself gets through the damaged model, optimized as well, and the process stays."""
    code = (
        "import sys; from pathlib import Path; from irprune.runtime.executable import Executable; "
        "from irprune.verification.cases import random_cases; "
        "model = Executable(Path(sys.argv[1])); cases = random_cases(model, seed=0, runs=3); "
        "[model.run(case.feeds, optimize=True) for case in cases.items]"
    )
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False).returncode >= 0


def restarted(options: argparse.Namespace) -> int:
    """Runs the fuzzer in processes of its own: a kernel of ONNX Runtime may abort on a damaged model."""
    end, seed, failed = time.monotonic() + 60 * options.minutes, options.seed, 0
    while (left := (end - time.monotonic()) / 60) > 0:
        command = [sys.executable, __file__, str(options.folder), "--inner", "--keep", str(options.keep)]
        code = subprocess.run([*command, "--seed", str(seed), "--minutes", f"{left:.3f}"], check=False).returncode
        failed |= code > 0
        if code >= 0:
            break
        seed = int((options.keep / "seed").read_text())
        current = options.keep / "current.onnx"
        blame = "irprune" if survives(current) else "ONNX Runtime alone"
        failed |= blame == "irprune"
        print(f"seed {seed}: the process ended with signal {-code}, because of {blame}", flush=True)
        current.rename(options.keep / f"{seed}-signal.onnx")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("findings"))
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inner:
        options.keep.mkdir(exist_ok=True, parents=True)
        return restarted(options)
    corpus = [path.read_bytes() for path in sorted(options.folder.glob("*.onnx")) if path.stat().st_size < _LARGEST]
    if not corpus:
        raise InputError(f"no ONNX file under {_LARGEST} bytes in {options.folder}")
    options.keep.mkdir(exist_ok=True, parents=True)
    signal.signal(signal.SIGALRM, _alarm)
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + 60 * options.minutes
    seed = options.seed
    while time.monotonic() < end:
        seed += 1
        rng = random.Random(seed)
        try:
            data = damaged(rng.choice(corpus), rng)
        except (DecodeError, ValueError, TypeError):
            continue
        path = options.keep / "current.onnx"
        path.write_bytes(data)
        (options.keep / "seed").write_text(str(seed))
        signal.alarm(_LIMIT_SECONDS)
        try:
            outcomes[run_job(path, options.keep / "output.onnx", rng.choice([0.25, 0.5, 0.75]))] += 1
        except Exception as error:
            outcomes[f"FINDING {type(error).__name__}"] += 1
            (options.keep / f"{seed}.onnx").write_bytes(data)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            traceback.print_exc(limit=-3)
        finally:
            signal.alarm(0)
    print(dict(outcomes))
    return int(any(name.startswith("FINDING") for name in outcomes))


if __name__ == "__main__":
    sys.exit(main())
