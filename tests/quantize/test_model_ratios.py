"""Rounded weights that no window of neighbouring values shows are told from trained ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds import graph_writer
from tests.worlds.graph_writer import Writer
from tests.worlds.rounding import Array, cut, halved, is_rounded, per_channel, trained
from tests.worlds.zoo import save

SHAPES = [(32, 16, 3, 3), (64, 64, 1, 1), (8, 3, 3, 3), (256, 512, 1, 1)]


def equalized(bits: int, group: int = 0, *, zero_point: bool = False) -> Callable[[Array], Array]:
    """A grid for each row or group of columns, after a factor per column that is taken back."""

    def rounded(array: Array) -> Array:
        rows = array.reshape(len(array), -1)
        factors = np.exp(np.random.default_rng(8).normal(0, 0.7, (1, rows.shape[1])))
        grouped = (rows * factors).reshape(len(rows), -1, group or rows.shape[1])
        if zero_point:
            low, high = grouped.min(axis=2, keepdims=True), grouped.max(axis=2, keepdims=True)
            scale = (high - low) / (2**bits - 1)
            zero = np.round(-low / scale)
            codes = np.clip(np.round(grouped / scale) + zero, 0, 2**bits - 1) - zero
        else:
            scale = np.abs(grouped).max(axis=2, keepdims=True) / (2 ** (bits - 1) - 1)
            codes = np.round(grouped / scale)
        back = (codes * scale).reshape(rows.shape) / factors
        return back.astype(np.float32).reshape(array.shape)

    return rounded


def by_activation(bits: int, group: int) -> Callable[[Array], Array]:
    """Groups of columns with one step each, as GPTQ forms them: in no order."""

    def rounded(array: Array) -> Array:
        rows = array.reshape(len(array), -1)
        order = np.random.default_rng(9).permutation(rows.shape[1])
        grouped = rows[:, order].reshape(len(rows), -1, group)
        scale = np.abs(grouped).max(axis=2, keepdims=True) / (2 ** (bits - 1) - 1)
        found = np.empty_like(rows)
        found[:, order] = (np.round(grouped / scale) * scale).reshape(rows.shape)
        return found.reshape(array.shape)

    return rounded


def codebook(array: Array, count: int = 256) -> Array:
    book = np.quantile(array, np.linspace(0, 1, count)).astype(np.float32)
    return book[np.searchsorted((book[1:] + book[:-1]) / 2, array)]


HIDDEN = {
    "codebook": codebook,
    "codebook of 200": lambda a: codebook(a, 200),
    "codebook, pruned": lambda a: codebook(a)
    * (np.random.default_rng(1).random(a.shape) > 0.6).astype(np.float32),
    "equalized, 8 bits": equalized(8),
    "equalized, 8 bits with zero points": equalized(8, zero_point=True),
    "equalized, 8 bits in groups": equalized(8, 36),
    "equalized, 6 bits": equalized(6),
    "equalized, 4 bits": equalized(4),
    "equalized, 4 bits in groups": equalized(4, 36, zero_point=True),
    "equalized, 4 bits, then float16": lambda a: halved(equalized(4)(a)),
    "equalized, 8 bits, batch norm folded behind": lambda a: equalized(8)(a)
    * trained(len(a), *[1] * (a.ndim - 1), seed=3),
    "by activation, 8 bits": by_activation(8, 36),
    "by activation, 4 bits": by_activation(4, 18),
    "by activation, 4 bits, then float16": lambda a: halved(by_activation(4, 18)(a)),
}  # fmt: skip


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(64, 32, 3, 3), (128, 576), (40, 1152), (512, 72)])
@pytest.mark.parametrize("name", HIDDEN)
def test_rounded_with_factors_or_a_codebook(
    name: str, shape: tuple[int, ...], transposed: bool
) -> None:
    array = HIDDEN[name](trained(*shape, seed=4))
    assert is_rounded(np.ascontiguousarray(np.swapaxes(array, 0, 1)) if transposed else array)


def test_depthwise() -> None:
    """Too few weights in a channel, but ratios of two places are fractions in all of them."""
    assert is_rounded(per_channel(8)(trained(64, 1, 3, 3)))


def test_a_codebook_for_each_row() -> None:
    rows = [codebook(row) for row in trained(16, 1536)]
    assert is_rounded(np.stack(rows))
    assert is_rounded(np.stack(rows, axis=1))


def scaled_bfloat16(array: Array) -> Array:
    """Trained in bfloat16, with a batch norm folded into it."""
    return cut(array) * np.abs(trained(len(array), *[1] * (array.ndim - 1), seed=3))


LEGITIMATE: dict[str, Callable[[Array], Array]] = {
    "float32": lambda a: a,
    "float16": lambda a: halved(a),
    "bfloat16": lambda a: cut(a),
    "bfloat16, folded": scaled_bfloat16,
    "float16, folded": lambda a: halved(a)
    * np.abs(trained(len(a), *[1] * (a.ndim - 1), seed=3)),
    "tied rows": lambda a: np.concatenate([a[: len(a) // 2]] * 2),
    "tied rows with a factor": lambda a: np.concatenate([a[: len(a) // 2], a[: len(a) // 2] / 2]),
    "one row": lambda a: np.repeat(a[:1], len(a), axis=0),
    "shifted rows": lambda a: np.stack(
        [np.roll(a[0].ravel(), place) for place in range(len(a))]
    ).reshape(a.shape),
    "low rank": lambda a: (
        trained(len(a), 1, seed=5) * trained(1, a.size // len(a), seed=6)
    ).reshape(a.shape),
    "six decimals": lambda a: np.round(a, 6).astype(np.float32),
}  # fmt: skip


@pytest.mark.parametrize(
    "shape", [*SHAPES, (512, 2048), (64, 1, 4, 4), (16, 16), (1000, 64), (64, 15), (2, 700)]
)
@pytest.mark.parametrize("name", LEGITIMATE)
def test_ratios_of_trained_weights(name: str, shape: tuple[int, ...]) -> None:
    for seed in range(4):
        assert not is_rounded(LEGITIMATE[name](trained(*shape, seed=seed)))


def test_a_model_with_equalized_weights_is_refused(tmp_path: Path) -> None:
    writer = Writer()
    writer.const("w", equalized(8)(graph_writer.weight()))
    with pytest.raises(ModelError, match="was quantized and converted back to float32"):
        load_model(save(tmp_path, graph_writer.model(writer)))
