"""Several models that share axes: pruned as one, and run after each other on ONNX Runtime by code of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import irprune
from irprune.cli import run
from irprune.errors import InputError, IRError, VerificationError
from irprune.several import Together, split
from irprune.verification.floors import Floors
from tests.e2e.scatter import Array, stored
from tests.golden.helpers.models import model_of

FIRST = """(float[1, seq, 8] x)
=> (float[1, seq, 4] y, float[1, 2, seq, 4] present_key, float[1, 2, seq, 4] present_value)
<float[8, 8] wq, float[8, 8] wk, float[8, 8] wv, float[8, 4] wo, int64[4] s = {0, -1, 2, 4}, int64[3] m = {0, -1, 8}>
{ q = MatMul(x, wq) qs = Reshape(q, s) qh = Transpose<perm = [0, 2, 1, 3]>(qs)
  k = MatMul(x, wk) ks = Reshape(k, s) present_key = Transpose<perm = [0, 2, 1, 3]>(ks)
  v = MatMul(x, wv) vs = Reshape(v, s) present_value = Transpose<perm = [0, 2, 1, 3]>(vs)
  kt = Transpose<perm = [0, 1, 3, 2]>(present_key) scores = MatMul(qh, kt) p = Softmax(scores)
  o = MatMul(p, present_value) ot = Transpose<perm = [0, 2, 1, 3]>(o) om = Reshape(ot, m) y = MatMul(om, wo) }"""

PAST = """(float[1, 1, 8] x, float[1, 2, past, 4] past_key, float[1, 2, past, 4] past_value)
=> (float[1, 1, 4] y, float[1, 2, total, 4] present_key, float[1, 2, total, 4] present_value)
<float[8, 8] wq, float[8, 8] wk, float[8, 8] wv, float[8, 4] wo, int64[4] s = {0, -1, 2, 4}, int64[3] m = {0, -1, 8}>
{ q = MatMul(x, wq) qs = Reshape(q, s) qh = Transpose<perm = [0, 2, 1, 3]>(qs)
  k = MatMul(x, wk) ks = Reshape(k, s) kn = Transpose<perm = [0, 2, 1, 3]>(ks)
  v = MatMul(x, wv) vs = Reshape(v, s) vn = Transpose<perm = [0, 2, 1, 3]>(vs)
  present_key = Concat<axis = 2>(past_key, kn) present_value = Concat<axis = 2>(past_value, vn)
  kt = Transpose<perm = [0, 1, 3, 2]>(present_key) scores = MatMul(qh, kt) p = Softmax(scores)
  o = MatMul(p, present_value) ot = Transpose<perm = [0, 2, 1, 3]>(o) om = Reshape(ot, m) y = MatMul(om, wo) }"""

ENCODER = """(float[1, 5, 6] x) => (float[1, 5, 16] hidden) <float[6, 24] a, float[24, 16] b>
{ h = MatMul(x, a) r = Relu(h) hidden = MatMul(r, b) }"""

DECODER = """(float[1, 5, 16] hidden, float[1, 5, 3] z) => (float[1, 5, 4] y)
<float[16, 12] a, float[3, 12] b, float[12, 4] c>
{ h = MatMul(hidden, a) g = MatMul(z, b) s = Add(h, g) r = Relu(s) y = MatMul(r, c) }"""

TIES = ("first:present_*=past:past_*", "past:present_*=past:past_*")


def written(folder: Path, **texts: str) -> list[Path]:
    paths = [folder / f"{name}.onnx" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        onnx.save(model_of(text), path)
    return paths


def outputs(path: Path | onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    model = path.SerializeToString() if isinstance(path, onnx.ModelProto) else str(path)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def zeroed(path: Path, name: str, slices: dict[str, dict[str, dict[str, object]]]) -> onnx.ModelProto:
    """The original with zeros in the places that the plan removes from its weights."""
    model = onnx.load(path)
    for tensor_name, tensor in stored(model).items():
        array = onnx.numpy_helper.to_array(tensor).copy()
        for axis, part in slices.get(f"{name}:{tensor_name}", {}).items():
            gone = np.ones(array.shape[int(axis)], dtype=bool)
            gone[part["kept"]] = False
            array[(slice(None),) * int(axis) + (gone,)] = 0
        if array.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return model


def test_a_decoder_and_its_twin_with_past(tmp_path: Path) -> None:
    """Keys and values go from one file to the other, and come back; both lose the same of them."""
    paths = written(tmp_path, first=FIRST, past=PAST)
    plan_file, out = tmp_path / "plan.json", tmp_path / "out"
    ties = [word for tie in TIES for word in ("--tie", tie)]
    options = ["-o", str(out), "--ratio", "0.5", "--only", "kind:head_dim", "--plan", str(plan_file), *ties]
    assert run(["prune", *map(str, paths), *options]) == 0
    small = {path.stem: out / path.name for path in paths}
    slices = json.loads(plan_file.read_text())["slices"]
    rng = np.random.default_rng(0)
    prompt = {"x": rng.standard_normal((1, 6, 8)).astype(np.float32)}
    sides = [
        {name: zeroed(path, name, slices) for name, path in zip(("first", "past"), paths, strict=True)},
        small,
    ]
    after = [outputs(side["first"], prompt) for side in sides]
    assert after[1]["present_key"].shape == (1, 2, 6, 2)
    for _ in range(3):
        token = {"x": rng.standard_normal((1, 1, 8)).astype(np.float32)}
        after = [
            outputs(
                side["past"],
                {**token, "past_key": last["present_key"], "past_value": last["present_value"]},
            )
            for side, last in zip(sides, after, strict=True)
        ]
        assert after[1]["present_value"].shape[-1] == 2
        np.testing.assert_allclose(after[0]["y"], after[1]["y"], rtol=1e-4, atol=1e-5)
    onnx.checker.check_model(str(small["past"]), full_check=True)


def test_an_encoder_and_a_decoder(tmp_path: Path) -> None:
    """The hidden states shrink in both: what the encoder returns is what the decoder takes, and the result is right."""
    paths = written(tmp_path, enc=ENCODER, dec=DECODER)
    result = irprune.prune_together(paths, tmp_path / "out", ratio=0.5, ties="enc:hidden=dec:hidden")
    assert result.report is not None
    assert result.report.ok
    assert any("state fed back" in case for case in result.report.equivalence.cases)
    slices = result.plan.as_json()["slices"]
    rng = np.random.default_rng(0)
    x, z = (rng.standard_normal((1, 5, size)).astype(np.float32) for size in (6, 3))
    answers = []
    for enc, dec in (
        (zeroed(paths[0], "enc", slices), zeroed(paths[1], "dec", slices)),
        (result.files["enc"], result.files["dec"]),
    ):
        hidden = outputs(enc, {"x": x})["hidden"]
        answers.append(outputs(dec, {"hidden": hidden, "z": z})["y"])
    assert outputs(result.files["enc"], {"x": x})["hidden"].shape == (1, 5, 8)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-4, atol=1e-5)


def test_without_a_tie_the_wire_stays_as_it_is(tmp_path: Path) -> None:
    paths = written(tmp_path, enc=ENCODER, dec=DECODER)
    result = irprune.prune_together(paths, tmp_path / "out", ratio=0.5)
    x = np.zeros((1, 5, 6), np.float32)
    assert outputs(result.files["enc"], {"x": x})["hidden"].shape == (1, 5, 16)


def test_models_come_back_as_they_were(tmp_path: Path) -> None:
    """Names, missing names, metadata and external data are those of each file."""
    models = {"a": model_of(ENCODER), "b": model_of(DECODER)}
    models["a"].doc_string = "an encoder"
    models["a"].metadata_props.add(key="author", value="me")
    for name, model in models.items():
        onnx.save(model, tmp_path / f"{name}.onnx")
    together = Together.of([tmp_path / "a.onnx", tmp_path / "b.onnx"])
    before = {name: [node.name for node in part.graph] for name, part in together.parts.items()}
    parts = split(together.opened.model, together.parts)
    assert {name: [node.name for node in part.graph] for name, part in parts.items()} == before
    assert parts["a"].doc_string == "an encoder"
    assert parts["a"].metadata_props == {"author": "me"}
    assert [value.name for value in parts["b"].graph.inputs] == ["hidden", "z"]
    assert list(together.parts["a"].graph.initializers) == ["a", "b"]
    assert [value.const_value.name for value in together.parts["a"].graph.initializers.values()] == ["a", "b"]


@pytest.mark.parametrize("place", ["node", "initializer"])
def test_what_belongs_to_no_model_is_not_lost(tmp_path: Path, place: str) -> None:
    for name, text in (("a", ENCODER), ("b", DECODER)):
        onnx.save(model_of(text), tmp_path / f"{name}.onnx")
    together = Together.of([tmp_path / "a.onnx", tmp_path / "b.onnx"])
    merged = together.opened.model
    owned: Any = merged.graph[0] if place == "node" else next(iter(merged.graph.initializers.values()))
    owned.name = "foreign"
    with pytest.raises(IRError, match="'foreign' belongs to none of the models a, b"):
        split(merged, together.parts)


def test_branches_that_read_outer_weights_and_weights_in_files_of_their_own(tmp_path: Path) -> None:
    branches = """(float[1, 6] x, bool flag) => (float[1, 4] y) <float[6, 8] a, float[8, 4] b, float[8, 4] c>
        { h = MatMul(x, a) r = Relu(h)
          y = If (flag) <then_branch = t () => (float[1, 4] u) { u = MatMul(r, b) },
                         else_branch = e () => (float[1, 4] u) { u = MatMul(r, c) }> }"""
    plain = """(float[1, 6] x) => (float[1, 4] y) <float[6, 64] a, float[64, 4] b>
        { h = MatMul(x, a) r = Relu(h) y = MatMul(r, b) }"""
    onnx.save(model_of(branches), tmp_path / "cond.onnx")
    onnx.save(model_of(plain), tmp_path / "far.onnx", save_as_external_data=True, location="w", size_threshold=0)
    result = irprune.prune_together([tmp_path / "cond.onnx", tmp_path / "far.onnx"], tmp_path / "out", ratio=0.5)
    assert result.report is not None
    assert result.report.ok
    slices = result.plan.as_json()["slices"]
    x = np.random.default_rng(0).standard_normal((1, 6)).astype(np.float32)
    for name, feeds in (("cond", {"x": x, "flag": np.array(True)}), ("far", {"x": x})):
        expected = outputs(zeroed(tmp_path / f"{name}.onnx", name, slices), feeds)
        found = outputs(result.files[name], feeds)
        np.testing.assert_allclose(expected["y"], found["y"], rtol=1e-4, atol=1e-5)


def test_nodes_that_pruning_adds_belong_to_their_model(tmp_path: Path) -> None:
    """A shape that is joined from parts gets a Concat of its own, and so does each file."""
    text = """(float[N, 8] x) => (float[N, 4] y)
        <float[8, 12] w, float[12, 4] u, int64[1] zero = {0}, int64[1] one = {1}, int64[1] twelve = {12}>
        { h = MatMul(x, w) s = Shape(x) n = Slice(s, zero, one) t = Concat<axis = 0>(n, twelve)
          q = Relu(h) f = Reshape(q, t) y = MatMul(f, u) }"""
    paths = written(tmp_path, a=text, b=ENCODER)
    result = irprune.prune_together(paths, tmp_path / "out", ratio=0.5, align=1)
    assert result.report is not None
    assert result.report.ok
    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    expected = outputs(zeroed(paths[0], "a", result.plan.as_json()["slices"]), {"x": x})
    np.testing.assert_allclose(expected["y"], outputs(result.files["a"], {"x": x})["y"], rtol=1e-4, atol=1e-5)


def test_opsets_that_differ_and_names_that_do_not(tmp_path: Path) -> None:
    onnx.save(model_of(ENCODER, 17), tmp_path / "a.onnx")
    onnx.save(model_of(DECODER, 20), tmp_path / "b.onnx")
    with pytest.raises(InputError, match=r"'b' needs version 20 of operator set 'ai\.onnx', another model 17"):
        Together.of([tmp_path / "a.onnx", tmp_path / "b.onnx"])
    (tmp_path / "c").mkdir()
    onnx.save(model_of(ENCODER, 17), tmp_path / "c" / "a.onnx")
    with pytest.raises(InputError, match="two models are called 'a'"):
        Together.of([tmp_path / "a.onnx", tmp_path / "c" / "a.onnx"])


def test_a_tie_of_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = written(tmp_path, enc=ENCODER, dec=DECODER)
    options = ["-o", str(tmp_path / "out"), "--ratio", "0.5", "--tie", "enc:hiden=dec:hidden"]
    assert run(["prune", *map(str, paths), *options]) == 2
    assert "'enc:hiden' matches no input or output" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_several_models_need_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = written(tmp_path, enc=ENCODER, dec=DECODER)
    assert run(["prune", *map(str, paths), "-o", str(paths[0]), "--ratio", "0.5"]) == 2
    assert "expected a folder" in capsys.readouterr().err
    assert run(["prune", *map(str, paths), "-o", str(tmp_path), "--ratio", "0.5"]) == 2
    assert "which is an input" in capsys.readouterr().err


@pytest.mark.parametrize(("floor", "code"), [((), 2), (("--min-snr", "500", "--allow-random"), 1)])
def test_without_its_models_there_is_no_plan(tmp_path: Path, floor: tuple[str, ...], code: int) -> None:
    """Neither where a model cannot take its place (a folder has its name), nor where the models are refused."""
    paths = written(tmp_path, enc=ENCODER, dec=DECODER)
    out, plan_file = tmp_path / "out", tmp_path / "plan.json"
    (out / "enc.onnx" / "full").mkdir(parents=True)
    options = ["-o", str(out), "--plan", str(plan_file), "--ratio", "0.5", "--tie", "enc:hidden=dec:hidden", *floor]
    before = {path.name for path in tmp_path.iterdir()}
    assert run(["prune", *map(str, paths), *options]) == code
    assert {path.name for path in tmp_path.iterdir()} == before
    with pytest.raises(VerificationError, match="SNR"):
        irprune.prune_together(paths, tmp_path / "new", ratio=0.5, floors=Floors(min_snr=500, allow_random=True))
    assert not (tmp_path / "new").exists()


def test_one_plan_for_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is made, carried out and verified in steps of their own, as that of a single model."""
    paths = [str(path) for path in written(tmp_path, enc=ENCODER, dec=DECODER)]
    plan_file, out, again = tmp_path / "plan.json", tmp_path / "out", tmp_path / "again"
    assert run(["plan", *paths, "-o", str(plan_file), "--ratio", "0.5", "--tie", "enc:hidden=dec:hidden"]) == 0
    assert run(["apply", *paths, str(plan_file), "-o", str(out)]) == 0
    assert run(["apply", *reversed(paths), str(plan_file), "-o", str(again)]) == 0
    names = ("enc.onnx", "dec.onnx")
    small = [str(out / name) for name in names]
    assert all((out / name).read_bytes() == (again / name).read_bytes() for name in names)
    assert onnx.load(small[0]).graph.output[0].type.tensor_type.shape.dim[2].dim_value == 8
    assert run(["verify", *paths, *small, "--plan", str(plan_file)]) == 0
    assert run(["verify", *reversed(paths), str(out), "--plan", str(plan_file)]) == 0
    report = irprune.verify_together(paths, small, irprune.Plan.load(plan_file))
    assert report.ok
    made = irprune.apply_together(paths, irprune.Plan.load(plan_file), tmp_path / "third")
    assert made["dec"].read_bytes() == (out / "dec.onnx").read_bytes()
    capsys.readouterr()
    assert run(["apply", paths[0], str(plan_file), "-o", str(tmp_path / "small.onnx")]) == 2
    assert "made for several models (dec, enc): give all of them" in capsys.readouterr().err
    assert run(["apply", paths[0], "-o", str(out)]) == 2
    assert "expected a model and then its plan, got" in capsys.readouterr().err
    assert run(["verify", *paths, small[1], "--plan", str(plan_file)]) == 2
    assert "as many smaller models as originals" in capsys.readouterr().err
    assert run(["verify", *paths, *reversed(small), "--plan", str(plan_file)]) == 1
    model = onnx.load(paths[1])
    model.doc_string = "changed"
    onnx.save(model, paths[1])
    assert run(["apply", *paths, str(plan_file), "-o", str(out)]) == 2
    assert "another model 'dec'" in capsys.readouterr().err


def test_a_change_of_one_of_them_is_found(tmp_path: Path) -> None:
    paths = written(tmp_path, enc=ENCODER, dec=DECODER)
    result = irprune.prune_together(paths, tmp_path / "out", ratio=0.5, ties="enc:hidden=dec:hidden")
    model = onnx.load(result.files["dec"])
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 2, tensor.name))
    onnx.save(model, result.files["dec"])
    report = irprune.verify_together(paths, [result.files["enc"], result.files["dec"]], result.plan)
    assert not report.structure.ok
    assert "dec:" in report.structure.problems[0]


def twins(folder: Path) -> list[Path]:
    """A decoder and its twin, with the same weights under other names for some, as exporters number them."""
    paths = written(folder, first=FIRST, past=PAST)
    rng = np.random.default_rng(3)
    values = {name: rng.standard_normal((8, 4 if name == "wo" else 8)) for name in ("wq", "wk", "wv", "wo")}
    for path, names in zip(paths, ({}, {"wq": "onnx::MatMul_7", "wo": "onnx::MatMul_9"}), strict=True):
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            if tensor.name in values:
                tensor.CopyFrom(onnx.numpy_helper.from_array(values[tensor.name].astype(np.float32), tensor.name))
                tensor.name = names.get(tensor.name, tensor.name)
        for node in model.graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
        onnx.save(model, path)
    return paths


def test_equal_weights_stay_equal(tmp_path: Path) -> None:
    """Chosen and refitted as one: on data the twins see differently, they still hold the same weights."""
    paths = twins(tmp_path)
    rng = np.random.default_rng(0)

    def random(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    data = {
        "first": [{"x": random(1, 6, 8)} for _ in range(200)],
        "past": [
            {"x": random(1, 1, 8), "past_key": random(1, 2, 5, 4), "past_value": random(1, 2, 5, 4)} for _ in range(200)
        ],
    }
    result = irprune.prune_together(paths, tmp_path / "out", ratio=0.5, only="kind:head_dim", data=data, ties=TIES)
    assert result.report is not None
    assert result.report.ok
    assert result.recovery is not None
    assert result.recovery.error < result.recovery.error_sliced
    weights = {name: stored(onnx.load(path)) for name, path in result.files.items()}
    updated = result.plan.updated
    for one, other in (("wq", "onnx::MatMul_7"), ("wk", "wk"), ("wv", "wv"), ("wo", "onnx::MatMul_9")):
        assert weights["first"][one].raw_data == weights["past"][other].raw_data
        assert updated.get(f"first:{one}") == updated.get(f"past:{other}")
    assert "first:wo" in updated


def test_data_of_each_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = written(tmp_path, enc=ENCODER, dec=DECODER)
    rng = np.random.default_rng(0)
    feeds = {"x": (70, 5, 6), "hidden": (70, 5, 16), "z": (70, 5, 3)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in feeds.items()}
    np.savez(tmp_path / "e.npz", x=arrays["x"])
    np.savez(tmp_path / "d.npz", hidden=arrays["hidden"], z=arrays["z"])
    both = {"enc:x": arrays["x"], "dec:hidden": arrays["hidden"], "dec:z": arrays["z"]}
    np.savez(tmp_path / "both.npz", **both)
    given = ["--data", f"enc={tmp_path / 'e.npz'}", "--data", f"dec={tmp_path / 'd.npz'}"]
    start = ["prune", *map(str, paths), "--ratio", "0.5", "--tie", "enc:hidden=dec:hidden", "-o"]
    assert run([*start, str(tmp_path / "one"), *given]) == 0
    assert run([*start, str(tmp_path / "two"), "--data", str(tmp_path / "both.npz")]) == 0
    for name in ("enc", "dec"):
        one, two = (stored(onnx.load(tmp_path / folder / f"{name}.onnx")) for folder in ("one", "two"))
        assert {key: tensor.raw_data for key, tensor in one.items()} == {
            key: tensor.raw_data for key, tensor in two.items()
        }
    capsys.readouterr()
    assert run([*start, str(tmp_path / "no"), *given[:2]]) == 2
    assert "--data: expected MODEL=DATA once for each of enc, dec" in capsys.readouterr().err
    assert run([*start, str(tmp_path / "no"), "--inputs", f"enc={tmp_path / 'e.npz'}"]) == 2
    assert "--inputs: expected MODEL=DATA once for each" in capsys.readouterr().err
    labels = ["--labels", str(tmp_path / "l.npy"), "--inputs", str(tmp_path / "both.npz")]
    np.save(tmp_path / "l.npy", np.zeros(70, np.int64))
    assert run([*start, str(tmp_path / "no"), *labels]) == 2
    assert "--labels is for a single model" in capsys.readouterr().err
