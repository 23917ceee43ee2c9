"""The golden cases as a whole: every operator of the table has its twins, and what is removed really goes."""

from collections import Counter

import onnx
import pytest

from irprune.signatures import OPERATORS
from irprune.verification.driver import verify_models
from tests.golden import (
    test_signatures_attention,
    test_signatures_contractions,
    test_signatures_control,
    test_signatures_elements,
    test_signatures_elementwise,
    test_signatures_layout,
    test_signatures_microsoft,
    test_signatures_microsoft_quantized,
    test_signatures_more,
    test_signatures_normalization,
    test_signatures_quantized,
    test_signatures_reductions,
)
from tests.golden.helpers.cases import Case
from tests.golden.helpers.models import model_of, with_factors
from tests.golden.helpers.removal import feeds_for, remove_random

ALL: list[Case] = [
    *test_signatures_attention.CASES,
    *test_signatures_contractions.CASES,
    *test_signatures_control.CASES,
    *test_signatures_elements.CASES,
    *test_signatures_elementwise.CASES,
    *test_signatures_layout.CASES,
    *test_signatures_microsoft.CASES,
    *test_signatures_microsoft_quantized.CASES,
    *test_signatures_more.CASES,
    *test_signatures_normalization.CASES,
    *test_signatures_quantized.CASES,
    *test_signatures_reductions.CASES,
]
RUN = [case for case in ALL if case.kind == "match" and not case.excuse]


def test_every_operator_has_a_matching_case_beside_its_refusing_twin() -> None:
    covered = {kind: {case.op for case in ALL if case.kind == kind} for kind in ("match", "refuse")}
    table = {
        name
        for name, operator in OPERATORS.items()
        if operator.rule is not None and not name.startswith(("aten::", "irprune::sizes"))
    }  # those have cases of their own, and what has no rule is frozen with its reason
    assert covered == {"match": table, "refuse": table}


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
