"""The command line: ``python -m benchmarks [--models M,...] [--peers P,...] [--runs N] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .report import document, environment, footnote, installed, table
from .run import compare
from .tools import TOOLS

MODELS = ("resnet50", "densenet121", "mobilenet_v3_large", "efficientnet_b0", "vgg16_bn")
PEERS = tuple(name for name in TOOLS if name != "irprune")


def names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare irprune with other tools.")
    parser.add_argument("--models", type=names, default=list(MODELS), help=f"default: {','.join(MODELS)}")
    parser.add_argument("--peers", type=names, default=list(PEERS), help=f"default: {','.join(PEERS)}; '' for none")
    parser.add_argument("--runs", type=int, default=3, help="processes for each figure; the median is taken")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run to a file as well")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}; known: {', '.join(PEERS)}")
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    if missing := [name for name in options.peers if installed(name) is None]:
        parser.error(f"not installed: {', '.join(missing)}; `make bench` installs them, --peers chooses others")

    described = environment()
    if described["load"] > 0.5:
        say(f"the machine is busy (load {described['load']:.1f}): the seconds will be too long and may not compare")
    rows = list(compare(options.models, ["irprune", *options.peers], options.runs, say))
    print(f"{table(rows)}\n\n{footnote(described, options.runs)}")
    if options.json:
        text = json.dumps(document(rows, options.runs, described), indent=1)
        options.json.write_text(f"{text}\n", encoding="utf-8")
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
