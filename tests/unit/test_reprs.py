"""What a person sees who prints a result: a few lines."""

import onnx
import pytest

import irprune
from irprune import api
from irprune.passes import State
from irprune.request import Request
from irprune.rewriting import decide
from tests.unit.test_verify_models import network

MOST = 400


def require_short(found: object) -> None:
    for text in (repr(found), str(found)):
        assert len(text) <= MOST, text[:MOST]
        assert text.count("\n") < 8
        assert type(found).__name__ in text or "multiply-accumulates" in text


def test_what_the_api_gives() -> None:
    model = network(batch=2)
    result = irprune.prune(model, ratio=0.5, align=1)
    source = api.open_model(model)
    analysis = api.analyze_model(source)
    smaller = decide(analysis, Request(ratio=0.5, align=1))
    for found in (result, result.plan, source, analysis, analysis.graph, smaller, State(analysis.graph)):
        require_short(found)
    assert repr(source) == f"OpenedModel('ModelProto', {len(model.SerializeToString())} bytes)"
    assert repr(smaller.plan).startswith("Plan(7 atoms of 2 groups removed; params 104 -> 40")


def test_what_the_torch_side_gives() -> None:
    torch = pytest.importorskip("torch")
    import irprune.torch

    blocks = [torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU()) for _ in range(20)]
    program = irprune.torch.trace(torch.nn.Sequential(*blocks).eval(), (torch.randn(2, 8),))
    result = irprune.torch.prune(program, ratio=0.5, runtime=False)
    for found in (result, program, program.captured, program.imported):
        require_short(found)
    onnx_module = irprune.torch.from_onnx(network(batch=2))
    assert str(program.module) == repr(program.module) == "TrainableModule(82 calls, 1440 parameters, in evaluation)"
    assert repr(onnx_module).startswith("OnnxModule(")
    assert len(repr(onnx_module)) < MOST


def test_progress_is_told_stage_by_stage() -> None:
    seen: list[str] = []
    model = onnx.ModelProto.FromString(network().SerializeToString())
    irprune.plan(model, ratio=0.5, on_progress=seen.append)
    assert seen == ["reading", "analyzing", "deciding"]
    seen.clear()
    irprune.prune(model, ratio=0.5, on_progress=seen.append)
    assert seen == ["reading", "analyzing", "deciding", "rewriting", "verifying", "writing"]
