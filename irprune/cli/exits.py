"""How the command line ends: exit codes, and every error as one line on stderr."""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from ..errors import IrpruneError
from ..printable import printable

if TYPE_CHECKING:
    from typing import TextIO

    from typing_extensions import Buffer

DONE = 0
FAILED = 1
WRONG_INPUT = 2
BUG = 3
INTERRUPTED = 130

EPILOG = (
    "Exit codes: 0 done, and verified; 1 the result is not equivalent, or the target is out of reach; "
    "2 the input or the request is wrong; 3 a bug in irprune."
)

PROJECT = "the irprune project"


_stopping = False
"""Whether a signal said to stop. An extension module that is being imported turns its exception into another one."""


def prepare() -> None:
    """What a process needs before it does anything: standard streams, and an answer to SIGTERM."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: what is opened first would take its place, and get what is printed
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 (they live as long as the process)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _read_or_not(sys.stdout), _read_or_not(sys.stderr)
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, in the background
        signal.signal(signal.SIGINT, _stop)


class _ReadOrNot(io.FileIO):
    """A stream whose reader may leave, as in ``irprune verify ... | head``: the exit code stays that of the work."""

    def write(self, data: Buffer) -> int:
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # what is still in buffers has a place to go
            if not isinstance(error, BrokenPipeError):
                raise
            return memoryview(data).nbytes


def _read_or_not(stream: TextIO) -> TextIO:
    """The standard stream, where it is a terminal or a file; a pipe is one that may be closed by its reader."""
    if stream.isatty():
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_ReadOrNot(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopping
    _stopping = True
    raise KeyboardInterrupt  # unwinds: temporary files go


def was_stopped() -> bool:
    """Whether a signal said to stop."""
    return _stopping


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"irprune: error: {printable(' '.join(message.split()))}", file=sys.stderr)


def warn(message: str) -> None:
    """A warning: one line on stderr."""
    print(f"irprune: warning: {printable(' '.join(message.split()))}", file=sys.stderr)


def guarded(work: Callable[[], int], *, debug: Callable[[], bool]) -> int:
    """The exit code of ``work``; whatever it raises becomes one line on stderr, and a code."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return interrupted()
    except IrpruneError as error:
        if error.exit_code == BUG:
            return _bug(error, debug())
        complain(str(error))
        return error.exit_code
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
        return WRONG_INPUT
    except Exception as error:
        return interrupted() if _stopping else _foreign(error, debug())


def _foreign(error: Exception, debug: bool) -> int:
    """Errors of the command-line library (they know how to word themselves), and everything unexpected."""
    if type(error).__name__ == "Abort":
        return interrupted()
    wording = getattr(error, "format_message", None)
    if wording is None:
        return _bug(error, debug)
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "irprune")
    complain(f"{wording().rstrip('.')} (see {command} --help)")
    return WRONG_INPUT


def interrupted() -> int:
    """Say that the work was interrupted; the exit code."""
    print("irprune: interrupted", file=sys.stderr)
    return INTERRUPTED


def _bug(error: Exception, debug: bool) -> int:
    text = "".join(traceback.format_exception(error))
    if debug:
        print(text, file=sys.stderr, end="")
        where = "the traceback is above"
    else:
        where = f"the traceback is in {_keep(text)}"
    complain(f"{type(error).__name__}: {error}. This is a bug in irprune; please report it to {PROJECT}: {where}")
    return BUG


def _keep(text: str) -> str:
    """Write a traceback to a file of its own, and say where."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="irprune-", suffix=".txt", delete=False) as file:
            file.write(text)
    except OSError:
        return "no file, since no temporary one can be written (use irprune --debug)"
    return file.name
