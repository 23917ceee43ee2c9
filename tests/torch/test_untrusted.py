"""Exported programs from strangers: each holds a harmless payload that touches a marker file if it is run."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import irprune.torch
from irprune.cli import run
from irprune.errors import InputError
from irprune.torch.exporting import vetting
from irprune.torch.exporting.expressions import is_arithmetic
from irprune.torch.exporting.files import load_program

Document = dict[str, Any]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)
        self.register_buffer("scale", torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.a(x)) * self.scale
        return self.b(torch.cat([hidden, hidden])[: x.shape[0]])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    batch = torch.export.Dim("batch", min=2, max=64)
    torch.export.save(torch.export.export(Net(), (torch.randn(4, 4),), dynamic_shapes=({0: batch},)), path)
    return path


class Touch:
    """What touches a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (self.marker,)


def changed(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of an archive in which entries (named without the outer folder) are others."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, change(info.filename.partition("/")[2], old.read(info)))
    return target


def edited(source: Path, target: Path, edit: Callable[[Document], None], entry: str = "models/model.json") -> Path:
    def change(name: str, data: bytes) -> bytes:
        if name != entry:
            return data
        document = json.loads(data)
        edit(document)
        return json.dumps(document).encode()

    return changed(source, target, change)


def replace_strings(document: Any, key: str, text: str) -> None:
    for name, item in document.items() if isinstance(document, dict) else enumerate(document):
        if name == key and isinstance(item, str):
            document[name] = text
        elif isinstance(item, (dict, list)):
            replace_strings(item, key, text)


def in_expression(document: Document, marker: Path) -> None:
    replace_strings(document, "expr_str", f"__import__('os').mkdir({str(marker)!r}) or 4")


def in_guards(document: Document, marker: Path) -> None:
    document["guards_code"] = [f"__import__('os').mkdir({str(marker)!r}) or True"]


def in_tree(document: Document, marker: Path) -> None:
    payload = {"__enum__": True, "fqn": "os:mkdir", "name": str(marker)}
    for call in filter(itemgetter("signature"), document["graph_module"]["module_call_graph"]):
        spec = json.loads(call["signature"]["in_spec"])
        spec[1]["context"] = json.dumps(payload)
        call["signature"]["in_spec"] = json.dumps(spec)


def in_target(document: Document, marker: Path) -> None:
    node = document["graph_module"]["graph"]["nodes"][0]
    node["target"] = "torch.os.mkdir"
    node["inputs"] = [{"name": "path", "arg": {"as_string": str(marker)}, "kind": 1}]


def in_name(document: Document, marker: Path) -> None:
    """Names are written into the source of the module."""
    text = json.dumps(document).replace('"relu"', json.dumps(f"relu = __import__('os').mkdir({str(marker)!r})"))
    document.update(json.loads(text))


PROGRAMS = {
    "expression": (in_expression, "is not arithmetic"),
    "tree": (in_tree, "imports a module"),
    "target": (in_target, "it calls 'torch.os.mkdir'"),
    "name": (in_name, "is not an identifier"),
}


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("command", [["inspect"], ["prune", "--ratio", "0.5", "-o", "small.pt2"]])
def test_programs_that_run_code_are_not_read(
    kind: str, command: list[str], exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "marker"
    edit, message = PROGRAMS[kind]
    path = edited(exported, tmp_path / "bad.pt2", lambda document: edit(document, marker))
    assert run([command[0], str(path), *command[1:]]) == 2
    error = capsys.readouterr().err
    assert message in error and "--trust" in error and error.count("\n") == 1
    assert not marker.exists()


def test_guards_are_not_evaluated(exported: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = edited(exported, tmp_path / "bad.pt2", lambda document: in_guards(document, marker))
    assert run(["inspect", str(path)]) == 0
    load_program(path).program.module()(torch.randn(4, 4))
    assert not marker.exists()


def _pickled(marker: Path) -> bytes:
    torch.save(Touch(marker), marker.with_suffix(".pt"))
    return marker.with_suffix(".pt").read_bytes()


def _inputs(exported: Path, target: Path, marker: Path) -> Path:
    data = _pickled(marker)
    return changed(exported, target, lambda name, old: data if name == "data/sample_inputs/model.pt" else old)


def _weight(exported: Path, target: Path, marker: Path) -> Path:
    data = _pickled(marker)

    def pickled(document: Document) -> None:
        document["config"]["a.weight"].update(use_pickle=True, tensor_meta=None)
        document["config"]["a.weight"]["path_name"] = "weight_0"

    half = edited(exported, target.with_suffix(".half"), pickled, "data/weights/model_weights_config.json")
    return changed(half, target, lambda name, old: data if name == "data/weights/weight_0" else old)


def _object(exported: Path, target: Path, marker: Path) -> Path:
    data = pickle.dumps(Touch(marker))

    def opaque(document: Document) -> None:
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
        document["config"]["thing"] = entry

    half = edited(exported, target.with_suffix(".half"), opaque, "data/constants/model_constants_config.json")
    with zipfile.ZipFile(half, "a") as archive:
        folder = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{folder}/data/constants/opaque_obj_0", data)
    return half.rename(target)


@pytest.mark.parametrize("make", [_weight, _object])
def test_objects_are_not_unpickled(make: Callable[[Path, Path, Path], Path], exported: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = make(exported, tmp_path / "bad.pt2", marker)
    with pytest.raises(InputError, match="--trust"):
        load_program(path)
    assert not marker.exists()


def test_every_command_refuses_example_inputs_that_are_not_safe_to_read(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "marker"
    path = _inputs(exported, tmp_path / "bad.pt2", marker)
    assert irprune.torch.plan(path, ratio=0.5).slices  # in Python they stay unread until verification runs on them
    small = ["--ratio", "0.5", "-o", str(tmp_path / "small.pt2")]
    for command in (["inspect"], ["plan", "--ratio", "0.5", "-o", str(tmp_path / "p.json")], ["prune", *small]):
        capsys.readouterr()
        assert run([command[0], str(path), *command[1:]]) == 2
        error = capsys.readouterr().err
        assert "its example inputs cannot be read" in error
        assert "--trust" in error
        assert error.count("\n") == 1
    assert not marker.exists()


def test_example_inputs_are_those_that_were_saved(exported: Path) -> None:
    program = irprune.torch.trace(exported)
    (given,), _ = torch.export.load(exported).example_inputs or ((None,), {})
    assert torch.equal(program.args[0], given) and not program.kwargs


def test_a_wrong_number_of_example_inputs_is_named(exported: Path, tmp_path: Path) -> None:
    torch.save(((torch.zeros(4, 4), torch.zeros(1)), {}), tmp_path / "inputs.pt")
    data = (tmp_path / "inputs.pt").read_bytes()
    path = changed(
        exported, tmp_path / "bad.pt2", lambda name, old: data if name == "data/sample_inputs/model.pt" else old
    )
    with pytest.raises(InputError, match="it holds 2 example inputs, its program takes 1"):
        irprune.torch.prune(path, ratio=0.5)


def test_python_trusts_a_file_when_told_to(exported: Path, tmp_path: Path) -> None:
    assert irprune.torch.prune(exported, ratio=0.5, runtime=False).report is not None
    for number, read in enumerate((irprune.torch.load, irprune.torch.trace)):
        marker = tmp_path / f"marker{number}"
        path = _inputs(exported, tmp_path / "bad.pt2", marker)
        read(path)
        assert not marker.exists()
        with contextlib.suppress(InputError):  # the payload is not a tuple of inputs
            read(path, trust=True)
        assert marker.exists()


def test_a_trusted_file_is_read_as_torch_reads_it(exported: Path, tmp_path: Path) -> None:
    """The payload works: it is the reading that keeps it from being run."""
    marker = tmp_path / "marker"
    path = _inputs(exported, tmp_path / "bad.pt2", marker)
    assert run(["--trust", "inspect", str(path)]) in (0, 2)
    assert marker.exists()
    assert run(["inspect", str(exported)]) == 0  # the next command trusts nothing again


def test_archives_that_unpack_to_far_more_are_not_read(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vetting, "_LARGEST", 1 << 20)
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda archive: pytest.fail("an entry was read"))
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
        new.writestr("net/data/extra/zeros", bytes(1 << 22))
    with pytest.raises(InputError, match=r"unpacks from [\d,]+ to 4,[\d,]+ bytes"):
        load_program(path)


def test_tensors_larger_than_what_is_stored_are_not_read(exported: Path, tmp_path: Path) -> None:
    def enlarge(document: Document) -> None:
        document["config"]["a.weight"]["tensor_meta"]["sizes"] = [{"as_int": 1 << 20}, {"as_int": 1 << 20}]

    path = edited(exported, tmp_path / "bad.pt2", enlarge, "data/weights/model_weights_config.json")
    with pytest.raises(InputError, match=r"'a.weight' has 1,099,511,627,776 elements"):
        load_program(path)


@pytest.mark.parametrize(
    "text",
    [
        "s0",
        "2*s0 - 4",
        "Max(1, (s0 + 3)//4)",
        "Add(Mul(Integer(2), Symbol('s0', positive=True, integer=True)), Integer(-4))",
        "Eq(Mod(s0, 2), 0)",
        "PythonMod(s0, 4) <= 3",
        "FloatPow(s0, 0.5)",
        "OpaqueUnaryFn_sqrt(ToFloat(s0))",
        "Pow(Symbol('u0', integer=True), Integer(2))",
    ],
)
def test_sizes_are_arithmetic(text: str) -> None:
    assert is_arithmetic(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()",
        "s0.__class__",
        "Symbol('s0)+__import__(1)')",
        'Symbol("s0\' + x")',
        "preview(s0)",
        "sympify('1')",
        "[s0 for s0 in (1,)]",
        "lambda: 1",
        "(s0)(1)",
        "s0[0]",
        "f'{s0}'",
        "10**10**10",
        "Pow(Integer(10), Integer(1000000000))",
        "LShift(1, 100000000000)",
        "'text'",
        "(" * 500 + "1" + ")" * 500,
        "ｓ0",
        "",
    ],
)
def test_everything_else_is_not(text: str) -> None:
    assert not is_arithmetic(text)
