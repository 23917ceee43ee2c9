"""The schema of the verification report describes the reports that there are."""

import copy
import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from irprune import api
from irprune.cli import run
from irprune.verification.report import Equivalence, Fidelity, Report, Structure
from irprune.verification.schema import schema
from tests.unit.test_verify_models import network


def documents() -> dict[str, Any]:
    """A report that is ok, and one that is not."""
    original = network()
    plan = api.plan(original, ratio=0.5)
    small = api.apply(original, plan)
    broken = onnx.ModelProto.FromString(small.SerializeToString())
    weight = next(tensor for tensor in broken.graph.initializer if tensor.name == "w2")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(2), "w2"))
    return {
        "ok": api.verify(original, small, plan).as_json(),
        "broken": api.verify(original, broken, plan).as_json(),
    }


def test_reports_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "report"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(schema()))
    jsonschema.Draft202012Validator.check_schema(printed)
    found = json.loads(json.dumps(documents()))
    assert (found["ok"]["ok"], found["broken"]["ok"]) == (True, False)
    for document in found.values():
        jsonschema.validate(document, printed)


def test_what_is_no_report_is_not_valid() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    document = documents()["broken"]
    for section, key in (("equivalence", "outputs"), ("structure", "ok"), ("fidelity", "random")):
        for value in (None, 3, "no"):
            wrong = copy.deepcopy(document)
            wrong[section][key] = value
            assert not validator.is_valid(wrong), (section, key, value)
        missing = copy.deepcopy(document)
        del missing[section][key]
        assert not validator.is_valid(missing)


@pytest.mark.parametrize(
    ("problems", "line"),
    [
        (3, "a; b; c"),
        (4, "a; b; c (and 1 more finding)"),
        (9, "a; b; c (and 6 more findings)"),
    ],
)
def test_a_refusal_is_one_short_line(problems: int, line: str) -> None:
    report = Report(Structure(tuple("abcdefghi"[:problems]), 1), Equivalence((), ()), Fidelity(()))
    assert report.refusal() == line
    assert len(report.failures()) == problems
