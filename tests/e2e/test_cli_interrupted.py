"""Ctrl-C and SIGTERM while a model is being verified: exit code 130, no output, no temporary files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models" / "digits.onnx"


def _listen() -> None:
    """A job that a shell runs in the background ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


_WAITING = """
import sys, tempfile, time
import irprune.verification
from irprune.runtime import executable

def stuck(self, feeds, *, optimize=False):
    folder = tempfile.TemporaryDirectory(prefix="irprune-")
    print("verifying", flush=True)
    time.sleep(60)

executable.Executable.run = stuck
from irprune.cli import main
sys.argv = ["irprune", *sys.argv[1:]]
main()
"""
"""The real command, in which ONNX Runtime takes its time."""


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["prune", "opt"])
def test_interrupted_while_verifying(tmp_path: Path, command: str, number: signal.Signals) -> None:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    target = ["--macs", "0.5", "--plan", str(out / "plan.json")] if command == "prune" else ["--passes", "fold"]
    arguments = [command, str(DIGITS), "-o", str(out / "small.onnx"), *target]
    process = subprocess.Popen(
        [sys.executable, "-c", _WAITING, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        preexec_fn=_listen,  # noqa: PLW1509 (no thread of this process is running)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "verifying\n"
    time.sleep(0.1)
    assert list(out.iterdir())  # the stage
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.strip() == "irprune: interrupted"
    assert list(out.iterdir()) == []
    assert list(scratch.iterdir()) == []
