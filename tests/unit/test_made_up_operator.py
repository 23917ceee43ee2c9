"""A new operator is one entry of a table and one golden case: everything else asks for its traits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from irprune.analysis import Analysis, Mask, analyze
from irprune.ir import Constant
from irprune.rewriting.draft import Refused
from irprune.rewriting.evaluate import evaluate
from irprune.rewriting.slicing import remove_atoms
from irprune.runtime.executable import Executable
from irprune.scoring import score
from irprune.signatures import OPERATORS, Operator, register, signature
from irprune.torch.importer.trainable import trainable_constants
from irprune.verification.ranges import index_bounds
from irprune.verification.reference import build
from irprune.verification.removal import Removal
from irprune.verification.structure import tensors
from tests.golden.helpers.cases import check_case, parse_cases
from tests.golden.helpers.models import graph_of, model_of

ENTRY = {
    # scale * log(|table[i] - point|)
    "LogLookup": Operator(
        signature("v c, b, c, c -> b c", opaque="v b", reason="it is looked up by index"),
        weights=(0, 3),
        lookups={1: (0,)},
        zero_points={0: 2},
        singular_at_zero=True,
        channel_scale=3,
        quantization=True,
    )
}

GOLDEN = """
match LogLookup: channels of the table
(int64[3] i) => (float[] y) <float[10, 8] table, float[8] point, float[8] scale, float[8, 5] w>
{ r = LogLookup(table, i, point, scale) y = MatMul(r, w) }
i[a=3!] table[b=10! c=8] point[c] scale[c] w[c d=5]
-> r[a c] y[a d]
group w:0 mlp 8: table:1 w:0 point:0 scale:0
group w:1 mlp 5: w:1
frozen a b: LogLookup 'LogLookup:r': it is looked up by index

refuse LogLookup: a table of numbers
(int64[3] i) => (float[] y) <float[10] table, float[8] point> { y = LogLookup(table, i, point) }
i[a=3!] table[b=10!] point[c=8!]
-> y[?]
frozen a b c: LogLookup 'LogLookup:y': operand has rank 1, its signature says 2
"""

CASES = parse_cases(GOLDEN)
MODEL = CASES[0].model


@pytest.fixture(autouse=True)
def entry() -> Iterator[None]:
    register(ENTRY)
    yield
    OPERATORS.pop("LogLookup", None)


@pytest.fixture
def analysis() -> Analysis:
    return analyze(graph_of(MODEL))


@pytest.fixture
def removed(analysis: Analysis) -> Mask:
    """The channels 1 and 2 of the table."""
    table = analysis.coupling.dims["table"]
    assert table is not None
    (atoms,) = analysis.atoms.along(table[1])
    mask = np.zeros(analysis.atoms.count, dtype=bool)
    mask[atoms[[1, 2]]] = True
    return mask


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_golden_case(case: object) -> None:
    check_case(case)  # type: ignore[arg-type]


def test_the_rewriter_slices_its_operands(analysis: Analysis, removed: Mask) -> None:
    graph, slices = remove_atoms(analysis, removed)
    shapes = {name: constant.shape for name, constant in graph.constants.items()}
    assert shapes == {"table": (10, 6), "point": (6,), "scale": (6,), "w": (6, 5)}
    assert slices["table"].axes == {1: (8, (0, 3, 4, 5, 6, 7))}


@pytest.fixture
def reference(analysis: Analysis, removed: Mask) -> Executable:
    return build(Executable(model_of(MODEL)), analysis, analysis.kept(removed), sizes={})


def test_the_reference_writes_its_zero_point(analysis: Analysis, reference: Executable) -> None:
    node = next(node for node in reference.proto.graph.node if node.op_type == "LogLookup")
    found = tensors(reference)
    point = analysis.graph.constants["point"].numpy()
    assert (found[node.input[0]]()[:, [1, 2]] == point[[1, 2]]).all()
    assert (found[node.input[3]]()[[1, 2]] == 0).all()


def test_the_reference_keeps_infinities_out_of_sums(analysis: Analysis, removed: Mask, reference: Executable) -> None:
    assert Removal(analysis, analysis.kept(removed)).guard
    assert [node.op_type for node in reference.proto.graph.node] == ["LogLookup", "Where", "MatMul"]


def test_random_indices_stay_below_the_size_of_its_table() -> None:
    assert index_bounds(model_of(MODEL).graph) == {"i": 10}


def test_its_scale_is_a_score(analysis: Analysis, removed: Mask) -> None:
    scale = np.abs(analysis.graph.constants["scale"].numpy())
    assert np.allclose(score(analysis, "bn-scale")[removed], scale[[1, 2]])


def test_its_weights_are_parameters(analysis: Analysis) -> None:
    assert {"table", "scale", "w"} <= trainable_constants(analysis.graph)
    assert {parameter.tensor for parameter in analysis.parameters if parameter.trainable} >= {"table", "scale", "w"}


def test_folding_leaves_it_in_a_quantized_model(analysis: Analysis) -> None:
    operands = [Constant.from_array(np.ones(2, np.float32))]
    with pytest.raises(Refused, match=r"^quantization stays in the model$"):
        evaluate(analysis.graph.nodes[0], operands, {"": 20}, 100, 100)


def test_without_the_entry_nothing_is_known_of_it() -> None:
    del OPERATORS["LogLookup"]
    refused = [reason.why for reason in analyze(graph_of(MODEL)).coupling.refused.values()]
    assert "operator LogLookup has no signature" in refused
    assert index_bounds(model_of(MODEL).graph) == {}
