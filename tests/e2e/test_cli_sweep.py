"""``irprune sweep``: the same files however the tasks are done and however often they are interrupted."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from irprune.cli import run
from irprune.sweep.folder import digest_of

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models" / "digits.onnx"


def irprune(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images with their labels."""
    folder = tmp_path_factory.mktemp("data")
    found = np.load(ROOT / "models" / "digits_heldout.npz")
    images = found["images"].astype(np.float32).reshape(-1, 1, 8, 8)[:200]
    np.savez(folder / "images.npz", **{onnx.load(DIGITS).graph.input[0].name: images})
    np.save(folder / "labels.npy", found["labels"][:200])
    return folder


def options(data: Path) -> tuple[object, ...]:
    return (
        DIGITS,
        "--data",
        data / "images.npz",
        "--labels",
        data / "labels.npy",
        "--targets",
        "0.3,0.6",
        "--align",
        1,
    )


@pytest.fixture(scope="module")
def swept(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing interrupted, by this process."""
    folder = tmp_path_factory.mktemp("sweep") / "results"
    assert irprune("sweep", *options(data), "-o", folder, "--html", folder.with_suffix(".html")) == 0
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: digest_of(path) for path in folder.iterdir()}


def test_the_table_says_what_the_models_are(swept: Path, data: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((swept / "sweep.csv").read_text())))
    assert [float(row["target"]) for row in rows] == [0.6, 0.3]
    before = json.loads((swept / "macs-0.6.plan.json").read_text())["cost"]["macs"][0]
    images = np.load(data / "images.npz")
    name = images.files[0]
    # 200 samples are read in ten batches of 20: the fifth and the tenth are held out
    places = np.r_[80:100, 180:200]
    labels = np.load(data / "labels.npy")[places]
    for row in rows:
        model = swept / f"macs-{row['target']}.onnx"
        session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        right = session.run(None, {name: images[name][places]})[0].argmax(axis=1) == labels
        assert float(row["accuracy"]) == pytest.approx(right.mean())
        assert int(row["macs"]) <= 1.01 * float(row["target"]) * before
        assert int(row["file_bytes"]) == model.stat().st_size
        assert irprune("verify", DIGITS, model, "--plan", swept / f"macs-{row['target']}.plan.json") == 0
    words = [item.text for item in ET.parse(swept / "tradeoff.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"accuracy", "share of the multiply-accumulates", "0.3", "0.6"} <= set(words)
    page = swept.with_suffix(".html").read_text()
    assert "irprune sweep " in page and "<svg" in page and "100.00%" in page


def test_what_is_done_is_not_done_again(
    swept: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(swept)
    monkeypatch.setattr("irprune.api.prune", lambda *a, **k: pytest.fail("a task was done again"))
    assert irprune("sweep", *options(data), "-o", swept, "--json") == 0
    assert [row["target"] for row in json.loads(capsys.readouterr().out)["models"]] == [0.6, 0.3]
    assert contents(swept) == before


def test_a_model_that_was_changed_is_made_again(swept: Path, data: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "results"
    shutil.copytree(swept, folder)
    with (folder / "macs-0.3.onnx").open("ab") as file:
        file.write(b"\0")
    assert irprune("sweep", *options(data), "-o", folder) == 0
    assert contents(folder) == contents(swept)


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_and_ends_with_the_same_files(swept: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    command = [sys.executable, "-m", "irprune", "sweep", *map(str, options(data)), "-o", str(folder), "--workers", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while not (stages := list(folder.glob(".macs-*"))) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert stages, "no task began to write"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "sweep.csv").exists()
    assert irprune("sweep", *options(data), "-o", folder) == 0
    assert contents(folder) == contents(swept)


@pytest.mark.slow
def test_workers_end_with_a_sweep_that_was_killed(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    command = [sys.executable, "-m", "irprune", "sweep", *map(str, options(data)), "-o", str(folder), "--workers", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end, children = time.monotonic() + 300, ""
    while not list(folder.glob(".macs-*")) and time.monotonic() < end:
        time.sleep(0.02)
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not listed.exists():
        process.kill()
        pytest.skip("the system does not list the children of a process")
    children = listed.read_text().split()
    assert len(children) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


@pytest.mark.slow
def test_a_cluster_makes_the_same_files(swept: Path, data: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    folder = tmp_path / "results"
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster:
        address = cluster.scheduler_address
        assert irprune("sweep", *options(data), "-o", folder, "--scheduler", address) == 0
    assert contents(folder) == contents(swept)


@pytest.mark.slow
def test_models_are_trained_on_the_data_and_judged_on_what_is_held_out(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "results"
    given = ("--data", data / "images.npz", "--labels", data / "labels.npy", "--align", 1)
    assert irprune("sweep", DIGITS, *given, "--targets", "0.2", "--minutes", 0.05, "-o", folder) == 0
    model, plan = folder / "macs-0.2-0.05min.onnx", folder / "macs-0.2-0.05min.plan.json"
    assert irprune("verify", DIGITS, model, "--plan", plan) == 0
    places, images = np.r_[80:100, 180:200], np.load(data / "images.npz")
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    right = session.run(None, {images.files[0]: images[images.files[0]][places]})[0].argmax(axis=1)
    found = json.loads((folder / "macs-0.2-0.05min.task.json").read_text())
    assert found["accuracy"][1] == pytest.approx((right == np.load(data / "labels.npy")[places]).mean())
    assert irprune("sweep", DIGITS, *given, "--targets", "0.2", "-o", folder) == 0
    assert digest_of(folder / "macs-0.2.onnx") != digest_of(model)


def test_without_data_channels_are_chosen_by_norm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "results"
    assert irprune("sweep", DIGITS, "--targets", "0.5", "-o", folder, "--by", "params", "--seed", 3) == 0
    plan = json.loads((folder / "params-0.5.plan.json").read_text())
    assert plan["request"]["criterion"] == "l2" and plan["cost"]["params"][1] <= 0.51 * plan["cost"]["params"][0]
    assert "params-0.5: params" in capsys.readouterr().out


def test_a_target_out_of_reach_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "results"
    assert irprune("sweep", DIGITS, "--targets", "0.6,0.01", "-o", folder, "--max-ratio", 0.5) == 1
    error = capsys.readouterr().err
    assert "macs 0.01: macs cannot go below" in error and error.count("error:") == 1
    assert (folder / "macs-0.6.onnx").exists() and not (folder / "macs-0.01.onnx").exists()
    assert len((folder / "sweep.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--targets", "0.5,x"), "--targets takes shares"),
        (("--targets", "0.5,1.5"), "must lie between 0 and 1"),
        (("--targets", "0.5,0.5"), "once"),
        (("--targets", "0.5", "--by", "time"), "--by takes params, macs, bytes, latency"),
        (("--targets", "0.5", "--workers", "0"), "--workers must be at least 1"),
        (("--targets", "0.5", "--minutes", "1"), "trains on --data"),
        (("--targets", "0.5", "--labels", "labels.npy"), "--labels needs the inputs"),
        (("--targets", "0.5", "--data", "none.npz"), "none.npz: no such file"),
        (("--targets", "0.5", "--criterion", "obs"), "needs inputs of the model"),
        (("--targets", "0.5", "--html", "missing/page.html"), "no folder"),
        (("--targets", "0.5", "-o", "labels.npy/sweep"), "cannot write into"),
        (("--targets", "0.5", "--scheduler", "tcp://127.0.0.1:9"), "no cluster can be reached"),
        (("--targets", "0.5", "--data", "images.npz", "--labels", "few.npy"), "5 labels for 200 samples"),
    ],
)
def test_refusals_are_one_line(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(data)
    np.save(data / "few.npy", np.arange(5))
    monkeypatch.setattr("irprune.sweep.workers._PATIENCE", 1)
    where = () if "-o" in arguments else ("-o", tmp_path / "results")
    assert irprune("sweep", DIGITS, *where, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(("more", "what"), [(("--seed", 1), "options"), (("--data", "images.npz"), "data")])
def test_a_folder_of_another_sweep_is_refused(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: tuple[object, ...],
    what: str,
) -> None:
    monkeypatch.chdir(data)
    folder = tmp_path / "results"
    assert irprune("sweep", DIGITS, "--targets", "0.6", "-o", folder) == 0
    before = contents(folder)
    capsys.readouterr()
    assert irprune("sweep", DIGITS, "--targets", "0.6", "-o", folder, *more) == 2
    error = capsys.readouterr().err
    assert f"holds a sweep of another {what}" in error and error.count("\n") == 1
    assert contents(folder) == before
    other = onnx.load(DIGITS)
    other.doc_string = "another"
    onnx.save(other, tmp_path / "other.onnx")
    assert irprune("sweep", tmp_path / "other.onnx", "--targets", "0.6", "-o", folder) == 2
    assert "holds a sweep of another model" in capsys.readouterr().err
