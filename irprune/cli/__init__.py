"""The command line. Only what ``--help`` needs is imported here; each command imports its own work."""

from .app import main, run

__all__ = ["main", "run"]
