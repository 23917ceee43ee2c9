"""The golden cases as a whole: every operator of the table has a case, and what is removed really goes."""

from collections import Counter

import onnx
import onnx_ir as oir
import pytest

from irprune.analysis import analyze
from irprune.frontends.onnx import import_model
from irprune.signatures import OPERATORS
from irprune.verification.driver import verify_models
from tests.golden import (
    test_signatures_attention,
    test_signatures_contractions,
    test_signatures_contributed,
    test_signatures_control,
    test_signatures_elements,
    test_signatures_elementwise,
    test_signatures_experts,
    test_signatures_fused,
    test_signatures_layout,
    test_signatures_microsoft,
    test_signatures_microsoft_quantized,
    test_signatures_more,
    test_signatures_normalization,
    test_signatures_quantized,
    test_signatures_reductions,
    test_signatures_refused,
)
from tests.golden.helpers.cases import Case
from tests.golden.helpers.models import model_of, with_factors
from tests.golden.helpers.removal import feeds_for, remove_random

ALL: list[Case] = [
    *test_signatures_attention.CASES,
    *test_signatures_contractions.CASES,
    *test_signatures_contributed.CASES,
    *test_signatures_control.CASES,
    *test_signatures_elements.CASES,
    *test_signatures_elementwise.CASES,
    *test_signatures_experts.CASES,
    *test_signatures_fused.CASES,
    *test_signatures_layout.CASES,
    *test_signatures_microsoft.CASES,
    *test_signatures_microsoft_quantized.CASES,
    *test_signatures_more.CASES,
    *test_signatures_normalization.CASES,
    *test_signatures_quantized.CASES,
    *test_signatures_reductions.CASES,
    *test_signatures_refused.CASES,
]
RUN = [case for case in ALL if case.kind == "match" and not case.excuse]


TABLE = {
    name
    for name, operator in OPERATORS.items()
    if operator.rule is not None and not name.startswith(("aten::", "irprune::sizes"))
}
"""The others have cases of their own, and operators without a rule are frozen with their reason."""

SIZES_ALONE = {"Range", "ConstantOfShape", "If"}
"""Operators whose operands say how large a result is, and one whose operands are the results of its branches."""


WITHOUT_REFUSAL = {
    *("Cast", "CastLike", "Dropout", "DynamicQuantizeLinear", "Flatten", "Shape", "Size", "Transpose"),
    *(f"com.microsoft::QLinear{name}" for name in ("LeakyRelu", "Sigmoid")),
}
"""Operators of one operand that take it in any shape: all that they refuse is an unknown rank."""


def test_every_operator_has_a_matching_case() -> None:
    assert {case.op for case in ALL if case.kind == "match"} == TABLE


def test_every_rule_has_a_refusing_case() -> None:
    """Operators that share a rule share its cases."""
    refused = [OPERATORS[case.op].rule for case in ALL if case.kind == "refuse"]
    assert {name for name in TABLE if OPERATORS[name].rule not in refused} == WITHOUT_REFUSAL


@pytest.mark.parametrize("op", sorted(TABLE - SIZES_ALONE))
def test_every_operator_refuses_operands_of_unknown_rank(op: str) -> None:
    """The twin of every matching case; a refusal for a reason of the operator's own stands beside its case."""
    case = next(case for case in ALL if case.op == op and case.kind == "match")
    proto = model_of(case.model, case.opset)
    for info in (*proto.graph.input, *proto.graph.output):
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")
    analysis = analyze(import_model(oir.from_proto(proto)), allow_io=("*",))
    nodes = [node.name for node in analysis.graph.nodes if node.qualified_op == op]
    refused = [analysis.coupling.refused[name] for name in nodes if name in analysis.coupling.refused]
    assert any("unknown" in reason.why for reason in refused), "it matches axes that nothing is known about"


def test_titles_are_unique() -> None:
    assert [name for name, count in Counter(str(case) for case in ALL).items() if count > 1] == []


@pytest.mark.parametrize("case", RUN, ids=str)
def test_removals_are_equivalent_to_their_reference(case: Case) -> None:
    """Any legal set of atoms: what is emitted passes the checker and computes what removing means."""
    proto = with_factors(model_of(case.model, case.opset))
    onnx.checker.check_model(proto, full_check=True)
    removal = remove_random(proto, seed=len(case.model), allow_io=("*",))
    assert removal.plan.groups, "nothing was removed"
    report = verify_models(proto, removal.pruned, removal.plan, inputs=feeds_for(proto))
    assert report.ok, report.failures()
