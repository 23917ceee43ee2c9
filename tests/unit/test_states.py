"""States: the input and the output of a cell whose caller feeds one back to the other."""

from __future__ import annotations

import pytest

from irprune.analysis import Analysis, analyze
from irprune.analysis.states import found_states, paired
from irprune.errors import InputError
from irprune.ir import Graph, Value
from tests.golden.helpers.models import graph_of

ELMAN = """(float[1, 8] x, float[1, 16] {h}) => (float[1, 4] y, float[1, 16] {after})
<float[8, 16] w, float[16, 16] u, float[16, 4] v>
{{ a = MatMul(x, w) b = MatMul({h}, u) c = Add(a, b) {after} = Tanh(c) y = MatMul({after}, v) }}"""

CONV_LSTM = """(float[1, 3, 8, 8] x, float[1, 6, 8, 8] h, float[1, 6, 8, 8] c)
=> (float[1, 6, 8, 8] h_next, float[1, 6, 8, 8] c_next)
<float[24, 9, 3, 3] w, float[24] b>
{ both = Concat<axis = 1>(x, h) gates = Conv<pads = [1, 1, 1, 1]>(both, w, b)
  i, f, o, g = Split<axis = 1, num_outputs = 4>(gates)
  si = Sigmoid(i) sf = Sigmoid(f) so = Sigmoid(o) tg = Tanh(g) keep = Mul(sf, c) new = Mul(si, tg)
  c_next = Add(keep, new) t = Tanh(c_next) h_next = Mul(so, t) }"""

CACHE = """(float[1, 5, 8] x, float[1, 12, 3] in_cache0) => (float[1, 5, 4] y, float[1, 12, 3] out_cache0)
<float[8, 12] w, float[12, 1, 4] k, float[12, 4] v, int64[1] last = {-3}, int64[1] end = {100}, int64[1] axis = {2}>
{ p = MatMul(x, w) t = Transpose<perm = [0, 2, 1]>(p) all = Concat<axis = 2>(in_cache0, t)
  out_cache0 = Slice(all, last, end, axis) c = Conv<group = 12>(all, k) d = Transpose<perm = [0, 2, 1]>(c)
  y = MatMul(d, v) }"""


def elman(h: str = "h", after: str = "h2") -> Graph:
    return graph_of(ELMAN.format(h=h, after=after))


def is_one_axis(analysis: Analysis, before: str, after: str, dim: int) -> bool:
    first, last = analysis.coupling.dims[before], analysis.coupling.dims[after]
    assert first is not None and last is not None
    return first[dim] == last[dim]


def sizes(analysis: Analysis) -> dict[str, int]:
    return {group.name: group.size for group in analysis.groups if not group.frozen}


def test_a_declared_state_is_one_axis_and_may_be_pruned() -> None:
    """Input and output shrink together, without --allow-io."""
    found = analyze(elman("before", "after"), states=["before=after"])
    assert found.coupling.states == (("before", "after"),)
    assert is_one_axis(found, "before", "after", 1)
    assert sizes(found) == {"u:0": 16}


def test_without_a_word_the_state_is_frozen() -> None:
    assert sizes(analyze(elman())) == {}


def test_a_state_that_its_names_tell_is_tied_where_both_ends_may_change() -> None:
    found = analyze(elman(), allow_io=["h", "h2"])
    assert found.coupling.states == (("h", "h2"),)
    assert is_one_axis(found, "h", "h2", 1)
    assert found.separate_states == ()


def test_a_pair_that_nothing_tells_to_be_a_state_is_named() -> None:
    found = analyze(elman("before", "after"), allow_io=["before", "after"])
    assert found.coupling.states == ()
    assert not is_one_axis(found, "before", "after", 1)
    assert found.separate_states == (("before", "after"),)


def test_an_end_that_stays_makes_no_pair() -> None:
    assert analyze(elman("before", "after"), allow_io=["after"]).separate_states == ()


@pytest.mark.parametrize(("text", "states"), [(CONV_LSTM, ["h=h_next", "c=c_next"]), (CACHE, ["in_*=out_*"])])
def test_convolutional_cells_and_streaming_caches(text: str, states: list[str]) -> None:
    found = analyze(graph_of(text), states=states)
    assert found.coupling.states
    for before, after in found.coupling.states:
        assert is_one_axis(found, before, after, 1)
    assert sizes(found)


def test_keys_and_values_that_grow_are_tied_in_what_is_fixed() -> None:
    text = """(float[1, 1, 8] x, float[1, 2, past, 4] past_key) => (float[1, 2, total, 4] present_key)
        <float[8, 8] wk, int64[4] s = {1, 1, 2, 4}>
        { k = MatMul(x, wk) ks = Reshape(k, s) kt = Transpose<perm = [0, 2, 1, 3]>(ks)
          present_key = Concat<axis = 2>(past_key, kt) }"""
    found = analyze(graph_of(text), states=["past_*=present_*"])
    assert found.coupling.states == (("past_key", "present_key"),)
    assert is_one_axis(found, "past_key", "present_key", 1)
    assert is_one_axis(found, "past_key", "present_key", 3)
    assert sizes(found) == {"wk:1": 2, "wk:1_1": 4}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("h", "h_out"),
        ("h", "h2"),
        ("h0", "hn"),
        ("h_0", "h_n"),
        ("state", "stateN"),
        ("r1i", "r1o"),
        ("past_key_values.0.key", "present.0.key"),
        ("past_0", "present_0"),
        ("in_cache3", "out_cache3"),
        ("cached_key_0", "new_cached_key_0"),
        ("cache_last_channel", "cache_last_channel_next"),
        ("initial_h", "final_h"),
    ],
)
def test_names_of_states(before: str, after: str) -> None:
    assert found_states(_interface({before: (1, 4)}, {after: (1, 4)}), [before], [after]) == [(before, after)]


@pytest.mark.parametrize(
    ("before", "after"), [("input", "output"), ("input.1", "output.1"), ("x", "y"), ("h", "c_out"), ("r1i", "r2o")]
)
def test_names_of_no_states(before: str, after: str) -> None:
    assert found_states(_interface({before: (1, 4)}, {after: (1, 4)}), [before], [after]) == []


def test_names_alone_make_no_state() -> None:
    assert found_states(_interface({"h": (1, 4)}, {"h_out": (1, 5)}), ["h"], ["h_out"]) == []


def test_of_two_outputs_the_likelier_is_the_state_and_equal_ones_are_none() -> None:
    graph = _interface({"h": (1, 4)}, {"h_out": (1, 4), "h2": (1, 4)})
    assert found_states(graph, ["h"], ["h_out", "h2"]) == [("h", "h_out")]
    assert found_states(graph, ["h"], ["h2"]) == [("h", "h2")]
    twice = _interface({"h": (1, 4)}, {"h1": (1, 4), "h2": (1, 4)})
    assert found_states(twice, ["h"], ["h1", "h2"]) == []


def test_stars_stand_for_the_same_text_on_both_sides() -> None:
    found = paired("past_*.k*", ["past_0.k1", "past_2.k3", "x"], "now_*.k*", ["now_0.k1", "now_2.k3"], "o", ("i", "o"))
    assert found == [("past_0.k1", "now_0.k1"), ("past_2.k3", "now_2.k3")]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("h", "expected IN=OUT"),
        ("g=after", "'g' matches no input; there are x, before"),
        ("before=g", "there is no output 'g'; there are y, after"),
        ("be*=after", r"the same number of \*"),
        ("before=y", r"expected two ends of one type and shape, got float32\[1, 16\] 'before' and float32\[1, 4\] 'y'"),
    ],
)
def test_states_that_make_no_sense(pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        analyze(elman("before", "after"), states=[pattern])


def test_an_end_of_two_states() -> None:
    with pytest.raises(InputError, match="input 'before' belongs to 2 states, expected one"):
        analyze(elman("before", "after"), states=["before=after", "before=after"])


def _interface(inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]) -> Graph:
    values = {name: Value(name, "float32", shape) for name, shape in {**inputs, **outputs}.items()}
    return Graph("g", tuple(inputs), tuple(outputs), (), values, {}, {"": 20})
