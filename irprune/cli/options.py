"""Options that several commands share: each is worded once, here or in the model that a command takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, cast

import typer

from ..options import HIDDEN, Option, Options, Shown, options_of
from ..verification.floors import PANEL as _CHECKS

Model: TypeAlias = Annotated[
    Path, typer.Argument(metavar="MODEL", help="An ONNX file, or a .pt2 of torch.export.", show_default=False)
]
Models: TypeAlias = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL...",
        help="An ONNX file, or a .pt2 of torch.export; several ONNX files are pruned as one (see --tie).",
        show_default=False,
    ),
]
Output: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write; of several models the folder.")
]

Inputs: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--inputs",
        metavar="DATA",
        help="Compare on these inputs instead of random ones: .npz, .npy, a folder, or FILE.py:FUNCTION.",
        rich_help_panel=_CHECKS,
    ),
]
InputsOfEach: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--inputs",
        metavar="DATA",
        help="Compare on these inputs instead of random ones: .npz, .npy, a folder, or FILE.py:FUNCTION; "
        "of several models MODEL=DATA for each.",
        rich_help_panel=_CHECKS,
    ),
]
DataOfEach: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="Unlabeled inputs to choose and repair on: .npz, .npy, a folder, or FILE.py:FUNCTION; "
        "of several models MODEL=DATA for each.",
        rich_help_panel="What may go",
    ),
]
RTol: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--rtol",
        metavar="X",
        help="The largest error relative to the output's scale; by default it depends on the data type.",
        rich_help_panel=_CHECKS,
    ),
]
NoVerify: TypeAlias = Annotated[
    bool,
    typer.Option("--no-verify", help="Write the model without checking it.", rich_help_panel=_CHECKS),
]
Labels: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE.npy",
        help="The right decisions for --inputs, in their order: accuracy is reported.",
        rich_help_panel=_CHECKS,
    ),
]
AsJSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


Command = TypeVar("Command", bound=Callable[..., Any])


def takes(model: type[Options], *names: str, **defaults: Any) -> Callable[[Command], Command]:
    """Give a command one option for each field of a model, in the place of its parameter of that type.

    The command is called with the model. ``names`` leaves out all other fields; ``defaults`` replaces defaults.
    """
    shown = [option for option in options_of(model) if option.flag != HIDDEN]
    fields = [option for option in shown if not names or option.name in names]

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        (place,) = (name for name, parameter in signature.parameters.items() if parameter.annotation is model)

        @wraps(command)
        def with_model(**values: Any) -> Any:
            given = {option.name: values.pop(option.name) for option in fields}
            said = {name: value for name, value in given.items() if value is not None}
            return command(**values, **{place: model(**said)})

        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if parameter.name == place:
                parameters += [_parameter(option, defaults.get(option.name, option.default)) for option in fields]
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        with_model.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_model.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return cast(Command, with_model)

    return decorate


def _parameter(option: Option, default: Any) -> inspect.Parameter:
    shown = option.shown or Shown("", "Other")
    kind: Any = list[option.kind] if option.several else option.kind  # type: ignore[name-defined]
    if option.several or option.optional:
        kind, default = kind | None, default or None
    told = typer.Option(option.flag, metavar=shown.metavar or None, help=option.help, rich_help_panel=shown.panel)
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, told]
    )
