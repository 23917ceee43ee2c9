"""Errors that irprune raises on purpose; each message says what, where, got, expected and what to do next."""

from __future__ import annotations


class IrpruneError(Exception):
    """Base class. ``exit_code`` is what the command line returns for it."""

    exit_code = 3


class InputError(IrpruneError):
    """The model, the plan or the request is wrong (exit code 2)."""

    exit_code = 2


class TargetError(IrpruneError):
    """The request is well formed but cannot be met, e.g. a budget below what may be removed (exit code 1)."""

    exit_code = 1


class VerificationError(IrpruneError):
    """The pruned model does not compute what its plan says (exit code 1)."""

    exit_code = 1


class IRError(IrpruneError):
    """The intermediate representation is malformed: a bug in a pass or in a frontend (exit code 3)."""
