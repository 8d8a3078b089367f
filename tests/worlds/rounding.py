"""Trained and rounded weights, and whether they were rounded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.quantize.rounding_check import rounded_share

Array = NDArray[np.floating]


def is_rounded(array: Array) -> bool | None:
    """Whether a weight is rounded, all of it or nothing; None if that cannot be told."""
    share = rounded_share(array)
    assert share in (None, 0, 1)
    return None if share is None else share == 1


def trained(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def per_channel(bits: int) -> Callable[[Array], Array]:
    def rounded(array: Array) -> Array:
        largest = 2 ** (bits - 1) - 1
        axes = tuple(range(1, array.ndim))
        scale = (np.abs(array).max(axis=axes, keepdims=True) / largest).astype(np.float32)
        return np.round(array / scale).astype(np.float32) * scale

    return rounded


def halved(array: Array) -> Array:
    return array.astype(np.float16).astype(np.float32)


def cut(array: Array) -> Array:
    return (np.ascontiguousarray(array).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
