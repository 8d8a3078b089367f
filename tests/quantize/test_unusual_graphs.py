"""Outputs, constants and operators that are rare: they work, or one sentence says why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant import Recipe
from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import Quantizer, load_model
from pytest_kycquant.quantize.sensitivity import _Seed
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.opsets import draw, of_nodes
from tests.worlds.zoo import images, save

SHAPE = (1, 3, 16, 16)
RECIPES = {
    "int8": Recipe("int8", rewrites=False),
    "mixed": Recipe("mixed", keep_fp32=("first",), rewrites=False),
    "int8-dynamic": Recipe("int8-dynamic", rewrites=False),
    "int8-weights": Recipe("int8-weights", rewrites=False),
    "fp16": Recipe("fp16", rewrites=False),
}
node = helper.make_node
info = helper.make_tensor_value_info
FLOAT = TensorProto.FLOAT


def model(*between: onnx.NodeProto, opset: int = 17, **weights: Any) -> onnx.ModelProto:
    """Two convolutions; the second reads `u`, which operators in between make from `t`."""
    rng = np.random.default_rng(0)
    own = {"w1": draw(rng, 16, 3, 3, 3), "w2": draw(rng, 24, 16, 1, 1)}
    nodes = [
        node("Conv", ["input", "w1"], ["t"], "conv1", strides=[2, 2], pads=[1] * 4),
        *(between or [node("Relu", ["t"], ["u"], "relu")]),
        node("Conv", ["u", "w2"], ["v"], "conv2"),
        node("GlobalAveragePool", ["v"], ["p"], "pool"),
        node("Flatten", ["p"], ["output"], "flat"),
    ]
    return of_nodes(nodes, own | weights, opset)


def assert_quantizes(path: Path, precisions: list[str] | None = None) -> None:
    given = images(6, shape=SHAPE)
    session, quantizer = open_session(path), Quantizer(path, given)
    for precision in precisions or RECIPES:
        made = open_session(quantizer.build(RECIPES[precision]).content)
        for x in given[:3]:
            pairs = zip(*(s.run(None, {"input": x}) for s in (session, made)), strict=True)
            for a, b in pairs:
                assert (a.shape, a.dtype) == (b.shape, b.dtype)
                error = np.abs(np.subtract(a, b, dtype=np.float64)).mean()
                assert error < 0.1 * max(np.abs(a.astype(np.float64)).mean(), 1e-9), precision


def with_constants() -> onnx.ModelProto:
    """A weight and a table of anchors are outputs, too."""
    proto = model(anchors=draw(np.random.default_rng(1), 5, 4))
    proto.graph.output.append(info("w2", FLOAT, [24, 16, 1, 1]))
    proto.graph.output.append(info("anchors", FLOAT, [5, 4]))
    return proto


def with_choices() -> onnx.ModelProto:
    proto = model(zero=np.float32(1e4))
    proto.graph.node.append(node("Greater", ["output", "zero"], ["yes"], "over"))
    proto.graph.output.append(info("yes", TensorProto.BOOL, ["rows", "columns"]))
    return proto


def without_shape() -> onnx.ModelProto:
    proto = model()
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


@pytest.mark.parametrize("make", [with_constants, with_choices, without_shape])
def test_outputs_of_any_kind(tmp_path: Path, make: Any) -> None:
    path = save(tmp_path, make())
    assert load_model(path).proto == make()
    assert_quantizes(path)


def test_rows_that_depend_on_the_image(tmp_path: Path) -> None:
    """A variant may find another number of them; ranges are searched all the same."""
    proto = model(limit=np.float32(0.02))
    proto.graph.node.extend(
        [
            node("Greater", ["output", "limit"], ["over"], "over"),
            node("NonZero", ["over"], ["rows"], "rows"),
        ]
    )
    proto.graph.output.append(info("rows", TensorProto.INT64, [2, "found"]))
    path = save(tmp_path, proto)
    for count in (0, 1):
        nothing = numpy_helper.from_array(np.float32([0.02, 1e9][count]), "limit")
        changed = onnx.load(path)
        changed.graph.initializer[-1].CopyFrom(nothing)
        quantizer = Quantizer(save(tmp_path, changed), images(6, shape=SHAPE))
        assert quantizer.build("int8").quantized["Conv"] == 2


def test_outputs_of_another_number_of_rows_have_one_size() -> None:
    seed = _Seed(0)
    first = seed.draw(np.full((1, 5, 85), 2, np.float32))
    second = seed.draw(np.full((1, 9, 85), 2, np.float32))
    np.testing.assert_allclose(np.abs(first), 0.5)
    np.testing.assert_allclose(np.abs(second), 0.5)


def text() -> onnx.ModelProto:
    proto = model()
    proto.graph.node.append(node("Cast", ["output"], ["said"], "cast", to=TensorProto.STRING))
    proto.graph.output.append(info("said", TensorProto.STRING, ["rows", "columns"]))
    return proto


def twice() -> onnx.ModelProto:
    proto = model()
    proto.graph.output.append(proto.graph.output[0])
    return proto


def passed_on() -> onnx.ModelProto:
    proto = model()
    proto.graph.output.append(info("input", FLOAT, SHAPE))
    return proto


def training(outputs: int, opset: int, **given: int) -> onnx.ModelProto:
    written = ["u", "o1", "o2", "o3", "o4"][:outputs]
    norm = node("BatchNormalization", ["t", "s", "b", "s", "s"], written, "norm", **given)
    return model(norm, opset=opset, s=np.ones(16, np.float32), b=np.zeros(16, np.float32))


BY_BATCH = "is not a function of its image: BatchNormalization 'norm' normalizes by the batch"
REFUSED = {
    "text": (text, "output 'said' is text, which nothing can be compared with; export"),
    "twice": (twice, "output 'output' occurs twice; export the model without that output"),
    "input": (passed_on, "output 'input' is its input; export the model without that output"),
    "training": (lambda: training(3, 17, training_mode=1), BY_BATCH),
    "training of old": (lambda: training(5, 9), BY_BATCH),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_gated_is_refused(tmp_path: Path, case: str) -> None:
    make, said = REFUSED[case]
    with pytest.raises(ModelError, match=said):
        load_model(save(tmp_path, make()))


def bfloat16(array: np.ndarray) -> onnx.TensorProto:
    """The upper halves of float32."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16
    return helper.make_tensor(
        "low", TensorProto.BFLOAT16, array.shape, bits.astype(np.uint16).tobytes(), raw=True
    )


def test_weights_in_bfloat16_are_refused_with_a_way_out(tmp_path: Path) -> None:
    proto = model()
    stored = bfloat16(numpy_helper.to_array(proto.graph.initializer[0]))
    proto.graph.initializer[0].CopyFrom(stored)
    proto.graph.node.insert(0, node("Cast", ["low"], ["w1"], "cast", to=FLOAT))
    said = (
        "is not FP32: weight 'low' has 16 bits (bfloat16); give the FP32 model from which it was "
        "made, or the trained weights cast to float32 if there is no such model"
    )
    with pytest.raises(ModelError, match=re.escape(said)):
        load_model(save(tmp_path, proto))
    del proto.graph.node[0]
    bits = np.frombuffer(stored.raw_data, np.uint16).astype(np.uint32) << 16
    cast = bits.view(np.float32).reshape(stored.dims)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(cast, "w1"))
    assert load_model(save(tmp_path, proto)).half_precision == ""  # w2 is not


def test_an_operator_without_half_precision_stays_in_fp32(tmp_path: Path) -> None:
    path = save(tmp_path, model(node("Celu", ["t"], ["u"], "celu", alpha=0.5)))
    assert_quantizes(path, ["fp16"])
    made = Quantizer(path, images(2, shape=SHAPE)).build(RECIPES["fp16"])
    assert made.resolved["blocked_op_types"] == "Celu"


def loop() -> onnx.ModelProto:
    weight = numpy_helper.from_array(draw(np.random.default_rng(2), 16, 16, 3, 3), "inner")
    body = helper.make_graph(
        [
            node("Conv", ["a", "inner"], ["c"], "in_loop", pads=[1] * 4),
            node("Tanh", ["c"], ["b"], "tanh"),
            node("Identity", ["go"], ["on"], "on"),
        ],
        "body",
        [
            info("i", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("a", FLOAT, None),
        ],
        [info("on", TensorProto.BOOL, []), info("b", FLOAT, None)],
        [weight],
    )
    return model(node("Loop", ["n", "", "t"], ["u"], "loop", body=body), n=np.array(2))


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int8-weights"])
def test_weights_within_a_loop_are_reported(tmp_path: Path, precision: str) -> None:
    quantizer = Quantizer(save(tmp_path, loop()), images(4, shape=SHAPE))
    assert quantizer.build(RECIPES[precision]).notes[-1] == (
        "1 Conv with 2,304 of 3,120 weights was not quantized: within a subgraph (If, Loop, Scan)"
    )


def attention(mask: np.ndarray | None, opset: int) -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    named = {} if mask is None else {"mask": mask}
    between = [
        node("Reshape", ["t", "rows"], ["r"], "rows"),
        node("Transpose", ["r"], ["s"], "turn", perm=[0, 2, 1]),
        *(node("MatMul", ["s", f"w{each}"], [each], each) for each in "qk"),
        node(
            "Attention", ["q", "k", "k", *named], ["a"], "attention", q_num_heads=2,
            kv_num_heads=2,
        ),
        node("RMSNormalization", ["a", "gain"], ["n"], "norm"),
        *([node("Swish", ["n"], ["g"], "act")] if opset == 24 else [node("Gelu", ["n"], ["g"])]),
        node("Transpose", ["g"], ["gt"], "back", perm=[0, 2, 1]),
        node("Reshape", ["gt", "map"], ["u"], "map"),
    ]  # fmt: skip
    weights = {"wq": draw(rng, 16, 16), "wk": draw(rng, 16, 16), "gain": 1 + draw(rng, 16)}
    shapes = {"rows": np.array([1, 16, 64]), "map": np.array([1, 16, 8, 8])}
    return model(*between, opset=opset, **weights, **shapes, **named)


FUTURE = np.triu(np.ones((64, 64), bool), 1)
MASKS = {
    "none": (None, 23),
    "minus infinity": (np.where(FUTURE, -np.inf, 0).astype(np.float32), 24),
    "choices": (~FUTURE, 25),
}


@pytest.mark.skipif(onnx.defs.onnx_opset_version() < 25, reason="needs a later onnx")
@pytest.mark.parametrize("name", MASKS)
def test_the_attention_of_onnx(tmp_path: Path, name: str) -> None:
    """onnxruntime's dynamic quantizer takes it for its own Attention, with other inputs."""
    assert_quantizes(save(tmp_path, attention(*MASKS[name])), ["int8", "int8-dynamic", "fp16"])
