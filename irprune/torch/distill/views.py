"""Other views of the inputs to train on: the original answers for each of them, so no label can become wrong.

An image that is mirrored or shifted is as good as a new one where the original answers alike: the smaller model meets
it once, and not the same image again. Where it answers otherwise (mirrored text), the view is of no use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...errors import InputError
from ...ir.core import Array
from ...runtime.feeds import Feeds

View = Callable[[Feeds, int], Feeds]
"""Feeds as they are seen otherwise; the number is what chance follows from."""

_SHARE_SHIFTED = 16
"""Images move by up to this part of their sides."""


def has_images(feed: Feeds) -> bool:
    """Whether an input is a batch of images: four axes of floats."""
    return any(_is_image(array) for array in feed.values())


def flipped(feeds: Sequence[Feeds]) -> list[Feeds]:
    """Feeds with their images mirrored left to right. Raises :class:`InputError` where no input is an image."""
    if not has_images(feeds[0]):
        raise InputError("no input is a batch of images (four axes of floats): there is nothing to flip")
    return [mirrored(feed, 0) for feed in feeds]


def mirrored(feed: Feeds, _: int) -> Feeds:
    """All images mirrored left to right."""
    return _on_images(feed, lambda array: np.flip(array, axis=_width_of(array)))


def shifted(feed: Feeds, seed: int) -> Feeds:
    """Each image moved by up to a sixteenth of its sides; the pixels of its edge are repeated."""
    rng = np.random.default_rng([seed, 1])
    return _on_images(feed, lambda array: _moved(array, rng))


def _moved(array: Array, rng: np.random.Generator) -> Array:
    width = _width_of(array)
    result = array
    for axis in (width - 1, width):
        size = array.shape[axis]
        most = max(1, size // _SHARE_SHIFTED)
        by = rng.integers(-most, most + 1, len(array))
        places = np.clip(np.arange(size) + by[:, None], 0, size - 1)
        where = [1] * array.ndim
        where[0], where[axis] = len(array), size
        result = np.take_along_axis(result, places.reshape(where), axis=axis)
    return result


def mixed(feeds: Sequence[Feeds], seed: int) -> list[Feeds]:
    """Weighted means of neighboring feeds, with weights uniform in [0, 1] (mixup, arXiv 1710.09412).

    Raises :class:`InputError` where an input is not of floats.
    """
    if any(array.dtype.kind != "f" for array in feeds[0].values()):
        raise InputError("an input is not of floats: inputs cannot be mixed")
    rng = np.random.default_rng(seed)
    found = []
    for one, other in zip(feeds, [*feeds[1:], feeds[0]], strict=True):
        share = float(rng.uniform())
        if all(one[name].shape == other[name].shape for name in one):
            found.append({n: _mean_of(one[n], other[n], share) for n in one})
    return found


def _mean_of(one: Array, other: Array, share: float) -> Array:
    return np.asarray(share * one.astype(np.float64) + (1 - share) * other.astype(np.float64), dtype=one.dtype)


def _on_images(feed: Feeds, change: Callable[[Array], Array]) -> Feeds:
    return {name: np.ascontiguousarray(change(array)) if _is_image(array) else array for name, array in feed.items()}


def _is_image(array: Array) -> bool:
    return array.ndim == 4 and array.dtype.kind == "f"


def _width_of(array: Array) -> int:
    """The last axis, or the one before it where the last one holds the colors."""
    has_colors_last = array.shape[-1] in (1, 3, 4) and array.shape[1] not in (1, 3, 4)
    return 2 if has_colors_last else 3
