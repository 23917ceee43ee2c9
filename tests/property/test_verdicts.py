"""One verdict: the report, its JSON, its JUnit, its words and the exit code agree in every outcome."""

import json
import tempfile
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irprune.cli import plans, run
from irprune.verification import (
    Divergence,
    Equivalence,
    Fidelity,
    Floors,
    OutputError,
    OutputFidelity,
    Report,
    Structure,
    junit_xml,
)
from irprune.verification.verdicts import verdicts

NAMES = st.sampled_from(["logits", "caf\u00e9", "a b", "<x>&\"'", "\x1b[31mred\x00\n", "\ud800", "\u202egnp.exe"])
NUMBERS = st.one_of(st.floats(0, 2), st.sampled_from([float("nan"), float("inf"), 0.0, 1e-6]))
SHARES = st.one_of(st.none(), st.floats(0, 1))


@st.composite
def output_errors(draw: st.DrawFn) -> OutputError:
    noise = draw(st.one_of(st.none(), NUMBERS))
    tolerance = draw(st.sampled_from([0.0, 1e-4, 1.5]))
    return OutputError(draw(NAMES), "float32", draw(NUMBERS), tolerance, "seed 0", noise)


@st.composite
def equivalences(draw: st.DrawFn) -> Equivalence:
    errors = st.lists(output_errors(), max_size=2).map(tuple)
    found = Equivalence(
        draw(errors),
        ("seed 0",),
        problems=tuple(draw(st.lists(NAMES, max_size=2))),
        as_is=draw(errors),
        in_double=draw(errors),
    )
    first = draw(st.one_of(st.none(), st.builds(Divergence, NAMES, NAMES, NUMBERS)))
    return (
        found if found.ok else Equivalence(found.outputs, found.cases, (), found.problems, first, (), found.in_double)
    )


@st.composite
def fidelities(draw: st.DrawFn) -> Fidelity:
    outputs = st.builds(
        OutputFidelity,
        NAMES,
        st.one_of(st.none(), NUMBERS),
        st.one_of(NUMBERS, st.floats(-90, 90)),
        st.one_of(st.none(), NUMBERS),
        SHARES,
        st.just("above 0.5 or not"),
        st.sampled_from(["", "the original decides the same for all of these inputs"]),
        st.sampled_from(["", "", "its shape changed from [1, 2] to [1, 1]"]),
        st.booleans(),
        st.booleans(),
    )
    accuracy = draw(st.one_of(st.none(), st.tuples(st.floats(0, 1), st.floats(0, 1))))
    return Fidelity(tuple(draw(st.lists(outputs, max_size=2))), accuracy, draw(NAMES), draw(st.booleans()))


COSINES, DECIBELS = (st.one_of(st.none(), st.floats(-most, most)) for most in (1, 90))
FLOORS = st.builds(Floors, min_cosine=COSINES, min_snr=DECIBELS, min_agreement=SHARES, min_accuracy=SHARES)
STRUCTURES = st.builds(
    Structure, st.lists(NAMES, max_size=5).map(tuple), st.just(3), st.lists(NAMES, max_size=1).map(tuple)
)
REPORTS = st.builds(
    Report,
    STRUCTURES,
    equivalences(),
    fidelities(),
    st.one_of(st.none(), equivalences()),
    st.sampled_from(["", "onnxscript is not installed"]),
    FLOORS,
    st.just({"structure": 0.25, "equivalence": 1.5}),
)


@settings(max_examples=150, deadline=None)
@given(REPORTS)
def test_everything_that_shows_a_verdict_shows_the_same(report: Report) -> None:
    document = json.loads(json.dumps(report.as_json(), allow_nan=False))
    parts = [
        document["structure"],
        document["equivalence"],
        document["fidelity"],
        document.get("exported", {"ok": True}),
    ]
    assert document["ok"] == report.ok == all(part["ok"] for part in parts)
    assert report.ok == (report.failures() == [])
    assert report.ok == all(verdict.ok is not False for verdict in verdicts(report))
    suite = ElementTree.fromstring(junit_xml(report))
    assert report.ok == (suite.get("failures") == "0")
    assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
    assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))
    assert suite.get("tests") == str(len(suite))
    for case in suite:
        assert float(case.get("time", "")) >= 0
        text = case.findtext("system-out")
        assert text
        assert "\x1b" not in text
        assert "{" not in text  # words, not Python's own way to show values


@settings(max_examples=150, deadline=None)
@given(fidelities(), FLOORS)
def test_a_floor_that_is_asked_for_and_not_measured_is_missed(fidelity: Fidelity, floors: Floors) -> None:
    measured = [output for output in fidelity.outputs if not output.note]
    floats = [output for output in measured if output.is_float]
    is_measured = {
        "min_cosine": any(output.cosine is not None for output in floats),
        "min_snr": bool(floats),
        "min_agreement": any(output.agreement is not None for output in measured),
        "min_accuracy": fidelity.accuracy is not None,
    }
    asked = {name for name in is_measured if getattr(floors, name) is not None}
    missed = floors.missed(fidelity)
    assert missed or all(is_measured[name] for name in asked)
    if asked & {"min_cosine", "min_snr", "min_agreement"} and any(
        output.note and not output.may_change for output in fidelity.outputs
    ):
        assert missed
    if not asked:
        assert not missed


@settings(max_examples=40, deadline=None)
@given(REPORTS)
def test_the_exit_code_is_the_verdict(report: Report) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("a.onnx", "b.onnx", "plan.json"):
            (folder / file).touch()
        arguments = ["verify", "a.onnx", "b.onnx", "--plan", "plan.json", "--json", "r.json", "--junit", "r.xml"]
        plan = mock.Mock(**{"model.models": {}})
        with (
            mock.patch.object(plans, "_examine", return_value=report),
            mock.patch.object(plans, "read_plan", return_value=plan),
        ):
            code = run([str(folder / part) if "." in part else part for part in arguments])
        assert code == (0 if report.ok else 1)
        assert json.loads((folder / "r.json").read_text())["ok"] == report.ok
        assert (ElementTree.parse(folder / "r.xml").getroot().get("failures") == "0") == report.ok


def test_names_do_not_reach_the_terminal_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = OutputError("\x1b]0;owned\x07", "float32", 1.0, 1e-4, "seed 0")
    report = Report(Structure(("tensor '\x1b[2J'",), 1), Equivalence((wrong,), ("seed 0",)), Fidelity(()))
    from irprune.cli.exits import complain
    from irprune.cli.report import console, judged

    console().print(judged(report))
    complain("; ".join(report.failures()))
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert "\x1b" not in text
        assert "\\x1b[2J" in text


def test_names_with_colons_are_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    from irprune.cli.report import console, table

    names = ["first:V:0", "net:heart:w"]
    console().print(table("in :heart:", ("of :V:",), [[name] for name in names]))
    console().print("'net:heart:w'", markup=False)
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("in :heart:", "of :V:", *names, "'net:heart:w'"))
