"""Fidelity: what is measured of outputs of every kind, and what makes the numbers say little."""

from dataclasses import replace

import numpy as np
import pytest

from irprune.errors import InputError
from irprune.verification import Fidelity, Floors, OutputFidelity
from irprune.verification.fidelity import measure_fidelity

RNG = np.random.default_rng(0)
Runs = list[np.ndarray]


def measured(original: Runs, pruned: Runs, labels: np.ndarray | None = None) -> Fidelity:
    return measure_fidelity([{"y": run} for run in original], [{"y": run} for run in pruned], labels)


def output(original: Runs, pruned: Runs) -> OutputFidelity:
    return measured(original, pruned).outputs[0]


def test_the_numbers_are_those_of_all_runs_together() -> None:
    original = [RNG.standard_normal((4, 7)).astype(np.float32) + 100 for _ in range(3)]
    pruned = [run + RNG.standard_normal(run.shape).astype(np.float32) for run in original]
    left, right = (np.concatenate(runs).astype(np.float64) for runs in (original, pruned))
    found = output(original, pruned)
    assert found.cosine == pytest.approx(float((left * right).sum() / np.linalg.norm(left) / np.linalg.norm(right)))
    assert found.snr_db == pytest.approx(10 * np.log10((left**2).sum() / ((left - right) ** 2).sum()))
    assert found.error == pytest.approx(np.sqrt(((left - right) ** 2).mean()) / left.std(), rel=1e-9)
    assert found.agreement == (left.argmax(1) == right.argmax(1)).mean()


def test_one_number_a_sample_has_an_error_in_place_of_a_cosine() -> None:
    original = [np.array([[0.9], [0.95]]), np.array([[0.1], [0.2]])]
    found = output(original, [np.full((2, 1), 0.5)] * 2)
    values = np.concatenate(original)
    assert found.cosine is None
    assert found.error == pytest.approx(np.sqrt(((values - 0.5) ** 2).mean()) / values.std())
    assert found.snr_db == pytest.approx(-20 * np.log10(found.error))
    assert found.agreement == 0.5
    assert found.decides == "above 0.5 or not"


def test_a_saturated_output_is_no_evidence() -> None:
    found = output([np.ones((1, 1), np.float32)] * 3, [np.ones((1, 1), np.float32)] * 3)
    assert np.isnan(found.snr_db)
    assert found.error is None
    assert found.remark == "the original gives the same for all of these inputs"
    assert Floors(min_snr=0.0).missed(Fidelity((found,)))
    assert Floors(min_cosine=0.5).missed(Fidelity((found,)))


def test_decisions_that_are_always_the_same_are_remarked() -> None:
    scores = [np.array([[0.2, 0.7, 0.1]]), np.array([[0.1, 0.8, 0.1]])]
    assert output(scores, scores).remark == "the original decides the same for all of these inputs"
    scores[1] = scores[1][:, ::-1] + np.array([[0.5, 0, 0]])
    assert output(scores, scores).remark == ""


@pytest.mark.parametrize(
    ("value", "axis"),
    [
        (RNG.standard_normal((5, 9)), -1),
        (RNG.standard_normal((2, 6, 4)), -1),
        (RNG.standard_normal((2, 3, 8, 8)), 1),
        (RNG.standard_normal((2, 8, 8, 3)), -1),
        (RNG.standard_normal((2, 5, 1, 1)), 1),
        (RNG.standard_normal((2, 5, 7, 1)), 1),
        (RNG.standard_normal(6), -1),
    ],
)
def test_the_largest_decides(value: np.ndarray, axis: int) -> None:
    other = value + RNG.standard_normal(value.shape)
    found = output([value], [other])
    assert found.agreement == (value.argmax(axis) == other.argmax(axis)).mean()
    assert found.decides == "the largest of an axis"


def test_probabilities_are_decided_by_the_largest_and_other_shares_by_one_half() -> None:
    scores = np.exp(RNG.standard_normal((6, 4)))
    shares = scores / scores.sum(1, keepdims=True)
    assert output([shares], [shares]).decides == "the largest of an axis"
    several = RNG.random((6, 4))
    found = output([several], [1 - several])
    assert found.decides == "above 0.5 or not"
    assert found.agreement == 0.0


def test_what_is_no_float_is_compared_for_equality() -> None:
    found = output([np.array([1, 2, 3])], [np.array([1, 2, 4])])
    assert found.agreement == pytest.approx(2 / 3)
    assert found.decides == "equal values"
    assert "cosine" not in found.as_json()
    assert output([np.array(["a", "b"], object)], [np.array(["a", "c"], object)]).agreement == 0.5


def test_an_output_of_another_shape_has_no_numbers() -> None:
    fidelity = measured([np.ones((1, 4))], [np.ones((1, 2))])
    assert fidelity.outputs[0].as_json() == {"name": "y", "note": "its shape changed from [1, 4] to [1, 2]"}
    assert Floors(min_cosine=0.0).missed(fidelity) == ("--min-cosine: the fidelity of no output could be measured",)
    other = Fidelity((*fidelity.outputs, OutputFidelity("z", 0.9, 3.0)))
    assert Floors(min_cosine=0.5).missed(other) == (
        "output 'y': its fidelity could not be measured: its shape changed from [1, 4] to [1, 2]",
    )
    allowed = Fidelity((replace(fidelity.outputs[0], may_change=True), OutputFidelity("z", 0.9, 3.0)))
    assert Floors(min_cosine=0.5).missed(allowed) == ()
    assert Floors(min_accuracy=0.5).missed(Fidelity(other.outputs, (0.9, 0.7))) == ()  # labels are for one output


def test_outputs_that_the_request_lets_change_are_named_by_globs() -> None:
    runs = [{"state_1": np.ones((1, 4)), "y": np.ones((1, 4))}], [{"state_1": np.ones((1, 2)), "y": np.ones((1, 4))}]
    found = measure_fidelity(*runs, may_change=("state_*",))
    assert [output.may_change for output in found.outputs] == [True, False]
    assert Floors(min_cosine=0.9).missed(found) == ()
    assert Floors(min_cosine=0.9).missed(measure_fidelity(*runs))


def test_a_floor_on_floats_is_missed_where_no_output_holds_floats() -> None:
    classes = measured([np.array([1, 2, 3])], [np.array([1, 2, 3])])
    missed = Floors(min_cosine=0.9, min_snr=10.0, min_agreement=1.0).missed(classes)
    assert [line.split(":")[0] for line in missed] == ["--min-cosine", "--min-snr"]
    mixed = Fidelity((*classes.outputs, OutputFidelity("z", 0.9, 30.0)))
    assert Floors(min_cosine=0.9, min_snr=10.0).missed(mixed) == ()


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,)])
def test_outputs_without_elements_and_without_numbers(shape: tuple[int, ...]) -> None:
    empty = np.zeros(shape)
    assert output([empty, np.ones((2, 3))], [empty, np.ones((2, 3))]).cosine == pytest.approx(1.0)
    assert output([empty], [empty]).agreement is None
    nowhere = np.full((2, 3), np.nan)
    assert output([nowhere], [nowhere]).note == "it holds no numbers on these inputs"


def test_accuracy_is_that_of_the_output_that_decides_as_often_as_there_are_labels() -> None:
    logits = RNG.standard_normal((2, 5, 4)).astype(np.float32)
    labels = logits.argmax(-1)
    assert measured([logits], [-logits], labels).accuracy == (1.0, (labels == (-logits).argmax(-1)).mean())
    halves = measured([logits[:1], logits[1:]], [logits[:1], logits[1:]], labels.ravel())
    assert halves.accuracy == (1.0, 1.0)
    score = np.array([[2.0], [-1.0], [0.5]])  # scores of two classes
    assert measured([score], [-score], np.array([1, 0, 1])).accuracy == (1.0, 0.0)
    share = np.array([[0.9], [0.4], [0.2]])
    assert measured([share], [share], np.array([1, 1, 0])).accuracy == pytest.approx((2 / 3, 2 / 3))


def test_labels_of_the_wrong_length() -> None:
    with pytest.raises(InputError, match="there are 3 labels; decisions that the outputs make: 'y' 2"):
        measured([RNG.standard_normal((2, 4))], [RNG.standard_normal((2, 4))], np.array([1, 2, 3]))


def test_floors() -> None:
    fidelity = Fidelity((OutputFidelity("y", 0.9, 10.0, 0.3, 0.8, "above 0.5 or not"),), (0.9, 0.7))
    assert Floors(min_cosine=0.9, min_snr=10.0, min_accuracy=0.7, min_agreement=0.8).missed(fidelity) == ()
    missed = Floors(min_cosine=0.91, min_snr=10.1, min_accuracy=0.71, min_agreement=0.81).missed(fidelity)
    assert [line.split(", at least")[0] for line in missed] == [
        "output 'y': cosine 0.9",
        "output 'y': SNR in dB 10",
        "output 'y': 80.00% of the decisions agree",
        "accuracy 70.00%",
    ]
    none = Fidelity((OutputFidelity("y", 0.9, 10.0),))
    assert "no output makes decisions" in Floors(min_agreement=0.1).missed(none)[0]
    assert Floors(min_accuracy=0.1).missed(none) == ("accuracy unknown, at least 10.00% was asked for",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_cosine": 1.5}, "min_cosine must lie between -1 and 1, got 1.5"),
        ({"min_snr": float("nan")}, "min_snr must be a finite number"),
        ({"min_agreement": 98}, "min_agreement must lie between 0 and 1, got 98"),
        ({"min_accuracy": 0.5}, "--min-accuracy needs --labels"),
        ({"min_snr": 20}, "--min-snr needs --inputs: random inputs say little"),
    ],
)
def test_floors_that_nothing_can_be_compared_with(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Floors(**options).require_evidence(has_inputs=False, has_labels=False)


def test_floors_on_random_inputs_have_to_be_allowed() -> None:
    Floors(min_snr=20, allow_random=True).require_evidence(has_inputs=False, has_labels=False)
    with pytest.raises(InputError, match="labels need the inputs"):
        Floors(min_accuracy=0.5, allow_random=True).require_evidence(has_inputs=False, has_labels=True)
