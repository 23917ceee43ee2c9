"""The parts of the benchmarks of accuracy that decide what a figure says."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.accuracy import Row, line
from benchmarks.accuracy_page import page, picture
from benchmarks.recognizer import characters
from irprune.errors import TargetError
from irprune.models import digits

ROWS = [
    Row("resnet", "original", 1.0, 1.0, 0.9, 1.0, 0.0),
    Row("resnet", "l2", 2.0, 0.5, 0.25, 0.3, 1.0),
    Row("resnet", "onnxsim, Wanda", 4.0, failure="TargetError: out of reach"),
]


@pytest.mark.parametrize(
    ("read", "text", "share"),
    [
        ("abcd", "abcd", 1.0),
        ("abd", "abcd", 0.75),
        ("xbcd", "abcd", 0.75),
        ("", "abcd", 0.0),
        ("abcdefghij", "ab", 0.0),
    ],
)
def test_characters_count_by_edit_distance(read: str, text: str, share: float) -> None:
    assert characters([read], [text]) == share


def test_a_failure_is_a_row_of_its_own() -> None:
    assert line(ROWS[2]) == "| resnet | 4 | onnxsim, Wanda | – | TargetError: out of reach | – | – |"


def test_the_picture_has_a_line_from_the_original_through_the_cuts() -> None:
    tree = ElementTree.fromstring(picture(ROWS[:2]))
    lines = tree.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert [line.get("points") for line in lines] == ["0.0,17.0 230.0,127.5"]


def test_the_page_lists_the_rows_of_a_network_by_cut() -> None:
    text = page([ROWS[0], ROWS[2], ROWS[1]], "accuracy.svg")
    assert text.index(line(ROWS[1])) < text.index(line(ROWS[2]))


def test_a_peer_is_tried_until_its_file_meets_the_goal(tmp_path: Path) -> None:
    import irprune
    from benchmarks.peers import macs_of, met

    path = tmp_path / "small.onnx"
    source = Path(digits.__file__).parent / "digits.onnx"

    def make(strength: float) -> None:
        path.write_bytes(source.read_bytes())
        if strength > 0.1:
            irprune.prune(source, path, ratio=strength, align=1, verify=False)

    goal = 0.5 * macs_of(source)
    assert met(make, path, goal) == macs_of(path)
    assert abs(macs_of(path) / goal - 1) < 0.2
    with pytest.raises(TargetError, match="out of reach"):
        met(make, path, 1.0)
