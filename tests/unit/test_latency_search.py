"""The search for the share of multiply-accumulates that meets a latency, on times that are made up."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

import irprune
from irprune.bench.search import Search
from irprune.errors import InputError, TargetError
from irprune.request import Request
from tests.golden.helpers.models import model_of

ORIGINAL = 20.0


def measured(time: Callable[[float], float], floor: float = 0.0) -> tuple[Search, list[float]]:
    """A search over a network that takes ``time(share)`` of the original's, and cannot go below a share."""
    seen: list[float] = []

    def measure(share: float) -> tuple[float, float]:
        seen.append(share)
        if share < floor:
            raise TargetError("macs cannot go below it")
        return ORIGINAL, ORIGINAL * time(share)

    return Search(measure, ORIGINAL), seen


@pytest.mark.parametrize("wanted", [0.9, 0.7, 0.5, 0.35])
@pytest.mark.parametrize(
    "time",
    [
        lambda share: share,
        lambda share: 0.2 + 0.8 * share,
        lambda share: share**0.5,
        lambda share: share**2,
        lambda share: 0.1 + 0.9 * math.ceil(share * 50) / 50,
    ],
    ids=["line", "overhead", "root", "square", "stairs"],
)
def test_the_target_is_met_within_a_few_measurements(wanted: float, time: Callable[[float], float]) -> None:
    search, seen = measured(time)
    found = search.run(wanted)
    assert found.measured == pytest.approx(wanted * ORIGINAL, rel=0.03)
    assert found.measured == ORIGINAL * time(found.macs)
    assert len(seen) <= 8 and found.macs in seen


def test_what_was_predicted_is_said_beside_what_was_measured() -> None:
    search, _ = measured(lambda share: 0.2 + 0.8 * share)
    found = search.run(0.5)
    assert found.predicted == pytest.approx(found.measured, rel=0.1)
    assert str(found).startswith(f"latency: {found.measured:.2f} ms, ")
    assert "(10.00 asked for, " in str(found)


def test_milliseconds_stay_what_was_asked_for_when_the_machine_slows_down() -> None:
    """By a quarter, after the first measurement: ten milliseconds are another share of the original's time then."""
    search = Search(lambda share: (1.25 * ORIGINAL, 1.25 * ORIGINAL * (0.1 + 0.9 * share)), ORIGINAL)
    found = search.run("10ms")
    assert found.wanted == pytest.approx(10)
    assert found.measured == pytest.approx(10, rel=0.03)
    assert "(10.00 asked for, " in str(found)


def test_a_target_below_every_width_names_the_floor() -> None:
    search, _ = measured(lambda share: 0.4 + 0.6 * share, floor=0.15)
    with pytest.raises(
        TargetError, match=r"^latency cannot go below (49|5[0-2])\.\d% of the original \(.* ms; 0\.3 was"
    ):
        search.run(0.3)


def test_a_target_near_the_smallest_width_is_reached_from_above() -> None:
    search, _ = measured(lambda share: share, floor=0.28)
    assert search.run(0.3).measured == pytest.approx(6, rel=0.05)


@pytest.mark.parametrize("given", [0.5, "0.5", "12ms", "1.5ms"])
def test_a_latency_is_a_share_or_milliseconds(given: float | str) -> None:
    assert Request(latency=given).latency == (given if str(given).endswith("ms") else 0.5)


@pytest.mark.parametrize("given", [0, 1, 1.5, "-3ms", "0ms", "fast", "nan", "12s"])
def test_what_is_no_latency(given: float | str) -> None:
    with pytest.raises(
        InputError, match=r"^latency: expected a share between 0 and 1, or milliseconds such as 12ms, got"
    ):
        Request(latency=given)


def test_a_latency_is_a_target() -> None:
    assert Request(latency=0.5).require_target().at_macs(0.4).targets == ("macs",)
    with pytest.raises(InputError, match=r"^give either latency or macs: each is a target$"):
        Request(latency=0.5, macs=0.5).require_target()


TEXT = """(float[1, 8] x) => (float[1, 4] y) <float[8, 32] a, float[32, 4] b>
{ h = MatMul(x, a) r = Relu(h) y = MatMul(r, b) }"""


def test_a_plan_alone_cannot_measure() -> None:
    with pytest.raises(InputError, match=r"^a latency is measured on whole models"):
        irprune.plan(model_of(TEXT), latency=0.5)


def test_a_model_that_is_as_fast_already() -> None:
    with pytest.raises(InputError, match=r"^--latency 5000ms: the model takes .* ms as it is$"):
        irprune.prune(model_of(TEXT), latency="5000ms")
