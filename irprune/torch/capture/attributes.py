"""Exchanges tensors among the attributes of modules for one run, and restores them."""

from __future__ import annotations

import operator
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

_CONTAINERS = (dict, OrderedDict, list, set)
"""Exactly these types: subclasses may behave in any way."""


class Attributes:
    """A snapshot of the attributes of all modules of a model, and of the containers among them."""

    def __init__(self, model: nn.Module) -> None:
        self._before: dict[int, tuple[Any, Any]] = {}
        self._empty: list[Any] = []
        self._stand_ins: Mapping[int, Tensor] = {}
        for module in model.modules():
            self._keep(vars(module))

    def _keep(self, container: Any) -> None:
        if not container:  # most are empty: hooks
            self._empty.append(container)
        elif id(container) not in self._before:
            self._before[id(container)] = container, container.copy()
            for value in _items(container):
                if type(value) in _CONTAINERS:
                    self._keep(value)

    def exchange(self, stand_ins: Mapping[int, Tensor]) -> None:
        """Put other tensors in the place of those with the ids; recurrent layers hold their weights twice."""
        self._stand_ins = stand_ins
        for container, before in self._before.values():
            for name in _names(before):
                if id(before[name]) in stand_ins:
                    container[name] = stand_ins[id(before[name])]

    def restore(self) -> bool:
        """Restore everything; returns whether anything except the exchanged tensors had changed."""
        changed = any(self._empty)
        for container in self._empty:
            container.clear()
        for now, before in self._before.values():
            if _is_untouched(now, before):
                continue
            changed = changed or not self._holds_the_same(now, before)
            now.clear()
            now.extend(before) if isinstance(now, list) else now.update(before)
        return changed

    def _is_as_expected(self, now: Any, before: Any) -> bool:
        """Whether a value is the same object or an equal container: recurrent layers rebuild their list of weights."""
        if now is before or now is self._stand_ins.get(id(before)):
            return True
        if isinstance(now, weakref.ref) and isinstance(before, weakref.ref):
            return self._is_as_expected(now(), before())
        return type(now) is type(before) and type(now) in _CONTAINERS and self._holds_the_same(now, before)

    def _holds_the_same(self, now: Any, before: Any) -> bool:
        if isinstance(now, set):
            return bool(now == before)
        if len(now) != len(before) or (isinstance(now, dict) and now.keys() != before.keys()):
            return False
        return all(self._is_as_expected(now[name], before[name]) for name in _names(before))


def _is_untouched(now: Any, before: Any) -> bool:
    """Whether a container holds the same objects in the same order."""
    same = len(now) == len(before) and all(map(operator.is_, _items(now), _items(before)))
    return same and (not isinstance(now, dict) or list(now) == list(before))


def _items(container: Any) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _names(container: Any) -> Iterable[Any]:
    """The keys or positions of a container."""
    if isinstance(container, list):
        return range(len(container))
    return container if isinstance(container, dict) else ()
