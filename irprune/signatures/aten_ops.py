"""Signatures of ATen operators that are no ai.onnx operator under another name.

:mod:`irprune.frontends.aten` says which call becomes which of these. The schemas are PyTorch's
(https://github.com/pytorch/pytorch/blob/main/aten/src/ATen/native/native_functions.yaml).
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.sizes import ONE
from .compute import broadcast, elementwise, layer_normalization, letters, operand_list, window_results
from .grammar import Follower, Name, Signature, SizeOf, signature
from .registry import NoSignature, Site, register


def linear(site: Site) -> Signature:
    """``*b i, o i, o -> *b o``."""
    return signature(f"{operand_list(site, '*b i', 'o i', 'o')} -> *b o ; macs b i o")


def baddbmm(site: Site) -> Signature:
    """``b m k, b k n, <broadcast> -> b m n``."""
    names = ["b", "m", "n"]
    shape = site.shape(2)
    added = ["1" if size == ONE else name for size, name in zip(shape, names[3 - len(shape) :], strict=True)]
    return signature(f"b m k, b k n, {' '.join(added)} -> b m n ; macs b m k n")


def layer_norm(site: Site) -> Signature:
    """LayerNormalization, or RMSNormalization, that spells the normalised shape out."""
    found = layer_normalization(site)
    data = found.notation.inputs[0] or ()
    inner = data[site.axis(default=-1) :]
    return replace(found, attributes={"normalized_shape": tuple(SizeOf(term) for term in inner)})


def prelu(site: Site) -> Signature:
    """``n c *s, c -> n c *s``, or one slope for all."""
    names = letters(site.rank())
    slope = "1" if site.shape(1) == (ONE,) or not site.rank(1) else names[1 if len(names) > 1 else 0]
    return signature(f"{' '.join(names)}, {slope if site.rank(1) else ''} -> {' '.join(names)}")


def variance(site: Site) -> Signature:
    """Statistics over the reduced axes."""
    names = letters(site.rank())
    axes = site.ints("axes", 1) or tuple(range(len(names)))
    over = {axis % len(names) for axis in axes}
    keep = site.node.int("keepdims")
    result = [("1" if k in over else name) for k, name in enumerate(names) if keep or k not in over]
    operands = " ".join(names) + (", _" if site.has(1) else "")
    return signature(f"{operands} -> {' '.join(result)} ; normalised {' '.join(names[k] for k in sorted(over))}")


def extremum(site: Site) -> Signature:
    """Values and their positions along one axis."""
    names = letters(site.rank())
    axis = site.axis()
    result = " ".join("1" if k == axis else n for k, n in enumerate(names) if site.node.int("keepdims") or k != axis)
    text = f"{' '.join(names)} -> {result}, {result} ; opaque {names[axis]}"
    return signature(text, reason="the positions of its extrema are a result")


def stack(site: Site) -> Signature:
    """``n s, n s -> n (1 + 1) s``."""
    names = letters(site.rank())
    axis = site.axis(rank=len(names) + 1)
    count = len(site.inputs)
    new = f"({' + '.join('1' * count)})" if count > 1 else "1"
    return signature(f"{', '.join([' '.join(names)] * count)} -> {' '.join([*names[:axis], new, *names[axis:]])}")


def unbind(site: Site) -> Signature:
    """``n (1 + 1) s -> n s, n s``."""
    names = letters(site.rank())
    axis = site.axis()
    count = site.static(0, axis)
    whole = f"({' + '.join('1' * count)})" if count > 1 else "1"
    rest = " ".join([*names[:axis], *names[axis + 1 :]])
    source = " ".join([*names[:axis], whole, *names[axis + 1 :]])
    return signature(f"{source} -> {', '.join([rest] * count)}")


def index(site: Site) -> Signature:
    """Several index tensors pick points: their axes are opaque, the others carried (numpy's advanced indexing)."""
    names = letters(site.rank())
    axes = [axis % len(names) for axis in site.node.ints("axes") or ()]
    if not axes:
        raise NoSignature("nothing is indexed")
    picks = range(1, len(site.inputs))
    operands, picked = broadcast(site, list(picks))
    operands = [" ".join(f"i_{word}" if word not in ("1", "_") else word for word in op.split()) for op in operands]
    points = [f"i_{word}" if word != "1" else word for word in picked]
    rest = [name for k, name in enumerate(names) if k not in axes]
    adjacent = axes == list(range(axes[0], axes[0] + len(axes)))
    front = len([k for k in range(axes[0]) if k not in axes]) if adjacent else 0
    result = [*rest[:front], *points, *rest[front:]]
    opaque = " ".join([*(names[k] for k in axes), *(word for word in points if word != "1")])
    text = f"{', '.join([' '.join(names), *operands])} -> {' '.join(result)} ; opaque {opaque}"
    return signature(text, reason="it is looked up by index")


def moved(site: Site) -> Signature:
    """Elements change places along some axes: their order matters."""
    names = letters(site.rank())
    axes = site.node.ints("axes") or tuple(range(len(names)))
    opaque = " ".join(names[axis % len(names)] for axis in axes)
    return signature(f"{' '.join(names)} -> {' '.join(names)} ; opaque {opaque}", reason="its elements are moved along")


def repeat(site: Site) -> Signature:
    """Tile with more repeats than dimensions: new outer ones."""
    repeats = site.entries(1)
    if repeats is None or any(count is None for count in repeats):
        raise NoSignature("its repeats are computed at run time")
    names = letters(site.rank())
    outer = len(repeats) - len(names)
    source = ["1" if size == ONE else name for size, name in zip(site.shape(0), names, strict=True)]
    words: list[str] = []
    follow: list[Follower] = []
    for k, count in enumerate(repeats):
        inner = "1" if k < outer else source[k - outer]
        words.append(inner if count == ONE else f"r{k}" if inner == "1" else f"(r{k} {inner})")
        follow.append(None if count == ONE else SizeOf(Name(f"r{k}")))
    sizes = {f"r{k}": count for k, count in enumerate(repeats) if count is not None and count != ONE}
    return signature(f"{' '.join(source)}, _ -> {' '.join(words)}", sizes=sizes, operands={1: follow})


def repeat_interleave(site: Site) -> Signature:
    """``n c -> n (c r)``: repeats are an inner factor."""
    if "axis" not in site.node.attributes:
        raise NoSignature("it repeats all elements of the tensor")
    names = letters(site.rank())
    axis = site.axis()
    source = ["1" if size == ONE else name for size, name in zip(site.shape(0), names, strict=True)]
    count = site.node.int("repeats")
    if count == 1:
        return signature(f"{' '.join(source)} -> {' '.join(source)}")
    result = list(source)
    result[axis] = "r" if source[axis] == "1" else f"({source[axis]} r)"
    text = f"{' '.join(source)} -> {' '.join(result)}"
    follow = {"repeats": "r"}
    if "output_size" in site.node.attributes:
        follow["output_size"] = result[axis]
    return signature(text, sizes={"r": count}, attributes=follow)


def pool(site: Site) -> Signature:
    """``n c *s -> n c *t``, and the positions of maxima within a channel."""
    result = f"n c {window_results(site)}"
    text = f"n c *s -> {result}, {result} ; opaque s {window_results(site)}"
    return signature(text, reason="the window of a pooling slides over it")


def weight_norm(site: Site) -> Signature:
    """``g v / |v|``, the norm over all dimensions but one."""
    names = letters(site.rank())
    axis = site.axis()
    scale = " ".join(name if k == axis else "1" for k, name in enumerate(names))
    over = " ".join(name for k, name in enumerate(names) if k != axis)
    return signature(f"{' '.join(names)}, {scale} -> {' '.join(names)} ; normalised {over}")


def resample(site: Site) -> Signature:
    """``n c *s -> n c *t``."""
    result = window_results(site)
    return signature(f"n c *s -> n c {result} ; opaque s {result}", reason="it is resampled")


def pixel_unshuffle(site: Site) -> Signature:
    """``n c (h r) (w q) -> n (c r q) h w``."""
    block = site.node.int("blocksize")
    return signature(
        "n c (h r) (w q) -> n (c r q) h w ; opaque r q", sizes={"r": block, "q": block}, reason="it comes from space"
    )


def recurrent(site: Site) -> Signature:
    """Stacked layers of LSTM, GRU or RNN with their weights as operands.

    A layer reads ``i``, the layers above it both directions ``(d h)``; the states of all layers are one tensor, so all
    have one hidden size.
    """
    node = site.node
    gates, layers, states = node.int("gates"), node.int("num_layers"), node.int("states")
    directions = 2 if node.int("bidirectional") else 1
    each = 4 if node.int("has_biases") else 2
    if len(site.inputs) != 1 + states + layers * directions * each:
        raise NoSignature("a projection of the hidden state")
    steps, result = ("b t i", "b t {}") if node.int("batch_first") else ("t b i", "t b {}")
    if site.rank() == 2:
        steps, result = "t i", "t {}"
    out = "(d h)" if directions > 1 else "h"
    state = "l b h" if site.rank() == 3 else "l h"
    weights: list[str] = []
    for layer in range(layers):
        source = "i" if layer == 0 else out
        weights += [f"(q h) {source}", "(q h) h", "(q h)", "(q h)"][:each] * directions
    results = [result.format(out), *[state] * states][: len(node.outputs)]
    batch = "b" if site.rank() == 3 else ""
    macs = [f"t {batch} d q h {'i' if layer == 0 else 'd h'} + t {batch} d q h h" for layer in range(layers)]
    return signature(
        f"{', '.join([steps, *[state] * states, *weights])} -> {', '.join(results)} ; opaque q t d l ; macs "
        f" {' + '.join(macs)}",
        sizes={"q": gates, "d": directions, "l": layers * directions},
        attributes={"hidden_size": "h"},
        reason="it counts steps, directions or gates of a recurrent cell",
    )


register(
    {
        "aten::elementwise": elementwise,
        "aten::rsqrt": elementwise,
        "aten::linear": linear,
        "aten::baddbmm": baddbmm,
        "aten::layer_norm": layer_norm,
        "aten::pool": pool,
        "aten::weight_norm": weight_norm,
        "aten::prelu": prelu,
        "aten::variance": variance,
        "aten::extremum": extremum,
        "aten::stack": stack,
        "aten::unbind": unbind,
        "aten::index": index,
        "aten::moved": moved,
        "aten::repeat": repeat,
        "aten::repeat_interleave": repeat_interleave,
        "aten::resample": resample,
        "aten::pixel_unshuffle": pixel_unshuffle,
        "aten::recurrent": recurrent,
        # sizes that a frontend knows symbolically
        "irprune::sizes": " -> _",
    }
)
