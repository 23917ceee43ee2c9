"""Every way in makes the plan, the smaller graph and the slices by one function, and once."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import irprune
from irprune.cli import run
from irprune.rewriting import recipe
from tests.unit.test_verify_models import network

WAYS: dict[str, Callable[[Path, Path, Path], object]] = {
    "prune": lambda model, plan, out: run(["prune", str(model), "-o", str(out), "--ratio", "0.5"]),
    "plan": lambda model, plan, out: run(["plan", str(model), "-o", str(out), "--ratio", "0.5"]),
    "apply": lambda model, plan, out: run(["apply", str(model), str(plan), "-o", str(out)]),
    "opt": lambda model, plan, out: run(["opt", str(model), "-o", str(out), "--passes", "prune{ratio=0.5}"]),
    "irprune.prune": lambda model, plan, out: irprune.prune(model, out, ratio=0.5),
    "irprune.plan": lambda model, plan, out: irprune.plan(model, ratio=0.5),
    "irprune.apply": lambda model, plan, out: irprune.apply(model, irprune.Plan.load(plan), out),
}


@pytest.mark.parametrize("way", WAYS)
def test_atoms_are_removed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    model, plan = tmp_path / "model.onnx", tmp_path / "plan.json"
    onnx.save(network(batch=2), model)
    irprune.plan(model, ratio=0.5).save(plan)
    calls: list[int] = []
    right = recipe.remove_atoms

    def counted(*arguments: object, **options: object) -> object:
        calls.append(1)
        return right(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(recipe, "remove_atoms", counted)
    WAYS[way](model, plan, tmp_path / "out")
    assert len(calls) == 1


def test_all_ways_give_the_same_model(tmp_path: Path) -> None:
    model, plan = tmp_path / "model.onnx", tmp_path / "plan.json"
    onnx.save(network(batch=2), model)
    irprune.plan(model, ratio=0.5).save(plan)
    made = {}
    for way in ("prune", "apply", "opt", "irprune.prune", "irprune.apply"):
        out = tmp_path / f"{way}.onnx"
        WAYS[way](model, plan, out)
        made[way] = out.read_bytes()
    assert len(set(made.values())) == 1, {way: len(data) for way, data in made.items()}
