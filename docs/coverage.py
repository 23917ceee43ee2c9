"""Writes docs/coverage.md: what becomes of every architecture and variant when half of it is pruned.

``python docs/coverage.py`` exports each with both of PyTorch's exporters, fixed and dynamic, prunes, verifies and runs
it. ``--exports FOLDER`` reads those exports that are there already, and adds the others.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irprune import api
from irprune.analysis import Group
from irprune.cli.reasons import most_telling
from irprune.errors import IrpruneError
from irprune.models.export import Exporter
from irprune.models.library import MODELS, VARIANTS, Library, feeds, run, size_sets
from irprune.models.recurrent import ENTRIES
from irprune.reasons import ENDS, Kind, Reason
from irprune.request import Scope

EXPORTERS: tuple[Exporter, ...] = ("torchscript", "dynamo")
FORMS = {
    "fused": "With the fused operators of ONNX Runtime's transformer optimizer.",
    "opset 23": "Exported by dynamo at opset 23, where attention is one operator.",
    "quantized": "Quantized to 8 bits by ONNX Runtime: dynamic, QDQ and QOperator.",
    "half precision": "Inputs, outputs, weights and arithmetic in float16.",
    "channels last": "Channels last, with transposes around every convolution, as TensorFlow's converter writes them.",
}
HEADER = (
    "model",
    "exporter",
    "dynamic",
    "pruned",
    "parameters",
    "MACs",
    "verified",
    "runs at",
    "with `--only`",
    "frozen",
)
CHANNELS = ("hidden", "channels", "recurrent")
SHORT = (Kind.LOOKUP, Kind.SOFTMAX, Kind.RECURRENT, Kind.NO_SIGNATURE, Kind.COUPLED)
"""Kinds of reasons that the page gives in short."""


@dataclass(frozen=True)
class Job:
    """A model to prune. ``variant`` is set for those that are not a plain export."""

    model: str
    exporter: Exporter
    dynamic: bool
    variant: str | None = None

    @property
    def label(self) -> str:
        return self.variant or self.model

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions whose sizes vary."""
        if self.variant is not None:
            return VARIANTS[self.variant].sizes
        return MODELS[self.model].dynamic(self.exporter) if self.dynamic else ()

    def path(self, library: Library) -> Path:
        """The file; it is made unless it is there."""
        if self.variant is not None:
            return library.variant(self.variant)
        return library.architecture(self.model, self.exporter, self.dynamic)


@dataclass(frozen=True)
class Row:
    """What became of a model: the cells of its row, and whether it was pruned and verified."""

    job: Job
    cells: tuple[str, ...]
    ok: bool


def jobs() -> Iterator[Job]:
    for name in MODELS:
        if name not in ("resnet18", "keras_nhwc"):
            yield from (Job(name, exporter, dynamic) for exporter in EXPORTERS for dynamic in (False, True))
    for variant in VARIANTS.values():
        yield Job(variant.model, "dynamo", bool(variant.sizes), variant.name)


def examine(job: Job, folder: Path, ratio: float, scope: Scope) -> Row:
    """Make the model, prune, verify and run it."""
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    head = (f"`{job.label}`", "" if job.variant else job.exporter, ", ".join(job.dims))
    try:
        path = job.path(Library(folder))
    except Exception as error:  # whatever an exporter raises belongs on the page
        return Row(job, (*head, f"not exported: {_first_line(error)}", *[""] * 6), False)
    source = api.open_model(path)
    analysis = api.analyze_model(source)
    frozen = describe_frozen(analysis.groups)
    with tempfile.TemporaryDirectory() as own:
        small = Path(own) / "small.onnx"
        try:
            result = api.prune(path, small, ratio=ratio, scope=scope, align=1)
        except IrpruneError as error:
            return Row(job, (*head, f"nothing: {_first_line(error)}", *[""] * 5, frozen), False)
        report = result.report
        verified = report is not None and report.structure.ok and report.equivalence.ok
        ran = sizes_run(job, path, small)
    before, after = result.plan.cost_before, result.plan.cost_after
    pruned = Counter(group.kind for group in result.plan.groups)
    totals: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for group in result.plan.groups:
        totals[group.kind] += group.size
        kept[group.kind] += group.size - len(group.removed)
    others = sorted({group.kind for group in analysis.groups if not group.frozen} - pruned.keys())
    cells = (
        *head,
        ", ".join(f"{kind} {kept[kind]}/{totals[kind]} in {count}" for kind, count in pruned.items()),
        f"{after.params / before.params:.0%}",
        f"{after.macs / before.macs:.0%}",
        "yes" if verified else "**no**",
        ran or "**does not run**",
        ", ".join(only(path, kind, ratio, scope) for kind in others),
        frozen,
    )
    return Row(job, cells, verified and bool(ran))


def sizes_run(job: Job, original: Path, small: Path) -> str:
    """The sizes at which the smaller model gives finite outputs in the shapes of the original; empty if it fails."""
    tried: dict[str, list[int]] = {}
    for sizes in size_sets(job.model, job.dims):
        given = feeds(job.model, 1, **sizes)
        want, got = run(original, given), run(small, given)
        if any(want[name].shape != got[name].shape or not np.isfinite(got[name]).all() for name in want):
            return ""
        for dim, size in {**MODELS[job.model].sizes, **sizes}.items():
            if dim in job.dims and size not in tried.setdefault(dim, []):
                tried[dim].append(size)
    return "; ".join(f"{dim} {', '.join(map(str, sizes))}" for dim, sizes in tried.items()) or "its size"


def only(path: Path, kind: str, ratio: float, scope: Scope) -> str:
    """A kind that is not pruned by default: how it fares when it is asked for."""
    try:
        result = api.prune(path, ratio=ratio, scope=scope, align=1, only=(f"kind:{kind}",))
    except IrpruneError as error:
        return f"{kind} ({_first_line(error)})"
    before, after = result.plan.cost_before, result.plan.cost_after
    return f"{kind} ({after.params / before.params:.0%})"


def describe_frozen(groups: Iterable[Group]) -> str:
    """Frozen groups by kind and reason; positions, and the rows of tables, are told where they freeze channels."""
    found: Counter[tuple[str, str]] = Counter()
    for group in groups:
        if group.frozen:
            reason = most_telling(group.reasons)
            looked_up = reason is not None and reason.kind is Kind.LOOKUP
            if group.kind in CHANNELS or not (group.kind == "positions" or looked_up):
                found[group.kind, _words(reason)] += 1
    return "; ".join(f"{kind}{f' ({count})' if count > 1 else ''}: {why}" for (kind, why), count in found.items())


def _words(reason: Reason | None) -> str:
    if reason is None:
        return "none of its elements may go"
    if reason.kind in ENDS:
        return str(reason).replace("'", "`")
    return reason.kind.value if reason.kind in SHORT else reason.why


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120].replace("|", "/")


# -- the page ------------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row], columns: Sequence[int]) -> list[str]:
    lines = [[HEADER[k] for k in columns], ["---:" if HEADER[k] in ("parameters", "MACs") else "---" for k in columns]]
    lines += [[row.cells[k] or "–" for k in columns] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def page(rows: Sequence[Row], ratio: float, scope: Scope) -> str:
    recurrent = {entry.name for entry in ENTRIES}
    plain = [row for row in rows if row.job.variant is None]
    every, bare = range(len(HEADER)), [k for k, name in enumerate(HEADER) if name != "exporter"]
    done = sum(row.ok for row in rows)
    models = len({row.job.model for row in plain})
    lines = [
        "# Coverage",
        "",
        f"What becomes of every architecture with `--ratio {ratio:g} --scope {scope}`. The script `docs/coverage.py`",
        "writes this page; nothing in it was typed by hand. The models are small configurations with random weights.",
        "",
        f"{models} architectures in {len(plain)} exports, and {len(rows) - len(plain)} variants: {done} of {len(rows)}",
        "are pruned, verified and run.",
        "",
        "- **dynamic**: the dimensions that vary from run to run.",
        "- **pruned**: by kind, the atoms that stay of all, and in how many groups.",
        "- **parameters**, **MACs**: the share that stays.",
        "- **verified**: structure and equivalence, as the README explains them.",
        "- **runs at**: sizes at which the smaller model ran, with finite outputs in the shapes of the original.",
        "- **with `--only`**: kinds left alone by default, since a dimension loses one of its factors, and the share",
        "  of parameters that stays with `--only kind:NAME`; those results are verified too.",
        "- **frozen**: by kind, what may not be pruned and why. Positions, and rows of tables that are looked up by",
        "  index, are frozen everywhere and left out. An axis of no particular kind counts as `mlp`,",
        "  rows of a table that nothing reads as `unread`.",
        "",
        "## Transformers and convolutional networks",
        "",
        *table([row for row in plain if row.job.model not in recurrent], every),
        "",
        "## Recurrent networks",
        "",
        *table([row for row in plain if row.job.model in recurrent], every),
    ]
    for form, title in FORMS.items():
        chosen = [row for row in rows if row.job.variant is not None and VARIANTS[row.job.variant].form == form]
        lines += ["", f"## Variants: {form}", "", title, "", *table(chosen, bare)]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exports", type=Path, help="folder of exports by name; what is missing is added")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_suffix(".md"))
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--scope", choices=("local", "global"), default="local")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    todo = list(jobs())
    with tempfile.TemporaryDirectory(prefix="irprune-") as spare:
        folder = options.exports or Path(spare)
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(options.workers) as pool:
            futures = [pool.submit(examine, job, folder, options.ratio, options.scope) for job in todo]
            rows = []
            for job, future in zip(todo, futures, strict=True):
                rows.append(future.result())
                if not rows[-1].ok:
                    print(f"{job}: {rows[-1].cells}", file=sys.stderr)
    options.output.write_text(page(rows, options.ratio, options.scope), encoding="utf-8")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
