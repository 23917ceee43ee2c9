"""A verification imports the original once, whoever asks for it: importing is most of what it costs on large graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from irprune import api, several
from irprune.cli import run
from irprune.frontends.onnx import import_model
from irprune.ir import Graph
from irprune.verification import driver

DIGITS = Path(__file__).parents[2] / "models" / "digits.onnx"


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that import a model, once for each time."""
    found: list[str] = []

    def counted(name: str) -> object:
        def wrapper(*arguments: object) -> Graph:
            found.append(name)
            return import_model(*arguments)  # type: ignore[arg-type]

        return wrapper

    for module in (api, driver):
        monkeypatch.setattr(module, "import_model", counted(module.__name__))
    return found


def test_commands_and_functions_import_the_original_once(tmp_path: Path, imports: list[str]) -> None:
    small, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    result = api.prune(DIGITS, small, ratio=0.5)
    assert len(imports) == 1
    api.verify(DIGITS, small, result.plan)
    assert len(imports) == 2
    result.plan.save(plan)
    assert run(["verify", str(DIGITS), str(small), "--plan", str(plan)]) == 0
    assert len(imports) == 3
    assert run(["prune", str(DIGITS), "-o", str(tmp_path / "other.onnx"), "--ratio", "0.5"]) == 0
    assert len(imports) == 4
    assert run(["opt", str(DIGITS), "-o", str(tmp_path / "third.onnx"), "--passes", "prune{ratio=0.5}"]) == 0
    assert len(imports) == 5


def test_models_that_are_pruned_together_are_imported_once(tmp_path: Path, imports: list[str]) -> None:
    twin = tmp_path / "twin.onnx"
    twin.write_bytes(DIGITS.read_bytes())
    several.prune_together([DIGITS, twin], tmp_path / "out", ratio=0.5)
    assert len(imports) == 1
