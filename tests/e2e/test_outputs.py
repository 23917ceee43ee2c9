"""Where output goes: devices, pipes and links stay what they are, and one rename commits a model with its weights."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import onnx
import pytest

import irprune
from irprune.backends.staging import staged
from irprune.cli import run

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models" / "digits.onnx"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="devices and pipes of POSIX")


def prune(output: Path, *options: str, model: Path = DIGITS, ratio: str = "0.5", verify: bool = False) -> int:
    more = [] if verify else ["--no-verify"]
    return run(["prune", str(model), "-o", str(output), "--ratio", ratio, *more, *options])


def through(pipe: Path, *, verify: bool = False) -> list[bytes]:
    """What somebody who reads a pipe gets, once :func:`prune` has written to it."""
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert prune(pipe, verify=verify) == 0
    reader.join(10)
    return got


@pytest.mark.parametrize("verify", [False, True])
def test_a_pipe_is_written_to(tmp_path: Path, verify: bool) -> None:
    """And not read from afterwards: nobody would ever write to it."""
    pipe = tmp_path / "pipe.onnx"
    os.mkfifo(pipe)
    (data,) = through(pipe, verify=verify)
    assert onnx.load_from_string(data).graph.node
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_link_to_a_device_stays_one(tmp_path: Path) -> None:
    link = tmp_path / "null.onnx"
    link.symlink_to(os.devnull)
    assert prune(link, "--plan", str(link)) == 0
    assert link.is_symlink() and stat.S_ISCHR(link.stat().st_mode)


@pytest.mark.parametrize("exists", [True, False])
def test_links_are_followed(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "real").mkdir()
    model, plan = tmp_path / "real" / "model.onnx", tmp_path / "real" / "plan.json"
    for made in (model, plan):
        if exists:
            made.write_text("old")
        (tmp_path / made.name).symlink_to(made)
    assert prune(tmp_path / "model.onnx", "--plan", str(tmp_path / "plan.json")) == 0
    assert (tmp_path / "model.onnx").is_symlink() and (tmp_path / "plan.json").is_symlink()
    assert onnx.load(model).graph.node
    assert json.loads(plan.read_text())["format"] == "irprune.plan/1"
    assert sorted(path.name for path in (tmp_path / "real").iterdir()) == ["model.onnx", "plan.json"]


@pytest.mark.parametrize("verify", [False, True])
def test_standard_output_that_goes_to_a_file(tmp_path: Path, verify: bool) -> None:
    """``/dev/stdout`` leads to that file: replacing it would lose what the shell's redirection holds.

    The file holds the model alone: what is said goes to standard error.
    """
    target = tmp_path / "all.bin"
    words = ["prune", str(DIGITS), "-o", "/dev/stdout", "--ratio", "0.5", *([] if verify else ["--no-verify"])]
    with target.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "irprune", *words],
            stdout=file,
            stderr=subprocess.PIPE,
            check=True,
            cwd=ROOT,
            text=True,
        )
        assert os.fstat(file.fileno()).st_ino == target.stat().st_ino
    assert onnx.load_from_string(target.read_bytes()).graph.node
    assert "wrote /dev/stdout" in done.stderr
    assert target.stat().st_size > 10_000


@pytest.fixture
def with_data(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save_model(onnx.load(DIGITS), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def data_of(path: Path) -> set[str]:
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    return {e.value for tensor in tensors for e in tensor.external_data if e.key == "location"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_weights_lie_in_a_file_that_is_named_by_its_content(with_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert prune(out / "small.onnx", model=with_data) == 0
    (first,) = data_of(out / "small.onnx")
    assert names(out) == {"small.onnx", first}
    assert prune(out / "small.onnx", model=with_data, ratio="0.25") == 0
    (second,) = data_of(out / "small.onnx")
    assert second != first
    assert names(out) == {"small.onnx", second}  # what the replaced model alone needed is gone
    assert prune(out / "small.onnx", model=with_data, ratio="0.25") == 0
    assert names(out) == {"small.onnx", second}


def test_killed_between_weights_and_model_the_old_model_is_whole(
    with_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert prune(out / "small.onnx", model=with_data) == 0
    before = onnx.load(out / "small.onnx").SerializeToString()
    moved: list[Path] = []
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(Path(target))
        replace(source, target)

    irprune.prune(with_data, tmp_path / "new.onnx", ratio=0.25, verify=False)
    with staged(out / "small.onnx") as stage, monkeypatch.context() as patch:
        (data,) = data_of(tmp_path / "new.onnx")
        for name, to in ((data, "small.onnx.0123.data"), ("new.onnx", "small.onnx")):
            (stage.folder / to).write_bytes((tmp_path / name).read_bytes())
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            stage.commit()
    assert [path.name for path in moved] == ["small.onnx.0123.data"]
    assert onnx.load(out / "small.onnx").SerializeToString() == before


def test_weights_that_the_input_needs_stay(with_data: Path, tmp_path: Path) -> None:
    """The input names the weights that belonged to the output which is replaced."""
    out = tmp_path / "out"
    out.mkdir()
    assert prune(out / "small.onnx", model=with_data) == 0
    (data,) = data_of(out / "small.onnx")
    (out / "copy.onnx").write_bytes((out / "small.onnx").read_bytes())
    assert prune(out / "small.onnx", model=out / "copy.onnx") == 0
    assert data in names(out)
    onnx.load(out / "copy.onnx")
