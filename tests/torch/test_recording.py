"""A recorded graph is the one of ``torch.export``, or none: what is not plain is left to export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import FunctionType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, fx, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import irprune.torch  # noqa: E402
from irprune.errors import VerificationError  # noqa: E402
from irprune.frontends.captured import Captured  # noqa: E402
from irprune.torch.capture.module import _inline_contexts, quiet  # noqa: E402
from irprune.torch.capture.recording import Recording, record  # noqa: E402
from irprune.torch.digest import digest_of  # noqa: E402
from tests.torch.test_models import model_of  # noqa: E402

X = torch.linspace(-1, 1, 2 * 4 * 6 * 6).reshape(2, 4, 6, 6)


class Calls(nn.Module):
    """A few layers, and the forward that a case gives it."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.way = forward
        self.conv, self.norm, self.drop = nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Dropout(0.5)
        self.again = self.conv
        self.linear = nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
        self.rnn, self.gru = nn.LSTM(6, 5, 2, bidirectional=True), nn.GRU(6, 5, batch_first=True)
        self.scale = nn.Parameter(torch.ones(6))
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("table", torch.arange(6.0), persistent=False)
        self.copied = torch.ones(6)
        self.linear.extra = torch.arange(6.0)
        self.listed = [torch.ones(6)]
        self.loose = [nn.Parameter(torch.ones(6))]
        self.seen: list[Any] = []
        self.calls = 0

    def forward(self, x: Tensor) -> Any:
        return self.way(self, x)


def rows(x: Tensor) -> Tensor:
    return x.flatten(1, 2)


def two_ways(m: Calls, x: Tensor) -> Any:
    with torch.no_grad():
        y = x * 2
    return y + m.conv(x).sum(1, keepdim=True)


def in_place(m: Calls, x: Tensor) -> Any:
    y = m.conv(x)
    y[:, :4] = x
    y[:, 4:].mul_(2).add_(1)
    return F.relu_(y), y


def changes_input(m: Calls, x: Tensor) -> Any:
    x.add_(1)
    return m.conv(x)


def counts(m: Calls, x: Tensor) -> Any:
    m.count.add_(1)
    return x * m.count


def made_here(m: Calls, x: Tensor) -> Any:
    n, _, height, width = x.shape
    grid = torch.arange(width, device=x.device) + torch.zeros(height, 1, dtype=torch.long)
    mask = torch.full_like(grid, 3) < grid
    tri = torch.ones(height, width).tril().to(x.dtype)
    return x.masked_fill(mask, 0.0) + torch.zeros_like(x) + x.new_ones(n, 1, 1, 1) + tri


def attends(m: Calls, x: Tensor) -> Any:
    y = rows(x)
    return m.attention(y, y, y, need_weights=False)[0] + m.attention(y, y, y)[0]


def interpolates(m: Calls, x: Tensor) -> Any:
    y = F.interpolate(x, scale_factor=2, mode="bilinear")
    return F.adaptive_avg_pool2d(F.max_pool2d(y, 2), (3, 2)), F.pad(x, (1, 2)), F.unfold(x, 3)


def repeats(m: Calls, x: Tensor) -> Any:
    parts = [m.conv(part[None]) for part in x]
    first, *rest = torch.stack(parts).chunk(2, 2)
    return {"first": first, "rest": tuple(rest), "none": None, "number": 3, "sorted": x.sort(-1), "top": x.topk(2)}


def casts(m: Calls, x: Tensor) -> Any:
    return x.double().to(torch.float16).type_as(x) + x.half().float() + x.to(x.device) + x.contiguous().clone()


def joins(m: Calls, x: Tensor) -> Any:
    left, right = x[:, ::2], x[:, 1::2, ..., None].squeeze(-1)
    return torch.einsum("nchw,ndhw->ncd", left, right), torch.cat([left, right], 1), x.mT @ x


PLAIN: dict[str, Callable[[Calls, Tensor], Any]] = {
    "layers": lambda m, x: m.drop(m.norm(m.conv(x)).relu()),
    "tied": lambda m, x: m.conv(x) + m.again(x),
    "contexts": two_ways,
    "in place": in_place,
    "changes input": changes_input,
    "counts": counts,
    "made here": made_here,
    "parametrized": lambda m, x: m.linear(x) * m.scale + m.table,
    "attends": attends,
    "encodes": lambda m, x: m.encoder(rows(x)),
    "recurs": lambda m, x: (m.rnn(rows(x))[0], m.gru(rows(x))[1]),
    "interpolates": interpolates,
    "repeats": repeats,
    "casts": casts,
    "joins": joins,
    "random": lambda m, x: x + torch.randn_like(x) * torch.rand(6) + torch.bernoulli(x.sigmoid()),
    "attention": lambda m, x: F.scaled_dot_product_attention(x, x, x),
    "constants": lambda m, x: x * torch.tensor([1.0, 2, 3, 4, 5, 6]) + torch.tensor(2.0).to(x) + m.linear.extra,
    "a constant twice": lambda m, x: x * m.copied + m.copied + torch.tensor(2.0),
    "a list of indices": lambda m, x: x[:, [2, 0]][..., torch.tensor([1, 0])],
    "handed through": lambda m, x: (x, m.scale, x.view(2, -1), x.detach()),
}


def branches(m: Calls, x: Tensor) -> Any:
    return x * 2 if x.sum() > 0 else x


def caches(m: Calls, x: Tensor) -> Any:
    m.seen.append(x)
    return m.conv(x)


def assigns(m: Calls, x: Tensor) -> Any:
    m.count = m.count + 1
    return x * m.count


def counts_calls(m: Calls, x: Tensor) -> Any:
    m.calls += 1
    return x * m.calls


def casts_by_context(m: Calls, x: Tensor) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        return m.conv(x)


def goes_on_without(m: Calls, x: Tensor) -> Any:
    try:
        return x * float(x.sum())
    except Exception:
        return x


def sets_data(m: Calls, x: Tensor) -> Any:
    m.scale.data = m.scale.data * 2
    return x * m.scale


def conditional(m: Calls, x: Tensor) -> Any:
    return torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x.cos(), (x,))


LEFT: dict[str, Callable[[Calls, Tensor], Any]] = {
    "branches on values": branches,
    "a condition": conditional,
    "appends to a list": caches,
    "assigns a buffer": assigns,
    "counts in Python": counts_calls,
    "autocast": casts_by_context,
    "an error that is caught": goes_on_without,
    "other data": sets_data,
    "a tensor that is not a buffer and changes": lambda m, x: x * m.copied.add_(1),
    "a part of it changes": lambda m, x: x * m.copied[:3].add_(1)[0],
    "a part of one in a list changes": lambda m, x: x * m.listed[0][:3].add_(1)[0],
    "a number of a constant": lambda m, x: x * torch.tensor(2.0).item(),
    "a parameter in a list": lambda m, x: x * m.loose[0],
    "reshapes itself": lambda m, x: m.conv(x).unsqueeze_(0),
    "as many as are true": lambda m, x: x[x > 0],
    "script": lambda m, x: SCRIPT(x),
}

SCRIPT = torch.jit.script(torch.nn.ReLU())


def lines(graph: fx.Graph) -> list[str]:
    """The calls with their sizes, numbered; without those that nobody reads and the checks of export.

    What is stored comes first, in the order of its names.
    """
    for node in reversed(graph.nodes):
        if str(node.target) == "aten._assert_tensor_metadata.default":
            graph.erase_node(node)
    graph.eliminate_dead_code()
    counter: Counter[str] = Counter()
    names: dict[fx.Node, str] = {}
    found = []
    stored = []
    for node in graph.nodes:
        names[node] = node.name if node.op == "placeholder" else f"{node.target}#{counter[str(node.target)]}"
        counter[str(node.target)] += 1
        value = node.meta.get("val")
        size = f"{tuple(value.shape)} {value.dtype} {value.device}" if isinstance(value, Tensor) else ""
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda other: _Named(names[other]))
        kind = stored if node.op == "get_attr" else found
        kind.append(f"{names[node]} = {args} {sorted(kwargs.items())} {size}")
    return sorted(stored) + found


class _Named(str):
    __repr__ = str.__str__


def recorded(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Graph:
    recording = record(model, args, kwargs)
    assert recording is not None
    return recording.graph


def exported(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.GraphModule:
    with quiet():
        module = torch.export.export(model, args, kwargs, strict=False).module(check_guards=False)
    assert isinstance(module, fx.GraphModule)
    _inline_contexts(module)
    return module


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", PLAIN)
def test_the_calls_are_those_of_export(name: str, training: bool) -> None:
    model = Calls(PLAIN[name]).train(training)
    graph = recorded(model, (X,), {})
    module = exported(model, (X,), {})
    assert lines(graph) == lines(module.graph)
    assert graph._codegen.pytree_info == module.graph._codegen.pytree_info  # type: ignore[attr-defined]


MODELS = (
    "resnet18",
    "mobilenet_v3_large",
    "densenet121",
    "bert",
    "gpt2",
    "llama",
    "vit",
    "mamba",
    "lstm_tagger",
    "yolov8",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_whole_models_are_recorded_as_export_gives_them(name: str) -> None:
    model, inputs = model_of(name)
    graph = recorded(model, inputs, {})
    assert lines(graph) == lines(exported(model, inputs, {}).graph)


@pytest.mark.parametrize("name", LEFT)
def test_what_is_not_plain_is_left_to_export(name: str) -> None:
    model = Calls(LEFT[name])
    before = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    values = {name: tensor.clone() for name, tensor in before.items()}
    assert record(model, (X,), {}) is None
    after = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert all(after[name] is tensor and torch.equal(tensor, values[name]) for name, tensor in before.items())
    assert model.seen == [] and model.calls == 0


def test_transforms_come_as_the_calls_that_they_make() -> None:
    model = Calls(lambda m, x: torch.vmap(lambda part: m.conv(part[None])[0].sum(-1))(x)).eval()
    graph = recorded(model, (X,), {})
    assert graph is not None
    found, expected = fx.GraphModule(model, graph)(X), model(X)
    assert torch.allclose(found, expected, atol=1e-6)


class Arguments(nn.Module):
    """Arguments of all kinds, nested and named."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(
        self, x: Tensor, flag: bool = True, pair: Any = None, *rest: Tensor, Named: Any = None, **others: Any
    ) -> Any:
        x = x + pair[0] if flag and pair is not None else x
        return {"out": self.linear(x + sum(rest)), "named": Named["Q"] * 2, "others": list(others.values())}


def test_a_model_is_identified_alike_in_another_process() -> None:
    def calls(function: Callable[..., Any]) -> Captured:
        graph = fx.Graph()
        graph.output(graph.call_function(function, (graph.placeholder("x"),)))
        return Captured.of(nn.Linear(2, 2), graph, {})

    model = calls(FunctionType(rows.__code__, globals(), "rows"))
    again = replace(calls(rows), state=model.state)
    assert digest_of(model) == digest_of(again)
    assert digest_of(model) != digest_of(replace(calls(in_place), state=model.state))
    other = {**model.state, "bias": model.state["bias"] + 1}
    assert digest_of(model) != digest_of(replace(model, state=other))


def test_arguments_have_the_names_of_export() -> None:
    one = torch.ones(1)
    args = (X, True, [one, (one * 2, 3)], one * 3, one * 4)
    kwargs = {"last": one * 5, "Named": {"Q": one * 6, "r": None}}
    graph = recorded(Arguments(), args, kwargs)
    module = exported(Arguments(), args, kwargs)
    assert lines(graph) == lines(module.graph)
    assert graph._codegen.pytree_info == module.graph._codegen.pytree_info  # type: ignore[attr-defined]


def test_shapes_that_vary_and_graphs_are_left_to_export() -> None:
    model = Calls(PLAIN["tied"])
    assert record(exported(model, (X,), {}), (X,), {}) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert record(model, (X,), {}) is None
    with torch.inference_mode():
        assert record(model, (X,), {}) is None


def test_a_capture_that_computes_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*call: Any) -> Recording | None:
        recording = record(*call)
        assert recording is not None
        for node in recording.graph.nodes:
            node.target = torch.ops.aten.silu.default if node.target is torch.ops.aten.relu.default else node.target
        return recording

    monkeypatch.setattr(irprune.torch.capture.module, "record", wrong)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    with pytest.raises(VerificationError, match=r"output 'linear_1': what was captured of the module differs"):
        irprune.torch.prune(model, (X[0, 0],), ratio=0.5, runtime=False)
