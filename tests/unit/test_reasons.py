"""Reasons as values: what their kinds are, how they are grouped, and what is said where nothing can go."""

from __future__ import annotations

import numpy as np
import onnx_ir as oir
import pytest

from irprune.analysis import Analysis, analyze
from irprune.cli import report
from irprune.cli.reasons import most_telling, summarize
from irprune.errors import TargetError
from irprune.frontends.onnx import import_model
from irprune.plans import make_plan
from irprune.reasons import ADVICE, Kind, Place, Reason, condensed, graph_input, graph_output, plain
from irprune.request import Request
from tests.golden.helpers.models import model_of

WINDOW = Place("Conv", "c1").reason("the window of a convolution slides over it", Kind.POSITIONS)
OTHER = Place("Conv", "c2").reason("the window of a convolution slides over it", Kind.POSITIONS)


def analysis_of(text: str, **numbers: object) -> Analysis:
    arrays = {name: np.array(value, np.int64) for name, value in numbers.items()}
    return analyze(import_model(oir.from_proto(model_of(text, numbers=arrays))))


def test_a_reason_reads_as_place_and_words() -> None:
    assert str(WINDOW) == "Conv 'c1': the window of a convolution slides over it"
    assert str(graph_input("x")) == "graph input 'x'"
    assert (
        str(plain("its size N is known only at run time", Kind.RUN_TIME_SIZE)) == "its size N is known only at run time"
    )


def test_what_holds_of_several_nodes_is_said_once() -> None:
    assert condensed([WINDOW, OTHER]) == "Conv 'c1' and 1 more: the window of a convolution slides over it"
    assert condensed([graph_input("x"), graph_output("y")]) == f"graph input 'x'; graph output 'y' ({ADVICE})"


@pytest.mark.parametrize("option", ["--allow-io", "--state"])
def test_the_ends_of_the_graph_name_the_options_that_free_them(option: str) -> None:
    assert option in condensed([graph_input("x")])
    assert option not in condensed([WINDOW])


def test_the_most_telling_reason_is_no_position_and_no_end() -> None:
    softmax = Reason("Softmax", "s", "a softmax is taken over it", Kind.SOFTMAX)
    assert most_telling([WINDOW, graph_output("y"), softmax]) == softmax
    assert most_telling([WINDOW, graph_output("y")]) == graph_output("y")
    assert most_telling([]) is None


def gated() -> Analysis:
    """Efficient channel attention: a convolution slides over the channels of a stage."""
    return analysis_of(
        "(float[1, 3, 8, 8] x) => (float[1, 4, 4, 4] y)"
        "<float[8, 3, 3, 3] a, float[1, 1, 3] e, float[6, 8, 3, 3] b, float[4, 6, 1, 1] c, int64[3] s, int64[4] t>"
        "{ h = Conv(x, a) p = GlobalAveragePool(h) r = Reshape(p, s) g = Conv<pads=[1, 1]>(r, e) q = Sigmoid(g)"
        " m = Reshape(q, t) k = Mul(h, m) n = Conv(k, b) y = Conv(n, c) }",
        s=[1, 1, 8],
        t=[1, 8, 1, 1],
    )


def test_channels_under_a_window_are_not_called_positions() -> None:
    groups = {member.tensor + f":{member.axis}": group for group in gated().groups for member in group.members}
    assert groups["a:0"].frozen and groups["a:0"].kind == "channels"
    assert groups["a:2"].frozen and groups["a:2"].kind == "positions"
    lines = {line.why: line.count for line in summarize([groups["a:0"], groups["a:2"], groups["b:3"]])}
    assert lines == {
        "Conv: the window of a convolution slides over it": 1,
        "positions (kernel windows, image sides, sequence or batch), which are never pruned": 2,
    }


def test_ends_of_the_graph_are_one_line() -> None:
    analysis = analysis_of("(float[N, 4] x, float[N, 6] z) => (float[N, 5] y) <float[4, 5] a, float[6, 5] b>"
                           "{ p = MatMul(x, a) q = MatMul(z, b) y = Add(p, q) }")  # fmt: skip
    lines = summarize(group for group in analysis.groups if group.frozen)
    assert [line.why for line in lines] == [
        f"a dimension of graph input 'x' and 1 more ({ADVICE})",
        f"a dimension of graph output 'y' ({ADVICE})",
    ]


def test_weights_that_the_graph_computes_are_named() -> None:
    text = "(float[N, 4] x) => (float[N, 4] y) <int64[4, 4] codes>{ w = Cast<to=1>(codes) y = MatMul(x, w) }"
    with pytest.raises(TargetError) as caught:
        make_plan(analysis_of(text), Request(ratio=0.5))
    assert str(caught.value) == (
        "nothing to remove: the graph computes its weights instead of storing them, as MatMul 'MatMul:y' reads 'w', "
        "which Cast 'Cast:w' computes; irprune opt --passes fold stores those that follow from constants"
    )


def test_a_model_without_weights_says_so() -> None:
    with pytest.raises(TargetError, match="the model stores no weights of a convolution, matrix product"):
        make_plan(analysis_of("(float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }"), Request(ratio=0.5))


def test_what_nothing_reads_is_not_listed_as_pruned() -> None:
    """A slice takes the first rows of a table: the others are removed, but nothing is pruned there."""
    text = (
        "(float[N, 4] x) => (float[N, 3] y)"
        "<float[8, 6] w, float[4, 6] v, float[6, 3] u, int64[1] first, int64[1] last>"
        "{ s = Slice(w, first, last) m = Add(s, v) h = MatMul(x, m) y = MatMul(h, u) }"
    )
    analysis = analysis_of(text, first=[0], last=[4])
    (unread,) = (group for group in analysis.groups if group.kind == "unread" and not group.frozen)
    removed = {group.name: group.size // 2 for group in analysis.groups if not group.frozen}
    shown = report.pruned_groups(analysis, removed)
    assert unread.name not in list(shown.columns[0].cells)
    assert report.unread(analysis, removed) == f"removed as well: 2 rows that nothing reads, as of '{unread.name}'"
    assert report.unread(analysis, {}) == ""
