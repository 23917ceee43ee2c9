"""The Python API: what goes in comes out, smaller; what README shows is true."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnx_ir
import pytest
import torch

import irprune
from irprune.errors import InputError, VerificationError

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models" / "digits.onnx"


def weights(model: onnx.ModelProto) -> int:
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)


def example(heading: str) -> str:
    """The first Python code under a heading of the README."""
    section = (ROOT / "README.md").read_text().partition(f"## {heading}\n")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


def test_the_example_of_torch_in_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    exec(compile(example("In PyTorch"), "README.md", "exec"), {"model": model, "images": torch.randn(2, 3, 8, 8)})
    small = torch.export.load("smaller.pt2").module()
    assert small.get_parameter("0.weight").shape[0] < 8


def test_the_example_in_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = example("In Python")
    (tmp_path / "model.onnx").write_bytes(DIGITS.read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert "equivalent to the reference within" in capsys.readouterr().out
    onnx.checker.check_model("smaller.onnx", full_check=True)


def test_one_selector_needs_no_list() -> None:
    assert irprune.plan(DIGITS, ratio=0.5, only="kind:channels") == irprune.plan(
        DIGITS, ratio=0.5, only=["kind:channels"]
    )


def test_a_path_gives_nothing_on_disk_until_saved(tmp_path: Path) -> None:
    given = tmp_path / "model.onnx"
    given.write_bytes(DIGITS.read_bytes())
    result = irprune.prune(given, ratio=0.3)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert result.report is not None
    assert result.report.ok
    assert result.plan.verification["equivalence"]["ok"]
    result.save(tmp_path / "small.onnx")
    again = irprune.prune(str(given), str(tmp_path / "again.onnx"), ratio=0.3)
    assert again.model == str(tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "small.onnx").read_bytes()


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        (onnx.ModelProto, onnx.load),
        (onnx_ir.Model, onnx_ir.load),
        (gs.Graph, lambda path: gs.import_onnx(onnx.load(path))),
    ],
)
def test_the_kind_that_is_given_comes_back(kind: type, read) -> None:  # type: ignore[no-untyped-def]
    given = read(DIGITS)
    result = irprune.prune(given, macs=0.5)
    assert isinstance(result.model, kind)
    assert result.report is not None
    assert result.report.ok
    before, after = result.plan.cost_before.macs, result.plan.cost_after.macs
    assert 0.45 < after / before < 0.55
    plan = irprune.plan(given, macs=0.5)
    small = irprune.apply(given, plan)
    assert isinstance(small, kind)
    assert irprune.verify(given, small, plan).ok


def test_the_input_is_left_as_it_was() -> None:
    given = onnx.load(DIGITS)
    before = given.SerializeToString(deterministic=True)
    result = irprune.prune(given, ratio=0.5)
    assert given.SerializeToString(deterministic=True) == before
    assert weights(result.model) < weights(given)


def test_labels_measure_accuracy() -> None:
    with np.load(DIGITS.with_name("digits_heldout.npz")) as data:
        images, labels = data["images"].astype(np.float32) / 16, data["labels"]
    plan = irprune.plan(DIGITS, macs=0.5)
    small = irprune.apply(onnx.load(DIGITS), irprune.plan(onnx.load(DIGITS), macs=0.5))
    report = irprune.verify(DIGITS, small, plan, inputs={"image": images}, labels=labels)
    assert report.ok
    assert report.fidelity.accuracy is not None
    assert min(report.fidelity.accuracy) > 0.95


def test_what_is_wrong_is_raised(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exactly one of ratio, params, macs, bytes and fidelity"):
        irprune.prune(DIGITS)
    with pytest.raises(InputError, match=r"^unknown option 'speed'; the options are ratio, params, macs, latency, "):
        irprune.prune(DIGITS, speed=2)
    with pytest.raises(InputError, match=r"expected a path, onnx.ModelProto, .* got int"):
        irprune.prune(3, ratio=0.5)
    other = onnx.load(DIGITS)
    other.producer_name = "somebody else"
    with pytest.raises(InputError, match="the plan was made for another model"):
        irprune.apply(DIGITS, irprune.plan(other, ratio=0.5), tmp_path / "small.onnx")
    with pytest.raises(InputError, match="is the input as well"):
        irprune.apply(str(DIGITS), irprune.plan(DIGITS, ratio=0.5), DIGITS)
    with pytest.raises(VerificationError, match="differs from the reference"):
        irprune.prune(DIGITS, tmp_path / "small.onnx", ratio=0.5, rtol=1e-12)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("first", ["irprune.plans, irprune.verification", "irprune.api", "irprune.cli", "irprune"])
def test_no_package_hides_a_name_of_the_api(first: str) -> None:
    """Importing a package puts it in the place of a function of its name, so no package has such a name."""
    check = (
        f"import {first}; import irprune; from types import ModuleType;"
        "assert {name for name in irprune.__all__ if isinstance(getattr(irprune, name), ModuleType)} == set();"
        "assert set(irprune.__all__) <= set(dir(irprune))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
