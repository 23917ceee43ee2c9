"""Pipelines as text, and the driver that checks, times and prints."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irprune.errors import InputError, IRError
from irprune.ir import Graph, Node, parse, render
from irprune.passes import PASSES, Pass, State, describe_passes, parse_pipeline, register, run_pipeline
from irprune.passes.dce import Dce
from irprune.passes.fold import Fold
from irprune.passes.pipeline import Step
from irprune.passes.prune import Prune
from irprune.request import Request

GRAPH = parse(
    """graph "g" opsets {"": 20}
input "x": float32[2]
output "y"
node "i" Identity("x") -> ("h": float32[2]) {}
node "dead" Neg("x") -> ("d": float32[2]) {}
node "r" Relu("h") -> ("y": float32[2]) {}
"""
)


@dataclass(frozen=True)
class Probe(Pass):
    """Probe options of every type.

    More text.
    """

    name: ClassVar[str] = "probe"

    count: int = 3
    share: float = 0.5
    flag: bool = False
    word: str = "plain"
    words: tuple[str, ...] = ()
    maybe: float | None = None

    def run(self, state: State) -> State:
        return state


@dataclass(frozen=True)
class Break(Pass):
    """Break the graph."""

    name: ClassVar[str] = "break"

    how: str = "undefined"

    def run(self, state: State) -> State:
        if self.how == "raise":
            raise IRError("it went wrong")
        node = Node("bad", "Relu", ("nowhere",), ("z",))
        return state.rewritten(replace(state.graph, nodes=(*state.graph.nodes, node)))


@pytest.fixture(autouse=True)
def _probes() -> Iterator[None]:
    register(Probe)
    register(Break)
    yield
    del PASSES["probe"], PASSES["break"]


# -- reading ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fold", (Fold(),)),
        ("fold{}", (Fold(),)),
        ("fold,dce", (Fold(), Dce())),
        (" fold , dce ", (Fold(), Dce())),
        ("fold{batchnorm=false}", (Fold(batchnorm=False),)),
        (
            "fold,prune{macs=0.5,criterion=l2,keep=[a*,b]},dce",
            (Fold(), Prune(Request(macs=0.5, criterion="l2", keep=("a*", "b"))), Dce()),
        ),
        ("prune{ratio=0.5,keep=/layer/Conv:0}", (Prune(Request(ratio=0.5, keep=("/layer/Conv:0",))),)),
        ("probe{count=-1,share=1e-3,flag=true,word=w,words=[],maybe=2}", (Probe(-1, 1e-3, True, "w", (), 2.0),)),
        ("probe{maybe=none}", (Probe(),)),
        ("probe{word=none}", (Probe(word="none"),)),
        ('probe{word="a, [b]={c}",words=[\'d e\', "f\\"g"]}', (Probe(word="a, [b]={c}", words=("d e", 'f"g')),)),
        ("probe{ count = 4 , word = x }", (Probe(count=4, word="x"),)),
    ],
)
def test_a_pipeline_is_read(text: str, expected: tuple[Pass, ...]) -> None:
    assert parse_pipeline(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "pipeline '', column 1: expected the name of a pass, got 'the end'"),
        ("fold,", "pipeline 'fold,', column 6: expected the name of a pass, got 'the end'"),
        ("fold dce", "pipeline 'fold dce', column 6: expected ',', '{' or the end, got 'dce'"),
        ("fold{", "pipeline 'fold{', column 6: expected the name of an option, got 'the end'"),
        ("fold}", "pipeline 'fold}', column 5: expected ',', '{' or the end, got '}'"),
        ("fold{}dce", "pipeline 'fold{}dce', column 7: expected ',' or the end, got 'dce'"),
        ("fold{grow}", "pipeline 'fold{grow}', column 10: expected '=', got '}'"),
        ("fold{grow=}", "pipeline 'fold{grow=}', column 11: expected a value, got '}'"),
        ("fold{grow=1 2}", "pipeline 'fold{grow=1 2}', column 13: expected ',' or '}', got '2'"),
        ("probe{words=[a", "pipeline 'probe{words=[a', column 15: expected ',' or ']', got 'the end'"),
        ("probe{word='a}", "pipeline 'probe{word='a}', column 12: expected a quote that ends, got \"'a}\""),
        ("fold{grow=1,grow=2}", "pipeline 'fold{grow=1,grow=2}', column 13: expected every option once, got 'grow'"),
        ("fold{gorw=1}", "pass 'fold' has no option 'gorw'; its options: grow, largest, batchnorm"),
        ("dce{x=1}", "pass 'dce' has no option 'x'; its options: none"),
        ("fold{grow=lots}", "fold: grow takes a value of type int, got 'lots'"),
        ("fold{grow=1.5}", "fold: grow takes a value of type int, got '1.5'"),
        ("fold{grow=[1,2]}", "fold: grow takes one value of type int, got a list of 2"),
        ("fold{grow=none}", "fold: grow takes a value of type int, got 'none'"),
        ("fold{batchnorm=1}", "fold: batchnorm is true or false, got '1'"),
        ("prune{macs=half}", "prune: macs takes a value of type float or none, got 'half'"),
        ("prune", "give exactly one of ratio, params, macs, bytes and fidelity, got none"),
        ("prune{ratio=2}", "ratio must lie between 0 and 1 (both excluded), got 2.0"),
    ],
)
def test_a_malformed_pipeline_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_pipeline(text)
    assert str(caught.value) == message


def test_an_unknown_pass_is_answered_with_those_that_exist() -> None:
    with pytest.raises(InputError) as caught:
        parse_pipeline("fuse")
    assert str(caught.value) == f"unknown pass 'fuse'; known: {', '.join(sorted(PASSES))}"


WORDS = st.text(max_size=8)


@given(
    st.builds(
        Probe,
        count=st.integers(),
        share=st.floats(allow_nan=False),
        flag=st.booleans(),
        word=WORDS,
        words=st.lists(WORDS, max_size=3).map(tuple),
        maybe=st.none() | st.floats(allow_nan=False),
    )
)
def test_the_text_of_a_pass_reads_back(probe: Probe) -> None:
    assert parse_pipeline(str(probe)) == (probe,)


def test_only_what_was_set_is_spelled() -> None:
    assert str(Fold()) == "fold"
    assert str(Prune(Request(macs=0.5, keep=("a*", "b c")))) == 'prune{macs=0.5,keep=[a*,"b c"]}'


# -- the registry ----------------------------------------------------------------------------------------------


def test_passes_describe_themselves() -> None:
    found = {info.name: info for info in describe_passes()}
    assert {"dce", "fold", "probe", "prune"} <= found.keys() == PASSES.keys()
    assert found["probe"].summary == "Probe options of every type."
    assert found["probe"].details == "Probe options of every type.\n\nMore text."
    assert [(option.name, option.type, option.default) for option in found["probe"].options] == [
        ("count", "int", 3),
        ("share", "float", 0.5),
        ("flag", "bool", False),
        ("word", "str", "plain"),
        ("words", "list of str", ()),
        ("maybe", "float or none", None),
    ]


def test_every_pass_says_what_it_does() -> None:
    for info in describe_passes():
        assert info.summary.endswith("."), info.name


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match=r"^two passes are named 'probe'$"):
        register(Probe)


# -- running ---------------------------------------------------------------------------------------------------


def test_passes_run_in_order() -> None:
    done = run_pipeline("fold,dce", State(GRAPH))
    assert [node.name for node in done.graph.nodes] == ["r"]


def test_each_pass_is_observed() -> None:
    steps: list[Step] = []
    done = run_pipeline((Fold(), Dce()), State(GRAPH), observer=steps.append)
    assert [str(step.applied) for step in steps] == ["fold", "dce"]
    assert [len(step.before.graph.nodes) for step in steps] == [3, 2]
    assert steps[0].after is steps[1].before
    assert steps[1].after is done
    assert all(step.seconds >= 0 for step in steps)


def test_the_graph_is_printed_around_the_passes_that_were_named() -> None:
    written: list[str] = []
    run_pipeline("fold,dce", State(GRAPH), print_before=["dce"], print_after=["dce"], write=written.append)
    folded = Fold().run(State(GRAPH)).graph
    assert written == [
        f"# before dce\n{render(folded)}",
        f"# after dce\n{render(Dce().run(State(folded)).graph)}",
    ]


def test_the_graph_is_printed_around_all_passes() -> None:
    written: list[str] = []
    run_pipeline("fold,dce", State(GRAPH), print_before=["all"], print_after=["all"], write=written.append)
    heads = [text.split("\n", 1)[0] for text in written]
    assert heads == ["# before fold", "# after fold", "# before dce", "# after dce"]


def test_a_pass_that_does_not_run_cannot_be_printed() -> None:
    with pytest.raises(InputError, match=r"^cannot print the IR around 'prune': the passes are fold, dce$"):
        run_pipeline("fold,dce", State(GRAPH), print_after=["prune"])


def test_timings_are_a_line_a_pass(capsys: pytest.CaptureFixture[str]) -> None:
    run_pipeline("fold,dce", State(GRAPH), timings=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" s  ", 1)[1] for line in lines] == ["fold  (3 -> 2 nodes)", "dce  (2 -> 1 nodes)"]


def test_nothing_is_written_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    run_pipeline("fold,dce", State(GRAPH))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("fold,break,dce", "pass 'break' broke the graph: node 'bad': input 'nowhere' is defined nowhere"),
        ("break{how=raise}", "pass 'break{how=raise}': it went wrong"),
    ],
)
def test_the_pass_that_breaks_the_graph_is_named(pipeline: str, message: str) -> None:
    with pytest.raises(IRError) as caught:
        run_pipeline(pipeline, State(GRAPH))
    assert str(caught.value) == message


def test_a_graph_that_comes_in_broken_is_nobodys_fault() -> None:
    broken: Graph = replace(GRAPH, outputs=("nowhere",))
    with pytest.raises(IRError, match=r"^the graph is malformed before the first pass: graph 'g': output 'nowhere'"):
        run_pipeline("fold", State(broken))
