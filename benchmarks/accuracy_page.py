"""Write the page on accuracy, a table and a picture, from the rows that ``benchmarks.accuracy --json`` collected.

python -m benchmarks.accuracy_page rows.json docs/accuracy.md docs/accuracy.svg
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment

from .accuracy import HEAD, Row, line

SHOWN = {
    "obs, refitted": "#0b6e4f",
    "distilled": "#1f4e9c",
    "l2": "#888888",
    "Torch-Pruning, l2": "#d1495b",
    "Torch-Pruning, Taylor": "#e07a1f",
    "onnxsim, Wanda, fine-tuned": "#8e5ea2",
}
WIDTH, HEIGHT, LEFT, TOP = 230, 170, 45, 40

_PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{ width }} {{ height }}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="white"/>
{% for panel in panels %}<g transform="translate({{ panel.x }},{{ top }})">
<text x="0" y="-8" font-weight="bold">{{ panel.name }}</text>
{% for y, label in panel.grid %}<path d="M0 {{ y }}H{{ w }}" stroke="#ddd"/><text x="-6" y="{{ y + 4 }}" \
text-anchor="end">{{ label }}</text>
{% endfor %}{% for x, label in panel.ticks %}<text x="{{ x }}" y="{{ h + 14 }}" text-anchor="middle">{{ label }}</text>
{% endfor %}{% for color, points in panel.lines %}<polyline points="{{ points }}" fill="none" stroke="{{ color }}" \
stroke-width="2"/>
{% endfor %}</g>
{% endfor %}{% for x, y, name, color in legend %}<path d="M{{ x }} {{ y - 4 }}h18" stroke="{{ color }}" \
stroke-width="3"/><text x="{{ x + 24 }}" y="{{ y }}">{{ name }}</text>
{% endfor %}</svg>
"""


def picture(rows: Sequence[Row]) -> str:
    """A panel for each network: the accuracy over how many times fewer multiply-accumulates are left."""
    networks = list(dict.fromkeys(row.network for row in rows if row.accuracy is not None))
    step = WIDTH + LEFT + 15
    panels = [_panel(name, rows, LEFT + k * step) for k, name in enumerate(networks)]
    shown = [entry for entry in SHOWN.items() if any(row.way == entry[0] for row in rows)]
    places = [(LEFT + 235 * (k % 4), TOP + HEIGHT + 42 + 18 * (k // 4)) for k in range(len(shown))]
    legend = [(*place, *entry) for place, entry in zip(places, shown, strict=True)]
    size = {"width": max(step * len(panels), 980), "height": TOP + HEIGHT + 75}
    page = Environment(autoescape=True, trim_blocks=False).from_string(_PICTURE)
    return page.render(panels=panels, legend=legend, top=TOP, w=WIDTH, h=HEIGHT, **size)


def _panel(name: str, rows: Sequence[Row], x: int) -> dict[str, Any]:
    own = [row for row in rows if row.network == name and row.accuracy is not None]
    most = max(row.cut for row in own)
    full = next(row.accuracy for row in own if row.way == "original")

    def place(cut: float, share: float) -> tuple[float, float]:
        return round((cut - 1) / max(most - 1, 1e-9) * WIDTH, 1), round(HEIGHT * (1 - share), 1)

    lines = []
    for way, color in SHOWN.items():
        points = sorted((row.cut, row.accuracy or 0.0) for row in own if row.way == way)
        if points:
            lines.append((color, " ".join(f"{a},{b}" for a, b in (place(*p) for p in [(1.0, full or 0.0), *points]))))
    grid = [(place(1, share)[1], f"{share:.0%}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    ticks = [(place(cut, 0)[0], f"{cut:g}x") for cut in sorted({row.cut for row in own})]
    return {"name": name, "x": x, "lines": lines, "grid": grid, "ticks": ticks}


def page(rows: Sequence[Row], drawing: str) -> str:
    """The page in markdown."""
    order = list(dict.fromkeys(row.network for row in rows))
    ranked = sorted(rows, key=lambda row: (order.index(row.network), row.cut))
    return _PAGE.format(drawing=drawing, head=HEAD, lines="\n".join(map(line, ranked)))


_PAGE = """\
# What is kept of trained networks

![accuracy over the reduction of multiply-accumulates]({drawing})

`benchmarks.accuracy` trains small networks on Fashion-MNIST, prunes each in several ways to the same share of
multiply-accumulates, and scores all results on the same test samples. Nothing is trained after pruning, but for the
rows that say so. `benchmarks.accuracy_page` writes this page.

    make bench BENCH_ARGS=--help    # installs the other tools in an environment of their own
    .venv-bench/bin/python -m benchmarks.accuracy DATA --cache FOLDER --peers --json rows.json
    .venv-bench/bin/python -m benchmarks.accuracy DATA --cache FOLDER --peers --json rows.json --cuts 2 3 \\
        --networks resnet20 --fixture resnet20.onnx
    .venv-bench/bin/python -m benchmarks.accuracy_page rows.json docs/accuracy.md docs/accuracy.svg

- Every tool gets the same 512 training samples without labels. Torch-Pruning's data criteria get the gradients of a
  loss toward the original's own decisions on these. Its pruning strength, and onnxsim's, is searched for until the
  exported file has the wanted multiply-accumulates, as irprune counts them for all.
- *obs, refitted* is what `irprune prune --macs SHARE --data FILE --align 1` does: the other tools choose any width, and
  so does irprune here. *aligned* is the same with the default `--align auto`, which keeps widths that run fast.
- Accuracy is on 10,000 test images: its standard error is at most half a point. One training and one calibration seed
  each. The ResNet-20 has no labels; its equal decisions are on the last 1,000 images (standard error 1.3 points).
- onnxsim's fine-tuning trains the matrix products (here the last layer); it skips convolutions.
- CPU seconds are those of pruning and repair on one thread, without verification, and for the other tools without the
  search and the export. All are of a busy machine.

{head}
{lines}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    rows = [Row(**entry) for entry in json.loads(given.rows.read_text(encoding="utf-8"))]
    given.picture.write_text(picture(rows), encoding="utf-8")
    given.page.write_text(page(rows, given.picture.name), encoding="utf-8")


if __name__ == "__main__":
    main()
