"""The application: its commands and the way in."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from .. import __version__
from .bench import bench
from .compact import compact
from .compare import compare
from .demo import demo
from .drop import drop
from .dump import dump
from .exits import DONE, EPILOG, INTERRUPTED, guarded
from .finetune import finetune
from .inspect import inspect
from .invocation import set_command
from .opt import opt, passes
from .page import report
from .plans import apply, plan, verify
from .prune import prune
from .schema import schema
from .sparsify import sparsify
from .sweep import sweep
from .trust import set_trust
from .vocabulary import vocabulary

app = typer.Typer(
    name="irprune",
    help="Make an exported model smaller, and prove that the smaller one is right.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)
_debug = False


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"irprune {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a bug in irprune.")] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Read exported programs (.pt2) that hold more than tensors: it runs their code."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    global _debug
    _debug = debug
    set_trust(trust)


_COMMANDS = (
    *(prune, compact, drop, inspect, plan, apply, verify, sparsify, vocabulary, finetune, compare),
    *(bench, sweep, report, opt, passes, dump, schema, demo),
)
for _command in _COMMANDS:
    app.command(_command.__name__, epilog=EPILOG)(_command)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    global _debug
    _debug = False
    words = list(arguments) or ["--help"]
    set_command(words)

    def work() -> int:
        code = app(args=words, prog_name="irprune", standalone_mode=False)
        if code == INTERRUPTED:  # typer's answer to Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else DONE

    with contextlib.redirect_stdout(sys.stdout):  # put back what an output of that name takes away
        return guarded(work, debug=lambda: _debug)
