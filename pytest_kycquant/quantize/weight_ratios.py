"""Traces of quantization that no window of neighbouring weights shows.

A codebook of 256 values shows in the number of different values of many weights. Grids whose steps
differ from weight to weight show in ratios: if weights are integers times a factor per row and one
per column (AWQ, SmoothQuant), the ratios of two rows are fractions of small integers times one
number; and if columns share their steps in groups that are not neighbours (GPTQ by order of
activations), so are the ratios of two columns of a group.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CODEBOOK = 256  # values
_REPEATED = 4  # times that each value of a codebook occurs, on average
_DENSE = 0.1  # share of nonzero weights below which filters may be interpolations or choices
_SAMPLE = 1 << 16
_SEQUENCE, _SEQUENCES = 12, 4096  # length of sequences of weights; how many are looked at
_IRREGULAR = (0.5, 100)  # share or number of sequences that differ
_CHANGES = 0.1  # share of weights that differ from the one before
_ALIKE, _FEWEST = 0.2, 32  # share and number of weights that are not the first of their line
_CHOICE = 0.4  # share of nonzero weights below which a single value is a choice or an average
_SIDE, _BLOCK = 512, 2048  # rows and columns that are looked at
_LEVELS = ((255, 5e-7), (15, 1e-3), (8, 4e-3))
"""Largest integer of a fraction, and the relative error of ratios: float32 and half precisions."""
_ANCHORS, _ANCHOR = 3, 64  # ratios that the common factor is derived from; their largest integer
_PAIRS, _FOUND = 6, 4  # pairs of lines that are compared; how many must be fractions
_LINES, _RELATED, _MEMBERS = 4, 3, 3  # lines whose groups are looked for; found; members of each
_COMPARED = 1024  # lines among which members are looked for
_LONGEST, _SHORTEST = 48, 14  # ratios of two lines
_DIFFERENT = 6  # ratios of two lines, which are otherwise copies of each other
_MATCHING = 0.85  # share of ratios that are fractions
_SMALLEST = 1e-3  # of the largest weight of a line


def is_codebook(array: NDArray[np.floating]) -> bool:
    """Whether the weights, or those of most rows, are a few values that occur again and again."""
    rows = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(1, -1)
    rows = without_copies(rows)
    if _few_values(rows):
        return True
    for lines in (rows, rows.T):
        if len(lines) > 1 and all(map(_few_values, lines[_spread(len(lines), 8)])):
            return True
    return False


def is_ternary(array: NDArray[np.floating]) -> bool:
    """Whether weights are one of up to three values times a factor per line, in no regular order.

    Filters that people write, such as averages, differences and choices of channels, are regular or
    sparse. So are the two rows of a classifier, of which one may be the negative of the other.
    """
    ways = [array.reshape(1, -1)]
    if array.ndim > 1 and array.size:
        axes = range(array.ndim)
        ways += [np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1) for axis in axes]
    for lines in ways:
        codes = _three_codes(lines)
        if codes is not None:
            return _is_irregular(codes) and _is_irregular(codes.T)
    return False


def has_hidden_grid(array: NDArray[np.floating]) -> bool:
    """Whether weights are small integers times factors that differ in both directions."""
    if array.ndim < 2 or min(len(array), array.size // max(1, len(array))) < 2:
        return False
    levels = _LEVELS[1:] if _is_bfloat16(array) else _LEVELS
    size = np.abs(array[:_BLOCK, :_BLOCK]).astype(np.float64)
    ways = [size.reshape(len(size), -1)]
    ways.append(ways[0].T)
    if array.ndim > 2 and 1 < array.shape[1] < ways[0].shape[1]:  # kernels of convolutions
        ways.append(np.moveaxis(size, 1, 0).reshape(array.shape[1], -1))
        ways.append(ways[2].T)
    return any(
        _lines_are_proportional(lines, *level) or _lines_share_steps(lines, *level)
        for lines in ways
        for level in levels
    )


def without_copies(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """A weight whose equal output channels, and equal input channels, are there once."""
    for axis in range(min(2, array.ndim) if array.ndim > 1 else 0):
        slices = np.moveaxis(array, axis, 0)
        first = {hash(each.tobytes()): place for place, each in reversed(list(enumerate(slices)))}
        if len(first) < len(slices):
            array = np.take(array, sorted(first.values()), axis=axis)
    return array


def is_patterned(array: NDArray[np.floating]) -> bool:
    """Whether values occur again because weights are tied: they always have the same neighbours."""
    if array.ndim < 2:
        return False
    rows = array.reshape(len(array), -1)[:_SIDE, :_SIDE]
    for lines in (rows, rows.T):
        if lines.shape[1] < 2:  # no neighbours
            continue
        values, codes = np.unique(lines, return_inverse=True)
        codes = codes.reshape(lines.shape).astype(np.int64)
        pairs = np.unique(codes[:, :-1] * len(values) + codes[:, 1:])
        if len(pairs) < 1.5 * len(values) and lines.size >= _REPEATED * len(values):
            return True
    return False


def _three_codes(lines: NDArray[np.floating]) -> NDArray[np.intp] | None:
    """Which of up to three values each weight of lines is, without the factor of its line.

    None if there are more values, only one, or too few to tell.
    """
    nonzero = np.count_nonzero(lines, axis=1)
    several = int((nonzero - 1).clip(0).sum())  # a single weight is always a factor times one
    if several < max(_FEWEST, _ALIKE * nonzero.sum()):
        return None
    for part in (lines[:_FEWEST, :_FEWEST], lines):  # most weights show it at once
        first = np.abs(part).argmax(axis=1, keepdims=True)
        largest = np.take_along_axis(part, first, axis=1)
        values = (part / np.where(largest == 0, 1, largest)).astype(np.float64)
        ordered = np.sort(values.reshape(-1)[_spread(values.size, _SAMPLE)])
        starts = ordered[1:][np.diff(ordered) > 4e-7]
        if len(starts) > 2:
            return None
    share = nonzero.sum() / lines.size
    if not len(starts) or share < (_CHOICE if ordered[0] == 0 else _DENSE):
        return None
    return np.searchsorted(starts, values, side="right")


def _is_irregular(codes: NDArray[np.intp]) -> bool:
    """Whether neighbours differ often, and sequences seldom occur again."""
    flat = codes.reshape(-1)[:_SEQUENCES]
    if np.count_nonzero(np.diff(flat)) < _CHANGES * flat.size:
        return False
    places = np.lib.stride_tricks.sliding_window_view(flat, _SEQUENCE)
    found = np.unique(places @ 3 ** np.arange(_SEQUENCE))
    share, number = _IRREGULAR
    return len(found) >= min(share * len(places), number)


def _few_values(values: NDArray[np.floating]) -> bool:
    flat = values.reshape(-1)
    if flat.size > _SAMPLE:
        flat = flat[np.random.default_rng(0).integers(0, flat.size, _SAMPLE)]
    found = flat[flat != 0]
    if found.size < max(_DENSE * flat.size, _REPEATED):
        return False
    distinct = _distinct(found)
    return bool(1 < distinct <= min(_CODEBOOK, found.size // _REPEATED))


def _distinct(values: NDArray[np.floating]) -> int:
    """Number of different values, up to the rounding of float32."""
    ordered = np.sort(values.astype(np.float64))
    return 1 + int(np.count_nonzero(np.diff(ordered) > 4e-7 * np.abs(ordered[1:])))


def _lines_are_proportional(lines: Array, largest: int, error: float) -> bool:
    """Whether ratios of neighbouring lines are fractions times one factor for each pair."""
    found = 0
    for tried, index in enumerate(_spread(len(lines) - 1, _PAIRS)):
        found += _is_pair(_ratios(lines[index], lines[index + 1]), largest, error)
        if tried - found >= _PAIRS - _FOUND:
            return False
    return found >= min(_FOUND, len(lines) - 1)


def _is_pair(ratios: Array, largest: int, error: float) -> bool:
    if not _tell(ratios, error):
        return False
    middle = np.argsort(np.abs(np.log(ratios)))
    for anchor in ratios[middle[:_ANCHORS]]:
        scales = anchor / _fractions(min(largest, _ANCHOR))
        if largest > _ANCHOR:  # chance leaves one in fifty
            for ratio in ratios[middle[-4:]]:
                scales = scales[_near(ratio / scales, largest, error)]
        near = _near(ratios / scales[:, None], largest, error)
        if (near.mean(axis=1) >= _MATCHING).any():
            return True
    return False


def _lines_share_steps(lines: Array, largest: int, error: float) -> bool:
    """Whether most lines have others of which the ratios are fractions."""
    others = lines[_spread(len(lines), _COMPARED)]
    if len(others) < 2 * _MEMBERS:
        return False
    related = 0
    for index in _spread(len(others), _LINES):
        line = others[index]
        places = np.flatnonzero(line > _SMALLEST * line.max())
        places = places[_spread(len(places), _LONGEST)]
        if len(places) < _SHORTEST:
            continue
        left = np.delete(others, index, axis=0)[:, places]
        left = left[_chosen(left, line[places], largest, error, 8)]
        pairs = (_ratios(each, line[places]) for each in left[:64])
        members = [
            ratios
            for ratios in pairs
            if _tell(ratios, error) and _near(ratios, largest, error).mean() >= _MATCHING
        ]
        related += len(members) >= _MEMBERS
    return related >= _RELATED


def _chosen(lines: Array, line: Array, largest: int, error: float, count: int) -> NDArray[np.bool_]:
    """Lines that may be related, from a few of their ratios."""
    ratios = lines[:, :count] / line[:count]
    usable = ratios > 0
    near = _near(np.where(usable, ratios, 1.0), largest, error)
    chosen: NDArray[np.bool_] = (near | ~usable).sum(axis=1) >= count - 1
    return chosen


def _ratios(first: Array, second: Array) -> Array:
    """Ratios of the weights of two lines where none is zero, evenly spread."""
    usable = (first > _SMALLEST * first.max()) & (second > _SMALLEST * second.max())
    places = np.flatnonzero(usable)
    places = places[_spread(len(places), _LONGEST)]
    ratios: Array = first[places] / second[places]
    return ratios


def _tell(ratios: Array, error: float) -> bool:
    """Whether there are enough ratios, and enough different ones, to tell anything."""
    if len(ratios) < _SHORTEST:
        return False
    ordered = np.sort(ratios)
    different = 1 + int(np.count_nonzero(np.diff(ordered) > 4 * error * ordered[1:]))
    return different >= _DIFFERENT


def _near(ratios: Array, largest: int, error: float) -> NDArray[np.bool_]:
    """Which ratios are fractions of integers up to the largest, within a relative error."""
    table = _fractions(largest)
    place = np.searchsorted(table, ratios).clip(1, len(table) - 1)
    gap = np.minimum(np.abs(table[place] - ratios), np.abs(table[place - 1] - ratios))
    near: NDArray[np.bool_] = gap <= error * ratios
    return near


@cache
def _fractions(largest: int) -> Array:
    integers = np.arange(1, largest + 1)
    top, bottom = np.meshgrid(integers, integers)
    coprime = np.gcd(top, bottom) == 1
    return np.sort(top[coprime] / bottom[coprime])


def _spread(length: int, count: int) -> NDArray[np.int64]:
    """Up to so many indices, evenly spread."""
    if length <= count:
        return np.arange(length)
    return np.linspace(0, length - 1, count).astype(np.int64)


def _is_bfloat16(array: NDArray[np.floating]) -> bool:
    if array.dtype != np.float32:
        array = array.astype(np.float32)
    return not (np.ascontiguousarray(array).view(np.uint32) & 0xFFFF).any()
