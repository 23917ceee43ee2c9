"""Options that several commands share, as types: each is worded once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from ..plans import Request

_TARGET, _CHOICE, _CHECKS = "Target (exactly one)", "What may go", "Verification"

Model: TypeAlias = Annotated[
    Path, typer.Argument(metavar="MODEL", help="An ONNX file, or a .pt2 of torch.export.", show_default=False)
]
Output: TypeAlias = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write.")]

Ratio: TypeAlias = Annotated[
    float | None,
    typer.Option("--ratio", metavar="R", help="Remove this share of the channels.", rich_help_panel=_TARGET),
]
Params: TypeAlias = Annotated[
    float | None,
    typer.Option("--params", metavar="R", help="Keep this share of the parameters.", rich_help_panel=_TARGET),
]
Macs: TypeAlias = Annotated[
    float | None,
    typer.Option("--macs", metavar="R", help="Keep this share of the multiply-accumulates.", rich_help_panel=_TARGET),
]
Criterion: TypeAlias = Annotated[
    str,
    typer.Option(
        "--criterion",
        metavar="l1|l2|bn-scale|fpgm|random",
        help="How importance is measured.",
        rich_help_panel=_CHOICE,
    ),
]
Scope: TypeAlias = Annotated[
    str,
    typer.Option(
        "--scope",
        metavar="local|global",
        help="Shrink every group alike, or rank all channels together.",
        rich_help_panel=_CHOICE,
    ),
]
Align: TypeAlias = Annotated[
    int,
    typer.Option("--align", metavar="N", help="Keep multiples of N channels.", rich_help_panel=_CHOICE),
]
MaxRatio: TypeAlias = Annotated[
    float,
    typer.Option("--max-ratio", metavar="R", help="The largest share that a group may lose.", rich_help_panel=_CHOICE),
]
MinChannels: TypeAlias = Annotated[
    int,
    typer.Option("--min-channels", metavar="N", help="What every group keeps at least.", rich_help_panel=_CHOICE),
]
Keep: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="GLOB",
        help="Leave the groups alone that match by name, node or weight; may be repeated.",
        rich_help_panel=_CHOICE,
    ),
]
Only: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="GLOB",
        help="Prune nothing but the groups that match; may be repeated.",
        rich_help_panel=_CHOICE,
    ),
]
Exact: TypeAlias = Annotated[
    bool,
    typer.Option("--exact", help="Leave out groups over which statistics are taken.", rich_help_panel=_CHOICE),
]
AllowIO: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-io",
        metavar="GLOB",
        help="Let these graph inputs and outputs change their shape; may be repeated.",
        rich_help_panel=_CHOICE,
    ),
]
Seed: TypeAlias = Annotated[
    int,
    typer.Option("--seed", metavar="N", help="For the random criterion and the inputs.", rich_help_panel=_CHOICE),
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
MinCosine: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--min-cosine",
        metavar="X",
        help="Fail below this cosine to the original model's outputs.",
        rich_help_panel=_CHECKS,
    ),
]
MinSNR: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--min-snr",
        metavar="DB",
        help="Fail below this signal-to-noise ratio to the original model's outputs.",
        rich_help_panel=_CHECKS,
    ),
]
AsJSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def request_from(
    *,
    ratio: float | None,
    params: float | None,
    macs: float | None,
    criterion: str,
    scope: str,
    align: int,
    max_ratio: float,
    min_channels: int,
    keep: list[str] | None,
    only: list[str] | None,
    exact: bool,
    allow_io: list[str] | None,
    seed: int,
) -> Request:
    """The request that the options make, validated."""
    from ..plans import Request

    request = Request(
        ratio=ratio,
        params=params,
        macs=macs,
        criterion=criterion,
        scope=scope,
        align=align,
        max_ratio=max_ratio,
        min_channels=min_channels,
        keep=tuple(keep or ()),
        only=tuple(only or ()),
        exact=exact,
        allow_io=tuple(allow_io or ()),
        seed=seed,
    )
    request.validate()
    return request
