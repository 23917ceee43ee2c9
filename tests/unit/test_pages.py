"""Pages and pictures from plain facts: where texts stand, what is escaped, what is said where something is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from irprune.report import svg
from irprune.report.facts import Cost, CurveFact, Facts, GroupFact, Judged, Left, Operator, links
from irprune.report.graph import diagram, layout
from irprune.report.nodes import node_data
from irprune.report.page import page
from irprune.report.pictures import Point, curve, times, tradeoff, widths
from irprune.report.words import share, shortened, spell, width

LONG = "encoder.layers.11.attention.self.query_and_key_and_value.projection.weight:0"


def chain(count: int) -> list[GroupFact]:
    """Groups that each meet the next one in a weight, some with long names."""
    return [
        GroupFact(f"{LONG}{k}" if k % 3 else f"g{k}", "channels", 64 + k, 32, (f"w{k}:0", f"w{k + 1}:1"))
        for k in range(count)
    ]


def dense(count: int) -> list[GroupFact]:
    """Groups of which each meets all others, as in a network of dense connections."""
    pairs = list(combinations(range(count), 2))
    return [GroupFact(f"g{k}", "channels", 8, 4, tuple(f"w{p}:0" for p in pairs if k in p)) for k in range(count)]


def facts(groups: list[GroupFact], **more: object) -> Facts:
    costs = (Cost("parameters", 2e6, 1e6), Cost("bytes of weights", 8e6, 4e6, "B"), Cost("time of a run", 2, 1, "ms"))
    return Facts("big.onnx", "small.onnx", "irprune report big.onnx", costs, tuple(groups), **more)  # type: ignore[arg-type]


Box = tuple[str, float, float, float, float]


def texts(picture: str) -> Iterator[Box]:
    """The words of each text of a picture, and the most room that they take: left, top, right, bottom."""
    for item in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text"):
        words, room = item.text or "", width(item.text or "", svg.SIZE)
        x, y = float(item.attrib["x"]), float(item.attrib["y"])
        kind = item.attrib.get("class", "").split()
        left = x - room if "end" in kind else x - room / 2 if "middle" in kind else x
        yield words, left, y - 0.8 * svg.SIZE, left + room, y + 0.2 * svg.SIZE


def faults(picture: str) -> list[str]:
    """Texts that leave the picture, and those that overlap."""
    _, _, wide, high = map(float, ET.fromstring(picture).attrib["viewBox"].split())
    boxes = list(texts(picture))
    found = [words for words, x, y, u, v in boxes if x < -0.5 or y < -0.5 or u > wide + 0.5 or v > high + 0.5]
    for (one, x, y, u, v), (two, a, b, c, d) in combinations(boxes, 2):
        if min(u, c) - max(x, a) > 0.5 and min(v, d) - max(y, b) > 0.5:
            found.append(f"{one} / {two}")
    return found


CURVE = CurveFact(LONG, 64, (0, 16, 32, 48), (0.0, 0.01, 0.1, 1234.5), 24)
OPERATORS = (Operator("com.microsoft.nchwc.ConvolutionWithAVeryLongName", 1.5, 0.7), Operator("Gemm", 0.01, 0.0))
POINTS = [Point(c, w, f"macs {c:g}") for c, w in ((0.9, 0.99), (0.7, 0.985), (0.69, 0.985), (0.3, 0.8))]


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(widths(chain(50)), id="widths"),
        pytest.param(curve(CURVE, 0), id="curve"),
        pytest.param(times(OPERATORS), id="times"),
        pytest.param(diagram(chain(50)), id="chain"),
        pytest.param(diagram(dense(30)), id="dense"),
        pytest.param(tradeoff(POINTS, "share of the multiply-accumulates", "accuracy", alone=True), id="tradeoff"),
        pytest.param(tradeoff(POINTS[:1], "ms", "agreement", alone=False), id="one point"),
    ],
)
def test_texts_neither_overlap_nor_leave_the_picture(picture: str) -> None:
    assert faults(picture) == []
    root = ET.fromstring(picture)
    named = root.attrib["aria-labelledby"].split()
    assert [item.attrib["id"] for item in root if "id" in item.attrib] == named


def test_the_check_finds_texts_that_overlap_and_that_leave() -> None:
    parts = [svg.text(0, 20, "first"), svg.text(10, 22, "second"), svg.text(90, 60, "leaves")]
    assert faults(svg.picture("x", 100, 80, "t", "d", parts, alone=False)) == ["leaves", "first / second"]


def test_groups_that_meet_in_a_tensor_are_linked() -> None:
    assert links(chain(4)) == [(0, 1), (1, 2), (2, 3)]
    assert links([GroupFact("a", "channels", 1, 1, ("w:0",)), GroupFact("b", "channels", 1, 1, ("v:0",))]) == []


def test_boxes_do_not_overlap_and_edges_lead_forward() -> None:
    for groups in (chain(50), dense(12)):
        found = layout(len(groups), links(groups))
        assert all(a < b for a, b in found.edges)
        assert all(abs(x - u) > 150 or abs(y - v) > 40 for (x, y), (u, v) in combinations(found.places, 2))
        assert max(x for x, _ in found.places) + 164 <= found.width and found.width <= 1400
    assert layout(12, links(dense(12))).edges == tuple((k, k + 1) for k in range(11))  # the rest follows
    assert layout(0, []).places == ()


def test_the_error_of_a_cut_between_known_points_lies_on_the_line() -> None:
    assert "at an error of 0.055" in curve(CURVE, 0)
    assert "cut 38%" in curve(CURVE, 0)


def test_a_page_is_one_file_that_escapes_names() -> None:
    nasty = GroupFact('<script>alert("&")</script>', "channels", 8, 4, ('w"<b>:0',))
    verdict = Judged("structure", False, ("tensor <x> differs",))
    text = page(
        facts([nasty], verdicts=(verdict,), left=(Left(3, "a <reason>"),), curves=(CURVE,), operators=OPERATORS)
    )
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "tensor &lt;x&gt; differs" in text and "failed" in text and "a &lt;reason&gt;" in text
    assert not re.search(r"(src|href)=|url\(|@import", text)
    assert 'lang="en"' in text and "prefers-color-scheme: dark" in text and "@media print" in text


def test_a_page_of_thousands_of_groups_stays_small_and_says_what_is_left_out() -> None:
    groups = chain(2500)
    curves = tuple(CurveFact(g.name, 64, tuple(range(33)), tuple(np.linspace(0, 1, 33)), 3) for g in groups)
    text = page(facts(groups, curves=curves))
    assert len(text.encode()) < 1_000_000
    assert "2380 more groups are not drawn" in text and "2440 more curves are in the plan" in text
    assert "2200 more groups are in the plan" in text


def test_a_page_says_what_would_fill_its_empty_parts() -> None:
    text = page(facts(chain(2)))
    for expected in ("(--data)", "(--profile)", "Not verified.", "50.0 %", "4.00 MB", "1.00 ms"):
        assert expected in text


def test_axes_have_round_numbers_around_all_points() -> None:
    words = [text for text, *_ in texts(tradeoff(POINTS, "macs", "accuracy", alone=True))]
    for expected in ("0.75", "1", "0", "0.25"):
        assert expected in words
    low, high = tradeoff([Point(0.5, 1.0, "one")], "macs", "accuracy", alone=True), tradeoff([], "a", "b", alone=False)
    assert faults(low) == [] and faults(high) == []


def test_words() -> None:
    assert spell(3_310_000) == "3.31 M" and spell(812, "B") == "812 B" and spell(0.5, "ms") == "0.50 ms"
    assert share(1, 0) == "–" and share(1, 4) == "25.0 %"
    for room in (20, 60, 200):
        assert width(shortened(LONG, room, 12), 12) <= room
        assert width(shortened("層" * 40, room, 12), 12) <= room
    assert shortened("short\x1b", 200, 12) == "short·"


def test_node_data_has_the_keys_of_model_explorer() -> None:
    body = json.loads(node_data("kept", {"conv": 0.5}, falling=True))
    assert body["results"] == {"conv": {"value": 0.5}}
    assert [item["stop"] for item in body["gradient"]] == [0, 1]


def test_without_jinja2_the_message_says_what_to_install() -> None:
    script = "import sys; sys.modules['jinja2'] = None; from irprune.report.page import require_pages; require_pages()"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=root)
    assert done.stderr.splitlines()[-1].endswith("pages need jinja2: pip install 'irprune[report]'")


def contrast(one: str, two: str) -> float:
    """The contrast of two colors, as WCAG 2 defines it."""
    channels = np.array([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in (one, two)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return float((high + 0.05) / (low + 0.05))


def test_texts_can_be_read_on_light_and_on_dark_paper() -> None:
    sheets = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in svg.STYLE.split("@media")]
    assert len(sheets) == 3
    for colors in sheets:
        for name in ("ink", "muted", "mark"):
            assert contrast(colors[name], colors["paper"]) >= 4.5
        assert contrast(colors["accent"], colors["paper"]) >= 3
