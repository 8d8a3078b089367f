"""Which weights can saturate in 16 bits: counted in the file and compared with real kernels."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.quantize import Exposure, exposure_of
from pytest_kycquant.quantize.saturation import saturable_pairs
from pytest_kycquant.runtimes.environment import u8s8_saturates
from pytest_kycquant.runtimes.ort import EXACT_ENTRY, open_session
from tests.worlds import zoo

LARGEST = 255


def quantized(
    weight: NDArray[np.generic],
    kind: str = "Conv",
    activation: type[np.generic] = np.uint8,
    **attributes: int,
) -> onnx.ModelProto:
    """An operator between dequantizations, whose output is 255 where it is largest."""
    inputs = weight.shape[1] if kind == "Conv" or attributes.get("transB") else weight.shape[0]
    shape = [1, inputs]
    if kind == "Conv":
        shape = [1, inputs * attributes.get("group", 1), 6, 6]
    whole = np.abs(weight.astype(np.int64)).sum() / (len(weight) if inputs != len(weight) else 1)
    constants = {
        "one": np.float32(1),
        "zero": activation(0),
        "weight_zero": weight.dtype.type(0),
        "step": np.float32(max(whole, 1)),
        "w": weight,
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "one", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "one", "weight_zero"], ["wd"]),
        helper.make_node(kind, ["xd", "wd"], ["c"], **attributes),
        helper.make_node("QuantizeLinear", ["c", "step", "zero"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "step", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    opset = helper.make_opsetid("", 21 if activation is np.uint16 else 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def of_integers(weight: NDArray[np.generic], kind: str, **attributes: int) -> onnx.ModelProto:
    """The same as one operator that takes integers, as tools write it without QDQ."""
    model = quantized(weight, kind.removeprefix("QLinear"), **attributes)
    graph = model.graph
    first, last = graph.node[0], graph.node[-1]
    given = ["xq", "one", "zero", "w", "one", "weight_zero", "step", "zero"]
    del graph.node[:]
    graph.node.extend([first, helper.make_node(kind, given, ["cq"], **attributes), last])
    return model


def with_weights(size: int, places: tuple[int, ...], outputs: int = 16) -> NDArray[np.int8]:
    """(outputs, size), 127 in some places."""
    rows = np.zeros((outputs, size), np.int8)
    rows[:, places] = 127
    return rows


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([64, 64], 0),  # 255 * 128 fits
        ([65, 64], 1),  # 255 * 129 does not
        ([-64, -64], 0),
        ([-65, -64], 1),
        ([-128, 1], 0),
        ([127, -127], 0),  # with opposite signs, one product alone is the worst case
        ([0, 127, 127, 0], 0),  # not neighbours in a pair
        ([127, 127, 127, 127], 2),
        ([127, 127, 127], 1),  # the last one has no neighbour
    ],
)
def test_pairs(row: list[int], expected: int) -> None:
    assert saturable_pairs(np.array([row], np.int8)) == expected


FULL = np.full((16, 4, 3, 3), 127, np.int8)
HALF = np.full((16, 4, 3, 3), 64, np.int8)
SQUARE = np.full((8, 8), 127, np.int8)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (quantized(FULL), Exposure(1, 1, 288, 288)),
        (quantized(HALF), Exposure(1, 0, 288, 0)),  # 7 bits, as reduce_range makes them
        (quantized(FULL, activation=np.int8), Exposure(1, 1, 288, 288)),
        (quantized(FULL, activation=np.uint16), Exposure()),  # no integer kernel
        (quantized(FULL.astype(np.uint8)), Exposure()),  # kernels that do not saturate
        (quantized(np.full((8, 1, 3, 3), 127, np.int8), group=8), Exposure()),  # depthwise
        (quantized(np.full((16, 1, 3, 3), 127, np.int8), group=8), Exposure(1, 1, 64, 64)),
        (quantized(SQUARE, "Gemm", transB=1), Exposure(1, 1, 32, 32)),
        (quantized(SQUARE, "MatMul"), Exposure(1, 1, 32, 32)),
        (of_integers(FULL, "QLinearConv"), Exposure(1, 1, 288, 288)),
        (of_integers(HALF, "QLinearConv"), Exposure(1, 0, 288, 0)),
        (of_integers(FULL.astype(np.uint8), "QLinearConv"), Exposure()),
        (of_integers(FULL[:, :1], "QLinearConv", group=16), Exposure()),  # depthwise
        (of_integers(SQUARE, "QLinearMatMul"), Exposure(1, 1, 32, 32)),
        (zoo.tiny_embedder(), Exposure()),
    ],
)
def test_operators(model: onnx.ModelProto, expected: Exposure) -> None:
    assert exposure_of(model) == expected


def test_inner_dimension_of_matrix_products() -> None:
    """Neighbours are rows of the second factor, or columns with transB."""
    rows = with_weights(8, (2, 3))
    assert exposure_of(quantized(rows, "Gemm", transB=1)).saturable_pairs == 16
    assert exposure_of(quantized(np.ascontiguousarray(rows.T), "Gemm")).saturable_pairs == 16
    assert exposure_of(quantized(np.ascontiguousarray(rows.T), "MatMul")).saturable_pairs == 16
    apart = np.ascontiguousarray(with_weights(8, (1, 2)).T)
    assert exposure_of(quantized(apart, "MatMul")).saturable_pairs == 0


def test_dynamic_product() -> None:
    weight = numpy_helper.from_array(with_weights(8, (0, 1)).T.copy(), "w")
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "dynamic",
        [info("x", TensorProto.FLOAT, [1, 8])],
        [info("y", TensorProto.INT32, None)],
        [weight],
    )
    assert exposure_of(helper.make_model(graph)) == Exposure(1, 1, 64, 16)


def test_sums() -> None:
    assert Exposure(1, 1, 4, 2) + Exposure(2, 0, 5, 0) == Exposure(3, 1, 9, 2)


def answer(model: onnx.ModelProto, *, exact: bool) -> float:
    """The largest output for the largest input, where 255 is right."""
    session = open_session(model.SerializeToString(), exact=exact)
    shape = session.get_inputs()[0].shape
    (found,) = session.run(None, {"x": np.full(shape, LARGEST, np.float32)})
    return float(np.max(found)) / float(numpy_helper.to_array(model.graph.initializer[3]))


CONVOLUTIONS = [(8, 1, 1), (4, 3, 1), (3, 3, 1), (2, 3, 2)]  # channels of a group, side, groups


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("channels", "side", "groups"), CONVOLUTIONS)
def test_real_kernels(channels: int, side: int, groups: int, exact: bool) -> None:
    """The counted pairs are exactly those for which this CPU's kernels saturate.

    Nothing saturates on a CPU without saturation, or on any CPU with the option.
    """
    size = channels * side * side
    for places in combinations(range(size), 2):
        if places[1] - places[0] > 5:
            continue
        rows = with_weights(size, places).reshape(16, side, side, channels)
        model = quantized(np.ascontiguousarray(np.moveaxis(rows, -1, 1)), group=groups)
        lost = answer(model, exact=exact) < 0.9 * LARGEST
        saturates = u8s8_saturates() and not exact
        assert lost == (saturates and exposure_of(model).saturable > 0), places


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("places", [(0, 1), (2, 3), (1, 2), (0, 3)])
def test_real_kernels_of_integer_operators(places: tuple[int, ...], exact: bool) -> None:
    rows = with_weights(8, places)
    for kind, weight in (
        ("QLinearConv", rows.reshape(16, 8, 1, 1)),
        ("QLinearMatMul", np.ascontiguousarray(rows.T)),
    ):
        model = of_integers(weight, kind)
        right = answer(of_integers(weight.astype(np.uint8), kind), exact=exact)
        lost = answer(model, exact=exact) < 0.9 * right
        saturates = u8s8_saturates() and not exact
        assert lost == (saturates and exposure_of(model).saturable > 0)


@pytest.mark.parametrize("shape", [(8, 1, 3, 3), (32, 1, 5, 5)])
def test_real_depthwise_kernels_do_not_saturate(shape: tuple[int, ...]) -> None:
    model = quantized(np.full(shape, 127, np.int8), group=shape[0])
    assert answer(model, exact=False) > 0.99 * LARGEST


def test_full_weights_with_the_option() -> None:
    """The run that the report calls exact is exact on this CPU, whatever the CPU."""
    assert EXACT_ENTRY == ("session.x64quantprecision", "1")
    assert answer(quantized(FULL), exact=True) > 0.99 * LARGEST
    assert (answer(quantized(FULL), exact=False) < 0.9 * LARGEST) == u8s8_saturates()
