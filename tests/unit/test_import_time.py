"""Starting irprune is cheap: the libraries that take long to load are imported where they are used."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEVER = {"torch", "onnxscript", "transformers", "sklearn"}
LATER = {"numpy", "onnx", "onnx_ir", "onnx_graphsurgeon", "onnxruntime", "scipy", "networkx"}


def loaded(script: str) -> set[str]:
    """The top-level names of all modules that a script loads."""
    script = f"import sys; {script}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize("module", ["irprune", "irprune.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert loaded(f"import {module}") & (NEVER | LATER) == set()


def test_help_loads_nothing_heavy() -> None:
    assert loaded("import irprune.cli; irprune.cli.run(['prune', '--help'])") & (NEVER | LATER) == set()


def test_the_api_loads_no_frameworks() -> None:
    assert loaded("import irprune; irprune.prune") & NEVER == set()


def test_axes_that_are_related_as_wholes_need_no_scipy() -> None:
    analyzed = "api.analyze_model(api.open_model('models/digits.onnx')).groups"
    assert "scipy" not in loaded(f"from irprune import api; {analyzed}")


def test_the_package_for_pytorch_loads_it_when_it_is_used() -> None:
    assert loaded("import irprune.torch; irprune.torch.__all__") & NEVER == set()


def test_pruning_a_plain_module_loads_neither_onnx_nor_what_compiles() -> None:
    pytest.importorskip("torch")
    body = "nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LayerNorm(288), nn.Linear(288, 5)"
    model = f"from torch import nn, ones; model = nn.Sequential({body}).eval()"
    pruned = "import irprune.torch as t; t.prune(model, (ones(1, 3, 8, 8),), ratio=0.5, verify=False)"
    assert loaded(f"{model}; {pruned}") & {"onnx", "onnx_ir", "onnxruntime", "onnxscript", "sympy"} == set()


def test_without_pytorch_the_message_says_what_to_install() -> None:
    script = "import sys; sys.modules['torch'] = None; from irprune.torch import from_onnx"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == (
        "irprune.errors.InputError: irprune.torch.from_onnx needs PyTorch: pip install irprune[torch]"
    )
