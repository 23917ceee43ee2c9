"""A saved program is loaded into a module that trains."""

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import irprune.torch
from irprune.errors import InputError


def test_a_saved_program_trains(tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(128, 5)
    ).eval()
    x = torch.randn(4, 3, 4, 4)
    result = irprune.torch.prune(model, (x,), ratio=0.5, runtime=False)
    result.save(tmp_path / "small.pt2")

    with zipfile.ZipFile(tmp_path / "small.pt2") as archive:
        (entry,) = (name for name in archive.namelist() if name.endswith("irprune.plan_sha256"))
        assert archive.read(entry).decode() == result.plan.digest

    loaded = irprune.torch.load(tmp_path / "small.pt2")
    torch.testing.assert_close(loaded(x), result.model.eval()(x))
    assert loaded.state_dict().keys() == model.state_dict().keys()

    loaded.train()
    assert not torch.equal(loaded(x), loaded(x))  # dropout
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    optimizer = torch.optim.SGD(loaded.parameters(), lr=0.1)
    loaded(x).square().sum().backward()
    optimizer.step()
    changed = {name for name, tensor in loaded.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {"0.weight", "1.weight", "1.running_mean", "5.bias"} <= changed

    loaded.eval()
    assert torch.equal(loaded(x), loaded(x))


def test_what_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "x.pt2").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot read it"):
        irprune.torch.load(tmp_path / "x.pt2")


def test_an_exported_model_names_its_plan(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    result = irprune.torch.prune(model, (torch.randn(3, 4),), ratio=0.5, runtime=False)
    result.save(tmp_path / "small.onnx")
    found = {entry.key: entry.value for entry in onnx.load(tmp_path / "small.onnx").metadata_props}
    assert found.items() >= result.plan.metadata.items()
