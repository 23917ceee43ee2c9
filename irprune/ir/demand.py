"""Lazy evaluation of values that depend on each other, without recursion: chains may be of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class OnDemand(Generic[T]):
    """Results of ``compute`` by name, each computed once; ``None`` where a value is defined by itself.

    ``compute`` may ask for other names. It is never called recursively: if it asks for a name that is not known yet,
    an exception leaves it, that name is computed first, and ``compute`` starts again.
    """

    def __init__(self, compute: Callable[[str], T | None]) -> None:
        self._compute = compute
        self._known: dict[str, T | None] = {}
        self._is_computing = False

    def __call__(self, name: str) -> T | None:
        if name in self._known:
            return self._known[name]
        if self._is_computing:
            raise _Missing(name)
        self._is_computing = True
        try:
            self._settle(name)
        finally:
            self._is_computing = False
        return self._known[name]

    def _settle(self, name: str) -> None:
        waiting, started = [name], {name}
        while waiting:
            try:
                found = self._compute(waiting[-1])
            except _Missing as missing:
                if missing.name in started:  # a malformed graph: the value depends on itself
                    self._known[missing.name] = None
                else:
                    started.add(missing.name)
                    waiting.append(missing.name)
                continue
            self._known.setdefault(waiting.pop(), found)


class _Missing(BaseException):
    """A name that is not known yet; no rule may catch it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
