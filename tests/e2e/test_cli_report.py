"""``irprune report`` and ``prune --html``: what the page says, how a browser lays it out, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from irprune.cli import run
from irprune.plans import Plan
from tests.e2e.browser import BROWSER, laid_out

FOLDER = Path(__file__).resolve().parents[2] / "models"
DIGITS = FOLDER / "digits.onnx"


def irprune(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model pruned on data, its plan, its data and its page."""
    folder = tmp_path_factory.mktemp("report")
    images = np.load(FOLDER / "digits_heldout.npz")["images"].astype(np.float32).reshape(-1, 1, 8, 8)
    np.savez(folder / "data.npz", **{onnx.load(DIGITS).graph.input[0].name: images[:200]})
    out = ("-o", folder / "small.onnx", "--plan", folder / "plan.json", "--html", folder / "made.html")
    assert irprune("prune", DIGITS, *out, "--macs", 0.5, "--data", folder / "data.npz", "--no-bench") == 0
    return folder


@pytest.fixture(scope="module")
def reported(made: Path) -> Path:
    given = (DIGITS, made / "small.onnx", "--plan", made / "plan.json", "--inputs", made / "data.npz")
    assert irprune("report", *given, "-o", made / "page.html", "--profile", "--node-data", made / "node.json") == 0
    return made / "page.html"


def test_the_page_shows_the_plan_the_verdicts_and_the_times(made: Path, reported: Path) -> None:
    text = reported.read_text()
    plan = Plan.load(made / "plan.json")
    assert len(text.encode()) < 1_000_000
    for group in plan.groups:
        assert f"{group.size - len(group.removed)} of {group.size}" in text
    assert len(re.findall('id="curve[0-9]+-t"', text)) == len(plan.groups)
    assert text.count('<span class="ok">ok</span>') == 2
    for expected in (plan.digest, plan.sha256, "irprune report ", "times as fast", "Conv", "--macs", "positions"):
        assert expected in text


def test_prune_writes_a_page_with_its_own_command_and_what_the_refit_did(made: Path) -> None:
    text = (made / "made.html").read_text()
    assert "irprune prune " in text and "weights refitted" in text and "Not profiled" in text


def test_curves_rise_from_zero_and_the_digest_leaves_them_out(made: Path) -> None:
    plan = Plan.load(made / "plan.json")
    assert plan.curves.keys() >= {group.name for group in plan.groups}
    for curve in plan.curves.values():
        assert curve.removed[0] == 0 and curve.error[0] == 0
        assert np.diff(curve.removed).min() > 0 and np.diff(curve.error).min() >= 0
    assert plan.model_copy(update={"curves": {}}).digest == plan.digest
    assert Plan.loads(plan.dumps()) == plan


def test_node_data_name_the_nodes_of_the_model(made: Path, reported: Path) -> None:
    keys = {key for node in onnx.load(DIGITS).graph.node for key in (node.name, *node.output)}
    for suffix, low, high in (("", 0, 1), ("-error", 0, np.inf), ("-ms", 0, np.inf)):
        results = json.loads((made / f"node{suffix}.json").read_text())["results"]
        assert results and results.keys() <= keys
        assert all(low <= item["value"] <= high for item in results.values())
    kept, small = json.loads((made / "node.json").read_text())["results"], made / "small.onnx"
    plan = json.loads((made / "plan.json").read_text())
    before, after = ({t.name: np.prod(t.dims) for t in onnx.load(path).graph.initializer} for path in (DIGITS, small))
    convs = [
        node for node in onnx.load(DIGITS).graph.node if node.op_type == "Conv" and node.input[1] in plan["slices"]
    ]
    assert convs
    for conv in convs:
        sliced = [name for name in conv.input if name in plan["slices"]]
        share = sum(after[name] for name in sliced) / sum(before[name] for name in sliced)
        assert kept[conv.name]["value"] == pytest.approx(share, rel=1e-5)


@pytest.mark.skipif(not BROWSER, reason="no chromium on this machine; tests/unit/test_pages.py checks extents of texts")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_texts_that_neither_overlap_nor_leave_the_page(
    reported: Path, width: int, tmp_path: Path
) -> None:
    found = laid_out(reported, width, tmp_path)
    assert len(found.texts) > 100 and found.view == width
    assert found.faults() == []


@pytest.mark.skipif(not BROWSER, reason="no chromium on this machine")
def test_the_browser_check_finds_a_page_that_is_too_wide_and_texts_that_overlap(tmp_path: Path) -> None:
    words = '<text x="0" y="20">first text</text><text x="9" y="22">second text</text><text x="90" y="20">leaves</text>'
    page = tmp_path / "bad.html"
    page.write_text(
        f'<body><div style="width:900px; text-align:right">far</div><svg width="100" height="50">{words}</svg></body>'
    )
    faults = laid_out(page, 600, tmp_path).faults()
    assert any("wide" in fault for fault in faults)
    assert "'far' lies past the right edge" in faults
    assert "'leaves' leaves its picture" in faults
    assert "'first text' overlaps 'second text'" in faults


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--plan", "plan.json"), "nothing to write"),
        (("--plan", "plan.json", "-o", "missing/page.html"), "no folder"),
        (("--plan", "plan.json", "-o", "small.onnx"), "is an input as well"),
        (("--plan", "plan.json", "-o", "p.html", "--node-data", "p.html"), "given for two outputs"),
        (("--plan", "none.json", "-o", "p.html"), "no such file"),
        (("--plan", "plan.json", "-o", "p.html", "--profile", "--threads", "0"), "--threads must be at least 1"),
    ],
)
def test_refusals_are_one_line(
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(made)
    assert irprune("report", DIGITS, "small.onnx", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (made / "p.html").exists()


def test_a_model_that_is_not_the_plans_gets_a_page_with_the_failure(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert irprune("report", DIGITS, DIGITS, "--plan", made / "plan.json", "-o", tmp_path / "page.html") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert '<span class="failed">failed</span>' in (tmp_path / "page.html").read_text()
