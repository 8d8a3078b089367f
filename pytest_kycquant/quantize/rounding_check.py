"""Float weights that hold only a few different values: what is left of them after quantization.

Weights that went through a quantizer and back are float32 again, but lie on a grid: within a
channel or block they are multiples of one step, or one of a few values. Trained float weights are
not, not even those trained in half precision. Sixteen-bit quantization leaves no such trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError
from ..spec.coerce import shown
from .weight_ratios import has_hidden_grid, is_codebook, is_patterned, is_ternary, without_copies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from onnx import GraphProto

    from .computed_weights import Computed
    from .weight_sources import Weight

_WINDOW = (64, 32, 16)  # weights that are looked at together, as quantizers form blocks
_SHORTEST = 16  # with fewer weights in a channel, chance may look like a grid
_NOISE = 4e-7  # of the largest value
_CHANNELS = 8  # an axis with fewer is not that of the output channels
_FEW = 4  # values of a sparse window, such as a choice of channels with a factor for each
_NONZERO = 8  # a window with fewer is pruned and tells nothing
_WINDOWS = 512  # of a weight, evenly spread
_LEVELS = 256  # most steps of a grid: 8 bits
_OFF_GRID = 0.02  # of a step
_DISTINCT = 0.8  # share of nonzero values in a window that differ: 1.0 in FP32, .97 in bfloat16
_MOST = 0.7  # share of the windows of a weight that look rounded if all of it is
_PART, _SEVERAL = 0.25, 16  # share that some of it is, of so many windows; chance makes up to .15
_FEWEST = 128  # weights of a model below which nothing is said
_COPIES = ("Constant", "Identity", "Reshape", "Transpose")
_SHARE = 0.25  # of the weights of a model that must be rounded


def check_values(path: Path, weights: Iterable[Weight], computed: Computed) -> None:
    """Refuse a model whose weights were rounded to 8 bits or less.

    A few may be rounded by design, such as filters for blurring. A weight is judged as the layer
    reads it and, where that does not look rounded, by the constants that it is computed from.

    Args:
        path: the file, for messages.
        weights: all weights of the model.
        computed: values of those that operators compute.

    Raises:
        ModelError: more than a quarter of the weights of which it can be told are rounded.
    """
    tested, rounded, names = 0, 0.0, []
    waiting = sorted(_float_weights(weights, computed), key=lambda each: each.size)
    left = sum(each.size for each in waiting)
    while waiting:
        if rounded + left <= _SHARE * (tested + left):
            return  # whatever the others are
        weight = waiting.pop()
        left -= weight.size
        found = rounded_share(weight.array, computed=weight.computed)
        if weight.parts and not found:
            waiting += weight.parts
            left += sum(part.size for part in weight.parts)
            continue
        if found is None:
            continue
        tested += weight.array.size
        if found:
            rounded += found * weight.array.size
            names.append(weight.name)
    if tested >= _FEWEST and rounded > _SHARE * tested:
        raise ModelError(
            path,
            f"was quantized and converted back to float32: {100 * rounded / tested:.0f} % of its "
            f"weights hold only a few values, such as {shown(names[0])}",
            "give the FP32 model from which it was made",
        )


def rounded_share(array: NDArray[np.floating], *, computed: bool = False) -> float | None:
    """Share of a weight that was rounded to 8 bits or less; None if that cannot be told.

    Args:
        array: a weight; its output channels may lie along the first, second or last axis.
        computed: whether it is only a part of what the weight is computed from. If not, one value
            beside zeros is an average or a choice of channels, as people write by hand.
    """
    array = array.squeeze()  # an axis of one weight holds no channels
    if is_ternary(array):
        return 1.0
    array = without_copies(array)
    if array.size < _SHORTEST:
        return None
    found = _share(array, computed)
    return None if found and is_patterned(array) else found


def _share(array: NDArray[np.floating], computed: bool) -> float | None:
    whole = _share_of_rows(array.reshape(1, -1), computed)  # one scale for all channels
    if whole == 1:
        return whole
    wide = [axis for axis, size in enumerate(array.shape) if size >= _CHANNELS]
    # A kernel, too, may be as wide as a few channels.
    axes = [axis for axis in wide if axis < 2 or array.shape[axis] >= _SHORTEST] or wide[-1:]
    found = [
        _share_of_rows(np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1), computed)
        for axis in axes
    ]
    if 1 in found or is_codebook(array) or has_hidden_grid(array):
        return 1.0
    largest = max((share for share in (whole, *found) if share is not None), default=0.0)
    return largest or (None if None in found or not found else 0.0)


def half_precision(graph: GraphProto) -> str:
    """Type that holds all float32 weights exactly: "float16", "bfloat16", or "" for neither."""
    from onnx import TensorProto, numpy_helper

    arrays = [
        numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    ]
    if sum(array.size for array in arrays) < _FEWEST:
        return ""
    with np.errstate(over="ignore"):
        if all((array == array.astype(np.float16)).all() for array in arrays):
            return "float16"
    bits = (np.ascontiguousarray(array).view(np.uint32) for array in arrays if array.ndim)
    return "bfloat16" if all(not (each & 0xFFFF).any() for each in bits) else ""


def _share_of_rows(rows: NDArray[np.floating], computed: bool) -> float | None:
    """Share of rows that is rounded, each with scales of its own; None if they are too short."""
    if rows.shape[1] < _SHORTEST:
        return None
    found = [
        _share_of_windows(rows, length, computed)
        for length in dict.fromkeys(min(rows.shape[1], window) for window in _WINDOW)
    ]
    largest = max((share for share in found if share is not None), default=0.0)
    return largest or (None if None in found else 0.0)


def _share_of_windows(rows: NDArray[np.floating], length: int, computed: bool) -> float | None:
    count = rows.shape[1] // length
    windows = rows[:, : count * length].reshape(-1, length)
    if len(windows) > _WINDOWS:
        windows = windows[np.linspace(0, len(windows) - 1, _WINDOWS).astype(np.int64)]
    ordered = np.sort(windows.astype(np.float64), axis=1)
    largest = np.abs(ordered).max(axis=1, keepdims=True)
    # Dead weights, which decay towards zero, and the rounding of float32.
    noise = _NOISE * largest
    ordered[np.abs(ordered) <= _NOISE * largest.max()] = 0
    ordered[np.abs(ordered) <= noise] = 0
    gaps = np.diff(ordered, axis=1)
    apart = gaps > noise
    nonzero = np.count_nonzero(ordered, axis=1)
    distinct = apart.sum(axis=1) + 1 - (ordered == 0).any(axis=1)
    several = (distinct > 1) & (2 * nonzero >= length)  # in a window without many zeros
    signs = (ordered[:, 0] < 0) & (ordered[:, 0] == -ordered[:, -1])
    telling = (nonzero >= _NONZERO) & (computed | (distinct >= _FEW) | several | signs)
    if not telling.any():
        return None
    ordered, gaps, apart = ordered[telling], gaps[telling], apart[telling]
    few = distinct[telling] <= _DISTINCT * nonzero[telling]
    closest = np.where(apart, gaps, np.inf).min(axis=1, keepdims=True)
    on_grid = np.zeros(len(ordered), np.bool_)
    for part in (1, 2, 3):  # perhaps no two values are neighbours on the grid
        steps = (ordered - ordered[:, :1]) / closest * part  # zeros if all values are the same
        off = np.abs(steps - np.round(steps)).max(axis=1)
        on_grid |= (steps[:, -1] <= _LEVELS) & (off <= _OFF_GRID)
    share = float(np.mean(few | on_grid))
    if share >= _MOST:
        return 1.0
    return share if share >= _PART and len(few) >= _SEVERAL else 0.0


@dataclass(frozen=True)
class _Floats:
    """Values that are judged.

    Args:
        name: name of the tensor.
        array: its values.
        computed: whether they are only a part of what a weight is computed from.
        parts: what is judged in its place if it does not look rounded.
    """

    name: str
    array: NDArray[np.floating]
    computed: bool
    parts: tuple[_Floats, ...] = ()

    @property
    def size(self) -> int:
        """Most values that are counted for it."""
        return max(self.array.size, sum(part.size for part in self.parts))


def _float_weights(weights: Iterable[Weight], computed: Computed) -> Iterator[_Floats]:
    """Each weight as layers read it, and the float constants that weights come from, once."""
    from onnx import TensorProto, numpy_helper

    known: dict[tuple[str, tuple[int, ...]], list[NDArray[np.floating]]] = {}

    def is_new(name: str, array: NDArray[np.floating]) -> bool:
        others = known.setdefault((name, array.shape), [])
        new = not any(np.array_equal(array, other) for other in others)
        others += [array] if new else []
        return new and array.size >= _SHORTEST

    for weight, values in zip(weights, computed, strict=True):
        arrays = {
            source.name: numpy_helper.to_array(source.tensor)
            for source in (weight.sources if weight.certain else ())
            if source.tensor.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
        }
        changed = any(step.op_type not in _COPIES for step in weight.steps)
        parts = []
        for name, array in arrays.items():
            others = (other.size for key, other in arrays.items() if key != name)
            masks = _is_mask(array) and max(others, default=0) >= array.size
            if not masks and is_new(name, array):
                parts.append(_Floats(name, array, changed))
        for name, array in sorted(values.items(), key=lambda item: -item[1].size):
            if is_new(name, array):
                yield _Floats(name, array, name != weight.name, tuple(parts))
                parts = []
        yield from parts


def _is_mask(array: NDArray[np.floating]) -> bool:
    """Whether all values are zero or one other value, as in the mask of pruned weights."""
    values = array[array != 0]
    return bool(values.size) and bool((values == values[0]).all())
