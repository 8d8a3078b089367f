"""Float32 weights that went through a quantizer are told from trained ones by their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from pytest_kycquant.quantize.rounding_check import rounded_share
from tests.worlds import graph_writer, scenery
from tests.worlds.graph_writer import Writer
from tests.worlds.rounding import Array, cut, halved, is_rounded, per_channel, trained
from tests.worlds.zoo import save, tiny_embedder

NORMAL_FLOAT = np.array([-1, -.7, -.53, -.39, -.28, -.18, -.09, 0, .08, .16, .25, .34, .44, .56,
                         .72, 1])  # fmt: skip


def per_tensor(array: Array) -> Array:
    scale = np.float32(np.abs(array).max() / 127)
    return np.round(array / scale).astype(np.float32) * scale


def asymmetric(array: Array) -> Array:
    low, high = array.min(), array.max()
    scale = np.float32((high - low) / 255)
    zero = np.round(-low / scale)
    return (np.clip(np.round(array / scale) + zero, 0, 255) - zero).astype(np.float32) * scale


def blocks(levels: Array, size: int) -> Callable[[Array], Array]:
    """Each block has a scale of its own, and its values are among the levels."""

    def rounded(array: Array) -> Array:
        flat = array.reshape(-1, size)
        scale = np.abs(flat).max(axis=1, keepdims=True)
        found = levels[np.abs((flat / scale)[..., None] - levels).argmin(-1)]
        return (found * scale).astype(np.float32).reshape(array.shape)

    return rounded


def last_axis(rounded: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda array: np.ascontiguousarray(
        np.moveaxis(rounded(np.moveaxis(array, -1, 0)), 0, -1)
    )


def eight_bit_float(array: Array) -> Array:
    """Three bits of mantissa."""
    fraction, exponent = np.frexp(array)
    return np.ldexp(np.round(fraction * 16) / 16, exponent).astype(np.float32)


ROUNDED = {
    "8 bits per channel": per_channel(8),
    "7 bits per channel": per_channel(7),
    "4 bits per channel": per_channel(4),
    "1.6 bits": per_channel(2),
    "8 bits per tensor": per_tensor,
    "8 bits, asymmetric": asymmetric,
    "last axis": last_axis(per_channel(8)),
    "4 bits in blocks": blocks(np.arange(-8, 8) / 8, 32),
    "normal float": blocks(NORMAL_FLOAT, 64),
    "8 bits in blocks": blocks(np.arange(-127, 128) / 127, 32),
    "float8": eight_bit_float,
    "pruned and 8 bits": lambda a: per_channel(8)(a)
    * (np.random.default_rng(1).random(a.shape) > 0.6).astype(np.float32),
    "batch norm folded behind": lambda a: per_channel(8)(a) * trained(len(a), 1, 1, 1, seed=3),
}  # fmt: skip
SHAPES = [(32, 16, 3, 3), (64, 64, 1, 1), (8, 3, 3, 3), (256, 512, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ROUNDED)
def test_rounded(name: str, shape: tuple[int, ...]) -> None:
    if "blocks" in name or "normal" in name:
        shape = (32, 64, 3, 3)
    elif name == "last axis":  # that of the outputs of a MatMul
        shape = (int(np.prod(shape[1:])), shape[0])
    assert is_rounded(ROUNDED[name](trained(*shape)))


@pytest.mark.parametrize("shape", [(-1, 1), (1, -1), (1, 1, -1), (-1, 1, 1, 1)])
@pytest.mark.parametrize("name", sorted(set(ROUNDED) - {"last axis"}))
def test_rounded_and_stored_as_one_row_or_column(name: str, shape: tuple[int, ...]) -> None:
    """A Reshape gives the weight its channels back."""
    assert is_rounded(ROUNDED[name](trained(32, 64, 3, 3)).reshape(shape))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("order", [(2, 1, 3, 0), (3, 1, 0, 2), (2, 3, 1, 0), (1, 0, 2, 3)])
@pytest.mark.parametrize("shape", [(256, 128, 1, 1), (64, 32, 3, 3)])
def test_rounded_and_stored_in_another_order(
    shape: tuple[int, ...], order: tuple[int, ...], bits: int
) -> None:
    """A Transpose gives the weight its order back."""
    assert is_rounded(np.ascontiguousarray(per_channel(bits)(trained(*shape)).transpose(order)))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("batch", [(1,), (1, 1), (12,), (2, 8)])
def test_rounded_columns_of_a_batch_of_matrices(batch: tuple[int, ...], bits: int) -> None:
    """A MatMul has its outputs along the last axis."""
    columns = per_channel(bits)(trained(48, int(np.prod(batch)) * 64))
    assert is_rounded(np.ascontiguousarray(columns.T).reshape(*batch, 64, 48))


ONE_LINE = [(512, 1), (1, 512), (128, 1, 1, 1), (1, 32, 3, 3)]


@pytest.mark.parametrize(
    "shape",
    [
        *SHAPES,
        *ONE_LINE,
        (512, 25088),
        (64, 1, 4, 4),
        (2, 100),
        (100, 2),
        (1, 64, 48),
        (12, 64, 48),
    ],
)
@pytest.mark.parametrize("how", ["float32", "float16", "bfloat16", "pruned", "uniform", "laplace"])
def test_trained(how: str, shape: tuple[int, ...]) -> None:
    array = trained(*shape)
    if how == "float16":
        array = array.astype(np.float16).astype(np.float32)
    elif how == "bfloat16":
        array = (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    elif how == "pruned":
        array *= np.random.default_rng(1).random(shape) > 0.9
    elif how == "uniform":
        array = np.random.default_rng(2).uniform(-0.1, 0.1, shape).astype(np.float32)
    elif how == "laplace":
        array = np.random.default_rng(2).laplace(0, 1e-3, shape).astype(np.float32)
    assert not is_rounded(array)


@pytest.mark.parametrize("shape", [(4, 1, 3, 3), (8,), (), (4, 4), (0, 64)])
def test_too_small_to_tell(shape: tuple[int, ...]) -> None:
    assert (
        is_rounded(per_channel(8)(trained(*shape)) if len(shape) > 2 else trained(*shape)) is None
    )


def changed(change: Callable[[Array], Array], *names: str) -> object:
    proto = tiny_embedder()
    for tensor in proto.graph.initializer:
        if tensor.name in names:
            array = change(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(array, np.float32), tensor.name))
    return proto


def test_a_model_that_was_quantized_and_converted_back(tmp_path: Path) -> None:
    proto = changed(per_tensor, "w1", "w2", "w3", "w4")
    with pytest.raises(ModelError, match="was quantized and converted back to float32: 100 % of"):
        load_model(save(tmp_path, proto))


def with_plain(array: Array, extra: Array) -> object:
    """A model whose weight is the sum of two arrays: one large, one to be looked at."""
    writer = Writer()
    writer.const("plain", array)
    writer.const("extra", extra)
    writer.node("Concat", ["plain", "extra"], "w", axis=0)
    return graph_writer.model(writer)


def test_a_few_rounded_weights_are_legitimate(tmp_path: Path) -> None:
    """Filters for blurring and tables of integers are rounded by design."""
    plain, extra = (
        graph_writer.weight((40, 8, 3, 3)),
        per_channel(8)(graph_writer.weight((8, 8, 3, 3))),
    )
    load_model(save(tmp_path, with_plain(plain, extra)))


def test_a_large_float_layer_does_not_hide_rounded_ones(tmp_path: Path) -> None:
    plain, extra = (
        graph_writer.weight((16, 8, 3, 3)),
        per_channel(8)(graph_writer.weight((8, 8, 3, 3))),
    )
    with pytest.raises(ModelError, match=r"converted back to float32: 3[0-9] % .* such as 'w'"):
        load_model(save(tmp_path, with_plain(plain, extra)))


@pytest.mark.parametrize("every", [2, 3])
@pytest.mark.parametrize("name", ["8 bits per channel", "4 bits per channel", "float8"])
@pytest.mark.parametrize("shape", [(32, 16, 3, 3), (64, 64, 1, 1), (128, 64)])
def test_some_channels_of_a_weight(shape: tuple[int, ...], name: str, every: int) -> None:
    """Float channels between them hide nothing; other traces may take all of it for rounded."""
    array = trained(*shape)
    array[::every] = ROUNDED[name](array)[::every]
    share = rounded_share(array)
    assert share is not None
    assert share >= 1 / every - 0.05


def test_a_model_with_half_of_the_channels_of_each_weight_rounded(tmp_path: Path) -> None:
    array = graph_writer.weight()
    array[::2] = per_channel(8)(array)[::2]
    writer = Writer()
    writer.const("w", array)
    with pytest.raises(ModelError, match=r"converted back to float32: 4[0-9] % of its weights"):
        load_model(save(tmp_path, graph_writer.model(writer)))


def test_weights_of_one_name_in_two_branches(tmp_path: Path) -> None:
    def branch(name: str, array: Array) -> onnx.GraphProto:
        conv = helper.make_node("Conv", ["x", "k"], [name], kernel_shape=[3, 3])
        info = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        kernel = numpy_helper.from_array(array.astype(np.float32), "k")
        return helper.make_graph([conv], name, [], [info], [kernel])

    array = graph_writer.weight()
    writer = Writer()
    writer.node("ReduceMean", ["x"], "mean", keepdims=0)
    writer.node("Greater", ["mean", writer.const("zero", np.float32(0))], "bright")
    branches = {"then_branch": branch("a", array), "else_branch": branch("b", per_tensor(array))}
    writer.node("If", ["bright"], "map", **branches)
    writer.const("w", graph_writer.weight((16, 8, 1, 1), 3))
    proto = graph_writer.model(writer)
    reader = next(node for node in proto.graph.node if node.name == "reader")
    reader.attribute[0].ints[:] = [1, 1]
    with pytest.raises(ModelError, match=r"converted back to float32: 4[0-9] % .* such as 'k'"):
        load_model(save(tmp_path, proto))


def test_filters_that_people_write_are_legitimate(tmp_path: Path) -> None:
    """Averages, differences of few channels and choices of channels, with a value for each."""
    average = np.zeros((24, 3, 8, 8), np.float32)
    average[np.arange(24), np.arange(24) % 3] = np.linspace(0.1, 2, 24)[:, None, None]
    choice = np.eye(24, dtype=np.float32)[:, :, None, None] * np.linspace(1, 3, 24)[:, None, None]
    for array in (average, choice, np.kron(choice, np.ones((1, 1, 2, 2)))):
        assert is_rounded(array.astype(np.float32)) is None
    load_model(save(tmp_path, scenery.detector()))
    load_model(save(tmp_path, scenery.detector(fragile=True)))


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_one_bit_as_floats_is_not_a_mask(tmp_path: Path, low: float) -> None:
    writer = Writer()
    signs = np.where(graph_writer.weight() > 0, 1, low).astype(np.float32)
    writer.const("half", np.float32(0.5))
    writer.node("Sub", [writer.const("bits", signs), "half"], "w")
    with pytest.raises(ModelError, match="converted back to float32"):
        load_model(save(tmp_path, graph_writer.model(writer)))


def test_a_mask_of_zeros_and_ones_is_legitimate(tmp_path: Path) -> None:
    writer = Writer()
    writer.const("float", graph_writer.weight())
    writer.const("mask", (graph_writer.weight(seed=4) > 0).astype(np.float32))
    writer.node("Mul", ["float", "mask"], "w")
    load_model(save(tmp_path, graph_writer.model(writer)))


@pytest.mark.parametrize(
    ("change", "kind"),
    [(halved, "float16"), (lambda a: cut(a * 1e-6), "bfloat16"), (lambda a: a, "")],
)
def test_half_precision_is_noted(
    tmp_path: Path, change: Callable[[Array], Array], kind: str
) -> None:
    """It may be how the model was trained."""
    names = ("w1", "b1", "s1", "w2", "s2", "w3", "b3", "w4", "b4")
    model = load_model(save(tmp_path, changed(change, *names)))
    assert model.half_precision == kind
