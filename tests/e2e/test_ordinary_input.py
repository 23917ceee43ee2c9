"""What is unusual but no bug: sizes called as they like, closed streams, signals at any time, control characters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import irprune
from irprune.cli import run

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models" / "digits.onnx"


def layers(size: str = "N", *, inner: str = "h") -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    shapes = {f"{inner}_w": (4, 8), f"{inner}_v": (8, 3)}
    weights = [
        numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("MatMul", ["x", f"{inner}_w"], [inner], name=inner),
        helper.make_node("Relu", [inner], ["k"]),
        helper.make_node("MatMul", ["k", f"{inner}_v"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, width]) for name, width in (("x", 4), ("y", 3))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    "size",
    ["None", "1j", "N//0", "N//(1-1)", "N*0", "0*N", "True", "'text'", "N**9", "-N", "()", "N\n", "a+" * 2000 + "a"],
)
def test_a_size_may_be_called_anything(size: str) -> None:
    result = irprune.prune(layers(size), ratio=0.5)
    assert result.report is not None and result.report.ok


ESCAPE = "\x1b[2J\x1b[31m"


@pytest.mark.parametrize("command", [["inspect"], ["prune", "-o", "out.onnx", "--ratio", "0.5"], ["dump"]])
def test_control_characters_of_names_do_not_reach_the_terminal(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(layers(inner=f"{ESCAPE}h"), "model.onnx")
    assert run([command[0], "model.onnx", *command[1:]]) == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "[2J" in printed.out  # shown, not obeyed


def test_control_characters_in_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = layers()
    model.graph.initializer[0].name = f"{ESCAPE}w"
    onnx.save(model, tmp_path / "model.onnx")
    assert run(["inspect", str(tmp_path / "model.onnx")]) == 2
    assert run(["inspect", str(tmp_path / f"{ESCAPE}.onnx")]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")
@pytest.mark.parametrize(("streams", "code"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), ("> /dev/full", 2)])
def test_standard_streams_that_are_closed_or_full(streams: str, code: int, tmp_path: Path) -> None:
    """What is printed does not end in a file that took the place of the stream."""
    out = tmp_path / "small.onnx"
    command = f"'{sys.executable}' -m irprune prune '{DIGITS}' -o '{out}' --ratio 0.5 --no-verify {streams}"
    found = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == code
    assert "bug" not in found.stderr
    onnx.checker.check_model(onnx.load(out))


_WHILE_IMPORTING = """
import os, signal, sys

module, number = sys.argv[1], getattr(signal, sys.argv[2])

class Finder:
    def find_spec(self, name, path, target=None):
        if name == module:
            try:
                os.kill(os.getpid(), number)
            except BaseException as error:  # as an extension module that is being imported does
                raise ImportError("initialization failed") from error

from irprune.cli import main
sys.meta_path.insert(0, Finder())
sys.argv = ["irprune", *sys.argv[3:]]
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("module", ["onnx", "typer"])
def test_a_signal_while_modules_are_imported(module: str, number: str, tmp_path: Path) -> None:
    arguments = ["prune", str(DIGITS), "-o", str(tmp_path / "small.onnx"), "--ratio", "0.5"]
    found = subprocess.run(
        [sys.executable, "-c", _WHILE_IMPORTING, module, number, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert found.returncode == 130, found.stderr
    assert found.stderr.strip() == "irprune: interrupted"
    assert list(tmp_path.iterdir()) == []
