"""The plan file: whatever somebody writes into one is a plan, or one line that says where it is wrong."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import onnx
import pytest

import irprune
from irprune import versions
from irprune.cli import run
from irprune.errors import InputError
from irprune.plans import Plan, schema
from tests.unit.test_verify_models import network

WRONG: tuple[Any, ...] = (None, True, -1, 1.5, "x", "", [], {}, [None], ["a"], [[1]], {"a": 1}, 1 << 70, [0, 0], "../x")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A model, and the plan for it as JSON."""
    path = tmp_path_factory.mktemp("plan") / "model.onnx"
    onnx.save(network(), path)
    return path, json.loads(irprune.plan(path, ratio=0.5, align=1, only="*").dumps())


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a document."""
    items = body.items() if isinstance(body, dict) else enumerate(body[:2]) if isinstance(body, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def edited(body: Any, path: tuple[Any, ...], edit: Callable[[Any, Any], object]) -> Any:
    made = copy.deepcopy(body)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    edit(inner, path[-1])
    return made


def test_a_plan_reads_back(given: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    plan = irprune.plan(given[0], ratio=0.5, align=1, only="*")
    plan.save(tmp_path / "plan.json")
    assert irprune.Plan.load(tmp_path / "plan.json") == plan
    assert plan.versions == versions.installed()
    assert plan.versions.keys() == {"irprune", "onnx", "onnxruntime"}


def test_the_version_is_that_of_the_package() -> None:
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'^version = "(.*)"$', project, re.MULTILINE) == [versions.IRPRUNE] == [irprune.__version__]


def test_whatever_is_changed_is_read_or_refused_in_one_line(given: tuple[Path, dict[str, Any]]) -> None:
    """A value of every other kind in each place, and each place left out."""
    _, body = given
    tried = refused = 0
    for path in places(body):
        documents = [edited(body, path, lambda inner, key, new=new: inner.__setitem__(key, new)) for new in WRONG]
        for document in [*documents, edited(body, path, lambda inner, key: inner.__delitem__(key))]:
            tried += 1
            try:
                Plan.loads(json.dumps(document))
            except InputError as error:
                refused += 1
                assert "\n" not in str(error)
                assert len(str(error)) < 300
    assert refused > tried * 2 / 3 > 500


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("groups", 0, "removed"),
            [0, 0],
            "groups.0: the removed positions of group 'w2:0' are given once each; there ",
        ),
        (("groups", 0, "removed"), [-1], "groups.0.removed.0: input should be greater than or equal to 0, got -1"),
        (("groups", 0, "removed"), [True], "groups.0.removed.0 takes a whole number, got True"),
        (("groups", 0, "removed"), ["1"], "groups.0.removed.0 takes a whole number, got '1'"),
        (("groups", 0, "removed"), [99], "groups.0: the removed positions of group 'w2:0' lie between 0 and 7, got 99"),
        (("groups", 0, "size"), "4", "groups.0.size takes a whole number, got '4'"),
        (("groups", 0, "color"), 1, "there is no groups.0.color in this format"),
        (("groups", 0, "exact"), 1, "groups.0.exact takes true or false, got 1"),
        (("slices", "w2", "0", "kept"), [0, 8], "the kept indices of axis 0 lie between 0 and 7, got 8"),
        (("slices", "w2", "0", "kept"), [0, 0], "the kept indices of axis 0 are given once each"),
        (("slices", "w2", "0", "size"), 1.0, "the size of axis 0 is a number from 0 on, got 1.0"),
        (("slices", "w2", "first"), {}, "an axis is a number from 0 on, got 'first'"),
        (("slices", "w2", "of"), 3, "'of' is the name of a tensor, got 3"),
        (("model", "sha256"), "abc", "model.sha256: string should match pattern"),
        (("request", "speed"), 1, "request: unknown option 'speed'; the options are ratio, "),
        (("request", "ratio"), 3, "request: ratio must lie between 0 and 1 (both excluded), got 3"),
        (("cost",), {"params": [1, 1]}, "the costs are params, macs, bytes, tables, got params"),
        (("cost", "macs"), [1], "cost.macs.1 is missing"),
        (("updated",), {"w2": ""}, "updated: tensor 'w2' has no digest: its values could be any"),
        (("updated",), ["w2"], "updated: each tensor has the SHA-256 of its values, got a list of names: ['w2']"),
        (("updated",), [], "updated: each tensor has the SHA-256 of its values, got a list of names: []"),
        (("updated",), {"w2": "abc"}, "updated.w2: string should match pattern"),
        (("rewritten",), "h", "rewritten takes a list, got 'h'"),
        (("rewritten",), [""], "rewritten.0: string should have at least 1 character"),
    ],
)
def test_what_is_wrong_is_said(
    given: tuple[Path, dict[str, Any]], path: tuple[Any, ...], value: object, message: str
) -> None:
    document = edited(given[1], path, lambda inner, key: inner.__setitem__(key, value))
    with pytest.raises(InputError) as caught:
        Plan.loads(json.dumps(document), where="p.json")
    assert str(caught.value).startswith("p.json: malformed plan: ")
    assert message in str(caught.value)


def test_a_tensor_without_a_digest_is_refused_by_verify(
    given: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, body = given
    plan, out = tmp_path / "plan.json", tmp_path / "small.onnx"
    plan.write_text(json.dumps(body))
    assert run(["apply", str(model), str(plan), "-o", str(out)]) == 0
    plan.write_text(json.dumps({**body, "updated": {"w2": ""}}))
    capsys.readouterr()
    assert run(["verify", str(model), str(out), "--plan", str(plan)]) == 2
    error = capsys.readouterr().err
    assert "tensor 'w2' has no digest" in " ".join(error.split())


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN}', '{"format": "irprune.plan/1", "cost": Infinity}'])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(InputError, match=r"^plan: not JSON"):
        Plan.loads(text)


def test_a_group_twice(given: tuple[Path, dict[str, Any]]) -> None:
    body = copy.deepcopy(given[1])
    body["groups"].append(body["groups"][0])
    with pytest.raises(InputError, match="groups: group 'w2:0' is given 2 times"):
        Plan.loads(json.dumps(body))


def test_the_schema_describes_the_file(given: tuple[Path, dict[str, Any]]) -> None:
    found = json.loads(json.dumps(schema()))
    jsonschema.Draft202012Validator.check_schema(found)
    jsonschema.validate(given[1], found)
    wrong = edited(given[1], ("slices", "w2", "0", "size"), lambda inner, key: inner.__setitem__(key, -1))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, found)


def test_the_command_line_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "plan"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(schema()))
    assert run(["schema", "shopping-list"]) == 2
    assert "there is no schema of 'shopping-list'; known: plan, report" in capsys.readouterr().err


def test_a_repr_is_one_line(given: tuple[Path, dict[str, Any]]) -> None:
    plan = Plan.loads(json.dumps(given[1]))
    assert len(repr(plan)) < 200
    assert repr(plan) == str(plan)
    assert repr(plan).startswith("Plan(7 atoms of 2 groups removed; params 104 -> 40, macs 96 -> 36, ")


# -- on the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model", "sha256"), "", "the plan does not say which model it is for: its sha256 is empty"),
        (("model",), {}, "the plan does not say which model it is for: its sha256 is empty"),
        (("groups", 0, "removed"), [3], "the plan contradicts itself: its slice of tensor "),
        (("groups", 0, "removed"), [], "the plan contradicts itself: its slice of tensor "),
        (("slices", "w2", "0", "kept"), [0, 1], "the plan contradicts itself: its slice of tensor 'w2' is not"),
        (("slices", "../../etc/passwd"), {"0": {"size": 3, "kept": [0]}}, "its slice of tensor '../../etc/passwd'"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    given: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    path: tuple[Any, ...],
    value: object,
    message: str,
) -> None:
    model, body = given
    plan, out = tmp_path / "plan.json", tmp_path / "small.onnx"
    plan.write_text(json.dumps(edited(body, path, lambda inner, key: inner.__setitem__(key, value))))
    assert run(["apply", str(model), str(plan), "-o", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_slices_that_are_left_empty_are_computed(given: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    model, body = given
    plan, out = tmp_path / "plan.json", tmp_path / "small.onnx"
    plan.write_text(json.dumps({**body, "slices": {}}))
    assert run(["apply", str(model), str(plan), "-o", str(out)]) == 0
    assert out.exists()


# -- identity ----------------------------------------------------------------------------------------------------------


def external(path: Path) -> Path:
    onnx.save(network(), path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0)
    return path


def test_external_data_is_part_of_the_identity(tmp_path: Path) -> None:
    model = external(tmp_path / "model.onnx")
    plan = irprune.plan(model, ratio=0.5)
    assert plan.model.data.keys() == {"model.onnx.data"}
    assert irprune.prune(model, ratio=0.5).plan.model == plan.model
    data = bytearray((tmp_path / "model.onnx.data").read_bytes())
    data[0] ^= 1
    (tmp_path / "model.onnx.data").write_bytes(data)
    with pytest.raises(
        InputError, match=r"^the plan was made for other weights: of 'model\.onnx\.data' it names sha256"
    ):
        irprune.apply(model, plan, tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()


def test_a_pruned_file_names_its_plan(given: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    model, _ = given
    result = irprune.prune(model, tmp_path / "small.onnx", ratio=0.5)
    found = {entry.key: entry.value for entry in onnx.load(tmp_path / "small.onnx").metadata_props}
    assert found == {"irprune.version": irprune.__version__, "irprune.plan_sha256": result.plan.digest}
    assert result.plan.verification
    assert irprune.plan(model, ratio=0.5).digest == result.plan.digest


def test_a_plan_whose_rewritten_nodes_are_others_is_refused(given: tuple[Path, dict[str, Any]]) -> None:
    """Plans of versions that did not list them are carried out as they were."""
    model, body = given
    assert body["rewritten"] == []
    plan = Plan.loads(json.dumps({key: value for key, value in body.items() if key != "rewritten"}))
    assert plan.rewritten is None
    assert "rewritten" not in plan.as_json()
    irprune.apply(model, plan, model.with_name("small.onnx"))
    wrong = Plan.loads(json.dumps({**body, "rewritten": ["h"]}))
    with pytest.raises(InputError, match="'rewritten' is wrong on the node that makes 'h'"):
        irprune.apply(model, wrong, model.with_name("small.onnx"))
