"""Garbage collection rests while many objects are made, and goes on as it was before."""

import gc
from collections.abc import Iterator

import pytest

from irprune.collector import without_gc


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


@without_gc
def state() -> tuple[bool, bool]:
    return gc.isenabled(), inner()


@without_gc
def inner() -> bool:
    return gc.isenabled()


def test_it_rests_inside_and_goes_on_after() -> None:
    assert state() == (False, False)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_it_goes_on_after_an_error() -> None:
    @without_gc
    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert gc.isenabled()


def test_who_turned_it_off_finds_it_off() -> None:
    gc.disable()
    assert state() == (False, False)
    assert not gc.isenabled()


def test_what_was_frozen_stays_frozen() -> None:
    gc.freeze()
    count = gc.get_freeze_count()
    state()
    assert gc.get_freeze_count() == count


def test_what_was_made_counts_as_old() -> None:
    @without_gc
    def made() -> list[list[int]]:
        return [[k] for k in range(10)]

    found = made()
    assert any(found is other for other in gc.get_objects(generation=2))
