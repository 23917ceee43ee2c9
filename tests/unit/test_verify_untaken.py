"""Branches and loop bodies that no tried input reaches are named: results say nothing of them."""

from __future__ import annotations

from typing import Any

import pytest

from irprune import api
from irprune.errors import VerificationError
from irprune.rewriting.slicing import _Rewriter
from irprune.verification import junit_xml
from tests.golden.helpers.models import model_of

HEAD = "<float[4, 6] w, float[6, 3] v, float[6, 3] u, int64 none = {0}, int64 two = {2}, float[2, 3] start>"
THEN = "then_branch = left () => (float[2, 3] p) { p = MatMul(h, v) }"
ELSE = "else_branch = right () => (float[2, 3] q) { q = MatMul(h, u) }"
COMPUTED = "h = MatMul(x, w) s = ReduceSumSquare <keepdims = 0> (h) low = Constant <value = float {-1.0}> ()"
LOOP = """y = Loop ({trips}, {on}, start) <body = step (int64 i, bool go, float[2, 3] before)
    => (bool on, float[2, 3] after) {{ on = Identity(go) m = MatMul(h, v) after = Add(before, m) }}>"""
ON = "yes = Constant <value = bool {1}> () no = Constant <value = bool {0}> ()"

CASES = {
    "a computed condition": ("", f"{COMPUTED} c = Greater(s, low) y = If (c) <{THEN}, {ELSE}>", ["'else' of If"]),
    "the other way round": ("", f"{COMPUTED} c = Less(s, low) y = If (c) <{THEN}, {ELSE}>", ["'then' of If"]),
    "chosen by an input": (", bool flag", f"h = MatMul(x, w) y = If (flag) <{THEN}, {ELSE}>", []),
    "a loop of no steps": ("", f"h = MatMul(x, w) {LOOP.format(trips='none', on='')}", ["body of Loop"]),
    "a loop that never starts": ("", f"h = MatMul(x, w) {ON} {LOOP.format(trips='two', on='no')}", ["body of Loop"]),
    "a loop of two steps": ("", f"h = MatMul(x, w) {ON} {LOOP.format(trips='two', on='yes')}", []),
}


def notes_of(inputs: str, nodes: str) -> list[str]:
    model = model_of(f"(float[2, 4] x{inputs}) => (float[2, 3] y) {HEAD} {{ {nodes} }}", 17)
    report = api.prune(model, ratio=0.5).report
    assert report is not None and report.ok
    notes = [note for note in report.structure.notes if "reaches" in note]
    assert all(note in junit_xml(report).replace("&apos;", "'") for note in notes)
    return notes


@pytest.mark.parametrize("name", CASES)
def test_what_no_input_reaches_is_named(name: str) -> None:
    inputs, nodes, expected = CASES[name]
    notes = notes_of(inputs, nodes)
    assert len(notes) == len(expected)
    for note, words in zip(notes, expected, strict=True):
        assert note.startswith("no tried input reaches") and words in note
        assert note.endswith("compared by structure alone")


NESTED = """inside = Greater(s, low)
    p = If (inside) <then_branch = a () => (float[2, 3] pa) { pa = MatMul(h, v) },
                     else_branch = b () => (float[2, 3] pb) { pb = MatMul(h, u) }>"""


@pytest.mark.parametrize("reached", [True, False])
def test_a_condition_inside_a_branch_is_not_observed(reached: bool) -> None:
    """Of what lies in a branch that no input takes, the branch alone is named."""
    compare = "Greater" if reached else "Less"
    nodes = (
        f"{COMPUTED} c = {compare}(s, low) y = If (c) <then_branch = left () => (float[2, 3] p) {{ {NESTED} }}, {ELSE}>"
    )
    first, *rest = notes_of("", nodes)
    assert f"reaches branch '{'else' if reached else 'then'}' of If" in first
    assert [note.startswith("not observed whether") for note in rest] == [True] * reached
    if reached:
        assert rest[0].count("of If") == 2


NORM = """then_branch = left () => (float[2, 8, 4, 4] p) {{ p = Relu(c) }},
    else_branch = right () => (float[2, 8, 4, 4] q) {{ z = Conv <group = 8> (c, v) q = Tanh(z) }}"""
DEPTHWISE = f"""(float[2, 3, 4, 4] x{{flag}}) => (float[2, 5, 4, 4] y)
<float[8, 3, 1, 1] w, float[8, 1, 1, 1] v, float[5, 8, 1, 1] u> {{{{
    c = Conv(x, w)
    s = ReduceSumSquare <keepdims = 0> (c)
    low = Constant <value = float {{{{-1.0}}}}> ()
    {{condition}}
    k = If ({{by}}) <{NORM}>
    y = Conv(k, u)
}}}}"""


@pytest.mark.parametrize("is_reached", [False, True])
def test_rewritten_nodes_in_a_branch_that_no_input_reaches_are_counted(is_reached: bool) -> None:
    """The group of a depthwise convolution follows the removal: only a run shows that it is right."""
    flag, condition, by = (", bool on", "", "on") if is_reached else ("", "g = Greater(s, low)", "g")
    model = model_of(DEPTHWISE.format(flag=flag, condition=condition, by=by), 17)
    report = api.prune(model, ratio=0.5).report
    assert report is not None and report.ok
    assert any(name.endswith("/z") for name in report.structure.rewritten)
    words = "; 1 rewritten node there is compared with what irprune writes, not run"
    assert any(note.endswith(words) for note in report.structure.notes) is not is_reached


GROUPS = """(float[2, 3, 4, 4] x) => (float[2, 5, 4, 4] y)
<float[8, 3, 1, 1] w, float[8] scale, float[8] bias, float[5, 8, 1, 1] u> {
    c = Conv(x, w)
    s = ReduceSumSquare <keepdims = 0> (c)
    low = Constant <value = float {-1.0}> ()
    g = Less(s, low)
    k = If (g) <
        then_branch = left () => (float[2, 8, 4, 4] p) { z = GroupNormalization <num_groups = 4> (c, scale, bias)
            p = Tanh(z) },
        else_branch = right () => (float[2, 8, 4, 4] q) { q = Relu(c) }
    >
    y = Conv(k, u)
}"""


def test_a_fault_of_the_rewriter_in_a_branch_that_no_input_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the groups are removed, and their number stays: no run shows it, and the rewriter finds it right."""
    model = model_of(GROUPS, 21)
    report = api.prune(model, ratio=0.5).report
    assert report is not None and report.ok
    assert any("num_groups" not in note and "'then' of If" in note for note in report.structure.notes)
    follow = _Rewriter._follow_attribute

    def forget(self: _Rewriter, matched: Any, name: str, *rest: Any) -> None:
        if name != "num_groups":
            follow(self, matched, name, *rest)

    monkeypatch.setattr(_Rewriter, "_follow_attribute", forget)
    with pytest.raises(VerificationError) as caught:
        api.prune(model, ratio=0.5)
    assert "attribute 'num_groups' of GroupNormalization spells a size out, the plan leaves 2, got 4" in str(
        caught.value
    )
    assert "differs from the reference" not in str(caught.value)


SPELLED = """(float[2, 6] x) => (float[2, 3] y)
<float[6, 8] w, float[8, 3] v, int64[2] shape = {2, 8}, int64[8] order = {7, 6, 5, 4, 3, 2, 1, 0},
 int64[2] pads = {0, 0}, int64[1] zero = {0}, int64[1] one = {1}> {
    c = MatMul(x, w)
    s = ReduceSumSquare <keepdims = 0> (c)
    low = Constant <value = float {-1.0}> ()
    g = Less(s, low)
    k = If (g) <
        then_branch = left () => (float[2, 8] p) { BODY },
        else_branch = right () => (float[2, 8] q) { q = Relu(c) }
    >
    y = MatMul(k, v)
}"""
COMPUTED_SHAPE = "b = Shape(x) r = Slice(b, zero, one) n = Constant <value_ints = [8]> () a = Concat <axis = 0> (r, n)"

FORGOTTEN = {
    "a shape": ("p = Reshape(c, shape)", "_follow_operand", "spells sizes out: the plan leaves 2, 4, got 2, 8"),
    "a computed shape": (f"{COMPUTED_SHAPE} p = Reshape(c, a)", "_follow_operand", "the plan leaves 2, 4, got 2, 8"),
    "indices": ("p = Gather <axis = 1> (c, order)", "_follow_indices", "of Gather holds indices: the plan leaves"),
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_an_operand_that_the_rewriter_forgets_in_such_a_branch(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    nodes, method, message = FORGOTTEN[name]
    model = model_of(SPELLED.replace("BODY", nodes), 17)
    report = api.prune(model, ratio=0.5, align=1).report
    assert report is not None and report.ok
    monkeypatch.setattr(_Rewriter, method, lambda *_: None)
    with pytest.raises(VerificationError) as caught:
        api.prune(model, ratio=0.5, align=1)
    assert message in str(caught.value)
