"""Reasons to freeze an axis that several rules share, or that have a kind of their own."""

from __future__ import annotations

from ..reasons import Kind, Why

CONVOLVED = Why("the window of a convolution slides over it", Kind.POSITIONS)
POOLED = Why("the window of a pooling slides over it", Kind.POSITIONS)
WINDOWED = Why("a window slides over it", Kind.POSITIONS)
RESAMPLED = Why("it is resampled", Kind.POSITIONS)
TO_SPACE = Why("it becomes space", Kind.POSITIONS)
FROM_SPACE = Why("it comes from space", Kind.POSITIONS)
COUNTS_POSITIONS = Why("it counts positions", Kind.POSITIONS)
SEQUENCE = Why("it counts positions of a sequence", Kind.POSITIONS)
LOOKED_UP = Why("it is looked up by index", Kind.LOOKUP)
SOFTMAX = Why("a softmax is taken over it", Kind.SOFTMAX)
RECURRENT = Why("it counts steps, directions or gates of a recurrent cell", Kind.RECURRENT)
RUN_TIME_SIZE = Why("its size is computed at run time", Kind.RUN_TIME_SIZE)
