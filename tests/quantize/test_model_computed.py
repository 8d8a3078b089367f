"""Weights that operators compute from constants are judged as the layer reads them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds.computed_disguises import COMPUTED, through_the_image
from tests.worlds.graph_writer import Disguise, Writer, in_function, model, weight, written
from tests.worlds.hostile_weights import HOSTILE
from tests.worlds.rounding import Array, cut, halved, is_rounded, trained
from tests.worlds.sound_weights import LEGITIMATE
from tests.worlds.zoo import save

READERS = {
    "Conv": (16, 8, 3, 3),
    "ConvTranspose": (8, 16, 3, 3),
    "depthwise": (32, 1, 3, 3),
    "Gemm": (8, 16),
    "MatMul": (8, 32),
    "Einsum": (8, 16),
    "LSTM": (1, 64, 8),
    "GRU": (1, 48, 8),
}


TRAINED: dict[str, Callable[[Array], Array]] = {
    "float32": lambda array: array,
    "float16": halved,
    "bfloat16": cut,
}


def runs(proto: onnx.ModelProto) -> None:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    session.run(None, {"input": np.ones((1, 3, 16, 16), np.float32)})


def refused(folder: Path, proto: onnx.ModelProto) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(save(folder, proto))
    return caught.value.problem


def quantized(folder: Path, proto: onnx.ModelProto) -> None:
    runs(proto)
    problem = refused(folder, proto)
    assert "was quantized and converted back" in problem or "already quantized" in problem


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", COMPUTED)
def test_computed_weights_are_refused(tmp_path: Path, name: str, reader: str) -> None:
    quantized(tmp_path, written(COMPUTED[name], weight(READERS[reader]), reader=reader))


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", COMPUTED)
def test_from_weights_that_were_trained_in_half_precision(
    tmp_path: Path, name: str, kind: str
) -> None:
    quantized(tmp_path, written(COMPUTED[name], TRAINED[kind](weight())))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
@pytest.mark.parametrize("name", COMPUTED)
def test_stored_in_half_precision(tmp_path: Path, name: str, kind: int) -> None:
    writer = Writer()
    COMPUTED[name](writer, weight())
    stored, writer.stored = writer.stored, []
    casts = []
    for tensor in stored:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.size == 1:
            writer.stored.append(tensor)
            continue
        writer.const(f"half_{tensor.name}", array, kind)
        casts.append(helper.make_node("Cast", [f"half_{tensor.name}"], [tensor.name], to=1))
    writer.nodes = casts + writer.nodes
    assert "is not FP32" in refused(tmp_path, model(writer))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", COMPUTED)
def test_computed_in_local_functions(tmp_path: Path, name: str, nested: bool) -> None:
    quantized(tmp_path, in_function(COMPUTED[name], nested=nested))


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_and_added_to_nothing_of_the_image(tmp_path: Path, name: str) -> None:
    quantized(tmp_path, written(through_the_image(COMPUTED[name]), weight()))


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", LEGITIMATE)
def test_computed_from_trained_weights(tmp_path: Path, name: str, reader: str, kind: str) -> None:
    array = TRAINED[kind](weight(READERS[reader]))
    load_model(save(tmp_path, written(LEGITIMATE[name], array, reader=reader)))


@pytest.mark.parametrize("name", LEGITIMATE)
def test_images_of_any_size(tmp_path: Path, name: str) -> None:
    proto = written(LEGITIMATE[name], weight())
    for place, axis in ((0, "batch"), (2, "height"), (3, "width")):
        proto.graph.input[0].type.tensor_type.shape.dim[place].dim_param = axis
    load_model(save(tmp_path, proto))


@pytest.mark.parametrize("name", sorted(LEGITIMATE.keys() - {"by the size of the image"}))
def test_trained_weights_in_functions(tmp_path: Path, name: str) -> None:
    load_model(save(tmp_path, in_function(LEGITIMATE[name])))


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_computed_is_refused(tmp_path: Path, name: str, inside: bool) -> None:
    disguise, reason = HOSTILE[name]
    start = time.process_time()
    proto = in_function(disguise) if inside else written(disguise, weight())
    problem = refused(tmp_path, proto)
    assert time.process_time() - start < 5  # s
    assert " of Conv is computed from constants and cannot be checked: " in problem
    assert reason in problem
    if not inside:
        assert "weight 'w'" in problem


def test_random_operators_are_refused_before(tmp_path: Path) -> None:
    writer = Writer()
    writer.const("float", weight())
    writer.node("RandomNormalLike", ["float"], "w")
    assert "is not a function of its image" in refused(tmp_path, model(writer))


def test_what_onnxruntime_cannot_compute_is_refused(tmp_path: Path) -> None:
    writer = Writer()
    writer.const("float", weight())
    writer.node("Gather", ["float", writer.const("far", np.arange(16) + 8)], "w")
    problem = refused(tmp_path, model(writer))
    assert "cannot be checked: fails (" in problem
    assert "out of data bounds" in problem


def test_operators_of_a_runtime_have_no_known_size(tmp_path: Path) -> None:
    writer = Writer()
    writer.node("Inverse", [writer.const("float", weight((8, 8)))], "w", domain="com.microsoft")
    proto = model(writer, reader="MatMul")
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert "how much Inverse computes is not known" in refused(tmp_path, proto)


def test_operators_that_mean_something_else_in_functions(tmp_path: Path) -> None:
    """Functions are expanded before weights are computed, which must not change what they do."""
    proto = in_function(LEGITIMATE["folded by hand"])
    for opset in proto.functions[0].opset_import:
        opset.version -= not opset.domain
    assert "is not compatible with the version" in refused(tmp_path, proto)


def test_the_weight_that_cannot_be_computed_is_named(tmp_path: Path) -> None:
    writer = Writer()
    HOSTILE["terabytes"][0](writer, weight())
    proto = model(writer)
    copy = helper.make_node("Identity", ["first"], ["first_copy"])
    proto.graph.node[0].input[1] = "first_copy"
    proto.graph.node.insert(0, copy)
    assert "weight 'w' of Conv" in refused(tmp_path, proto)


TOLD_IN_PARTS = sorted(COMPUTED.keys() - {"one bit, 0 and 1", "shuffled", "pairs", "cut out"})


@pytest.mark.parametrize("name", TOLD_IN_PARTS)
def test_half_of_the_channels(tmp_path: Path, name: str) -> None:
    """Joined with trained ones, which were stored as they are."""
    writer = Writer()
    COMPUTED[name](writer, weight((8, 8, 3, 3)))
    writer.nodes[-1].output[0] = "half"
    writer.node("Concat", ["half", writer.const("plain", weight((8, 8, 3, 3), 5))], "w", axis=0)
    quantized(tmp_path, model(writer))


def _branching(count: int) -> onnx.ModelProto:
    """Many subgraphs, each with a layer that reads the same constant through an operator."""

    def branch(name: str) -> onnx.GraphProto:
        nodes = [
            helper.make_node("Neg", ["float"], [f"kernel{name}"]),
            helper.make_node("Conv", ["x", f"kernel{name}"], [f"map{name}"], kernel_shape=[3, 3]),
        ]
        info = helper.make_tensor_value_info(f"map{name}", TensorProto.FLOAT, None)
        return helper.make_graph(nodes, name, [], [info])

    writer = Writer()
    writer.const("float", weight())
    writer.node("ReduceMean", ["x"], "mean", keepdims=0)
    writer.node("Greater", ["mean", writer.const("zero", np.float32(0))], "yes")
    for place in range(count):
        branches = {"then_branch": branch(f"{place}a"), "else_branch": branch(f"{place}b")}
        writer.node("If", ["yes"], f"unread{place}", **branches)
    writer.node("Identity", ["float"], "w")
    return model(writer)


def test_weights_of_branches(tmp_path: Path) -> None:
    load_model(save(tmp_path, _branching(2)))


def test_constants_that_many_branches_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be copied for each."""
    monkeypatch.setattr("pytest_kycquant.quantize.computed_weights._LEAST_BYTES", 0)
    assert "too large" in refused(tmp_path, _branching(20))


def _looped(disguise: Disguise) -> onnx.ModelProto:
    """The layer is in a Loop of one iteration, which gets its weight from outside."""
    proto = written(disguise, weight())
    place = next(i for i, node in enumerate(proto.graph.node) if node.name == "reader")
    float_, shape = TensorProto.FLOAT, (16, 8, 3, 3)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["kernel"], ["kernel_on"]),
            helper.make_node("Conv", ["x", "kernel"], ["map"], kernel_shape=[3, 3]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kernel", float_, shape),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kernel_on", float_, shape),
            helper.make_tensor_value_info("map", float_, [1, 16, 12, 12]),
        ],
    )
    del proto.graph.node[place]
    loop = helper.make_node("Loop", ["once", "", "w"], ["last", "maps"], body=body)
    squeeze = helper.make_node("Squeeze", ["maps", "front"], ["y"])
    proto.graph.node.insert(place, loop)
    proto.graph.node.insert(place + 1, squeeze)
    for name, array in (("once", np.int64(1)), ("front", np.array([0], np.int64))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return proto


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_outside_of_a_loop(tmp_path: Path, name: str) -> None:
    quantized(tmp_path, _looped(COMPUTED[name]))


@pytest.mark.parametrize("name", LEGITIMATE)
def test_trained_weights_of_a_loop(tmp_path: Path, name: str) -> None:
    load_model(save(tmp_path, _looped(LEGITIMATE[name])))


# One bit and ternary weights, as they are

BITS: dict[str, Callable[[Array], Array]] = {
    "one bit": lambda a: np.sign(a) * np.float32(0.1),
    "0 and 1": lambda a: (a > 0) * np.float32(0.3),
    "two values": lambda a: np.where(a > 0, np.float32(0.31), np.float32(-0.1)),
    "ternary": lambda a: np.sign(a) * (np.abs(a) > 0.5) * np.float32(0.1),
    "ternary, sparse": lambda a: np.sign(a) * (np.abs(a) > 1.2) * np.float32(0.1),
    "one bit per channel": lambda a: (
        np.sign(a) * np.abs(trained(len(a), *[1] * (a.ndim - 1), seed=1))
    ),
}
SHAPES = [(256, 2), (2, 256), (128, 4), (16, 8, 3, 3), (64, 1, 3, 3), (128, 2, 1, 1), (1, 64, 8)]


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", BITS)
def test_one_and_two_bits_in_any_shape(name: str, shape: tuple[int, ...], kind: str) -> None:
    for seed in range(4):
        array = BITS[name](trained(*shape, seed=seed)).astype(np.float32)
        assert is_rounded(TRAINED[kind](array))


def _classifier(array: Array) -> Array:
    """Trained with two classes, one column becomes the negative of the other."""
    return np.concatenate([array[..., :1], -array[..., :1]], axis=-1)


FREE: dict[str, Callable[[Array], Array]] = {
    "trained": lambda a: a,
    "pruned": lambda a: a * (trained(*a.shape, seed=9) > 1.3),
    "two classes": _classifier,
}


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("name", FREE)
def test_trained_weights_have_more_bits(name: str, kind: str) -> None:
    for shape in (*SHAPES, (16, 4), (10, 13), (512, 2)):
        for seed in range(20):
            assert not is_rounded(TRAINED[kind](FREE[name](trained(*shape, seed=seed))))


def test_filters_of_few_values_that_people_write() -> None:
    eye = np.eye(64, dtype=np.float32)
    around = np.eye(9)[[0, 1, 2, 3, 5, 6, 7, 8]] - np.eye(9)[4]
    for array in (
        eye[np.random.default_rng(0).permutation(64)],
        np.kron(np.eye(4), np.ones((16, 16))) / 16,
        eye - np.roll(eye, 1, 0),
        np.kron(np.eye(32), [[1, -1]]),
        np.tril(np.ones((32, 32))),
        np.indices((32, 32)).sum(0) % 2 * 2 - 1,
        np.tile(around, (8, 1)).reshape(64, 1, 3, 3),
        np.eye(4)[np.random.default_rng(0).integers(0, 4, 64)],
    ):
        assert is_rounded(array.astype(np.float32)) is None
