"""Options are written once: every way in has those of the request, with their help and their defaults."""

import inspect
import json
import subprocess
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

import irprune
from irprune.cli import options as cli_options
from irprune.cli.app import app
from irprune.criteria import DATA_CRITERIA
from irprune.errors import InputError
from irprune.options import HIDDEN, Options, Shown, options_of
from irprune.passes import PASSES
from irprune.request import GIVEN_SCORES, Criterion, Request, RequestOptions
from irprune.scoring import CRITERIA

ROOT = Path(__file__).resolve().parents[2]
FIELDS = list(Request.model_fields)


def test_keyword_arguments_for_type_checkers_are_the_fields() -> None:
    """Add to ``RequestOptions`` what this test says is missing."""
    assert list(typing.get_type_hints(RequestOptions)) == FIELDS


def test_every_criterion_can_be_asked_for() -> None:
    assert {*CRITERIA, *DATA_CRITERIA, GIVEN_SCORES} == set(typing.get_args(Criterion))


@pytest.mark.parametrize("command", ["prune", "plan"])
def test_the_command_line_has_each_option_with_its_help_and_default(command: str) -> None:
    found = {parameter.name: parameter for parameter in typer.main.get_command(app).commands[command].params}  # type: ignore[attr-defined]
    for option in options_of(Request):
        if option.flag == HIDDEN:
            assert option.name not in found
            continue
        parameter = found[option.name]
        assert parameter.opts == [option.flag]
        assert parameter.help == option.help
        assert (parameter.default or None) == (option.default or None)


@pytest.mark.parametrize("function", ["prune", "plan"])
def test_the_api_shows_each_option(function: str) -> None:
    shown = getattr(irprune, function)
    parameters = inspect.signature(shown).parameters
    assert [parameters[name].default for name in FIELDS] == [option.default for option in options_of(Request)]
    assert {name: parameters[name].annotation for name in FIELDS} == typing.get_type_hints(RequestOptions)
    assert parameters["scope"].annotation == Literal["local", "global"]
    assert parameters["sizes"].annotation == Mapping[str, int]
    assert all(f"``{option.name}``: {option.help}" in inspect.getdoc(shown) for option in options_of(Request))


def test_the_pass_has_each_option() -> None:
    assert [option.name for option in PASSES["prune"].options()] == FIELDS


def test_the_request_of_a_plan_reads_back() -> None:
    request = Request(macs=0.5, keep="stem*", only=["a", "b"], exact=True)
    body = json.loads(json.dumps(request.as_json()))
    assert Request(**body) == request
    assert body["keep"] == ["stem*"]
    assert "ratio" not in body


class Sized(Options):
    """One option of each kind."""

    sides: Annotated[Annotated[int, Field(ge=2, le=9)] | None, Shown("N", "Shape")] = Field(
        default=None, description="Sides."
    )
    colors: Annotated[tuple[str, ...], Shown("C", "Shape", flag="--color")] = Field(default=(), description="Colors.")
    kind: Annotated[Literal["flat", "round"], Shown("flat|round", "Shape")] = Field(default="flat", description="Kind.")
    filled: Annotated[bool, Shown("", "Shape")] = Field(default=False, description="Filled.")


def run(*arguments: str) -> tuple[int, str, object]:
    seen: list[Sized] = []
    made = typer.Typer(add_completion=False)

    def draw(request: Sized, name: Annotated[str, typer.Option("--name")] = "x") -> None:
        """Draw."""
        seen.append(request)

    made.command()(cli_options.takes(Sized)(draw))
    result = CliRunner().invoke(made, list(arguments))
    return result.exit_code, result.output, seen[0] if seen else result.exception


def test_a_field_is_all_that_an_option_takes() -> None:
    code, text, found = run("--sides", "4", "--color", "red", "--color", "blue", "--kind", "round", "--filled")
    assert (code, found) == (0, Sized(sides=4, colors=("red", "blue"), kind="round", filled=True)), text
    assert run() == (0, "", Sized())


def test_a_command_says_what_is_wrong_with_an_option() -> None:
    _, _, error = run("--sides", "1")
    assert isinstance(error, InputError)
    assert str(error) == "sides must lie between 2 and 9, got 1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sides": 1}, "sides must lie between 2 and 9, got 1"),
        ({"sides": "two"}, "sides takes a whole number, got 'two'"),
        ({"sides": 2.5}, "sides takes a whole number, got 2.5"),
        ({"kind": "square"}, "unknown kind 'square'; known: flat, round"),
        ({"filled": "maybe"}, "filled takes true or false, got 'maybe'"),
        ({"colors": 3}, "colors takes a list, got 3"),
        ({"colors": ["red", 3]}, "colors.1 takes text, got 3"),
        ({"side": 3}, "unknown option 'side'; the options are sides, colors, kind, filled"),
    ],
)
def test_a_wrong_option_is_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Sized(**options)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_type_checkers_know_the_options(tmp_path: Path) -> None:
    """Completion and mypy read the same: a wrong name and a wrong type are found."""
    script = tmp_path / "uses.py"
    script.write_text(
        "import irprune\n"
        "plan: irprune.Plan = irprune.plan('m.onnx', macs=0.5, keep=['a'], allow_io='y')\n"
        "result: irprune.Result = irprune.prune('m.onnx', macs=0.5, align=8)\n"
        "request: irprune.Request = irprune.Request(macs=0.5)\n"
        "irprune.prune('m.onnx', mcas=0.5)\n"
        "irprune.prune('m.onnx', macs='half')\n"
        "irprune.Request(align='x')\n"
    )
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--config-file", str(ROOT / "pyproject.toml"), script],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    lines = sorted(int(line.split(":")[1]) for line in done.stdout.splitlines() if "error" in line)
    assert lines == [5, 6, 7], done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": ["sequence=many"]}, "--size: expected a whole number, got 'many'"),
        ({"sizes": {"sequence": 0}}, "--size: expected sizes of at least 1, got 0 for 'sequence'"),
        ({"shapes": ["image=1;3"]}, "--shape: expected sizes with commas between them, such as 1,3,640,640, got '1;3'"),
        ({"drop": ["a=x"]}, "drop: expected positions with commas between them, such as 3,17, got 'x'"),
    ],
)
def test_an_error_of_an_option_names_its_flag(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Request(macs=0.5, **options)  # type: ignore[arg-type]
    assert str(caught.value) == message
