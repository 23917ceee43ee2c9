"""The options of ``drop``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..errors import InputError
from ..options import Options, Shown
from ..request import AtLeastOne, Share

PANEL = "How much goes (exactly one)"


class Depth(Options):
    """How many residual branches go. Exactly one of ``blocks``, ``branches`` and ``depth`` is set."""

    blocks: Annotated[AtLeastOne | None, Shown("N", PANEL)] = Field(
        default=None, description="Drop N blocks: of a transformer the sublayers that repeat, attention and MLP."
    )
    branches: Annotated[AtLeastOne | None, Shown("N", PANEL)] = Field(
        default=None, description="Drop N single branches, such as an attention or an MLP alone."
    )
    depth: Annotated[Share | None, Shown("R", PANEL)] = Field(
        default=None, description="Keep this share of the blocks."
    )

    def require_one(self) -> Depth:
        """These options. Raises :class:`InputError` where none, or several, are set."""
        given = [name for name in ("blocks", "branches", "depth") if getattr(self, name) is not None]
        if len(given) != 1:
            found = ", ".join(f"--{name}" for name in given) or "none"
            raise InputError(f"give exactly one of --blocks, --branches and --depth, got {found}")
        return self
