"""``irprune schema``: the JSON schemas of what irprune writes."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ..errors import InputError

DOCUMENTS = ("plan", "report")


def schema(
    document: Annotated[str, typer.Argument(metavar="|".join(DOCUMENTS), help="The document.", show_default=False)],
) -> None:
    """Print the JSON schema of a document that irprune writes."""
    print(json.dumps(_schema_of(document), indent=1))


def _schema_of(document: str) -> dict[str, Any]:
    if document == "plan":
        from ..plans import schema

        return schema()
    if document == "report":
        from ..verification.schema import schema

        return schema()
    raise InputError(f"there is no schema of '{document}'; known: {', '.join(DOCUMENTS)}")
