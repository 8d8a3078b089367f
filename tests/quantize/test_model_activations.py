"""Activations that are rounded inside an FP32 model are found; positions may be rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds.zoo import build_model, save

FLOAT, HALF, INT8, INT64 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.INT8,
    TensorProto.INT64,
)
OPSET = 17


def node(op_type: str, *inputs: str, out: str, **given: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, list(inputs), [out], out, **given)


CONSTANTS: dict[str, np.ndarray] = {
    "s": np.float32(0.4),
    "inverse": np.float32(2.5),
    "half": np.float32(0.5),
    "low": np.float32(-8),
    "high": np.float32(7),
    "tiny": np.float32(1e-6),
    "steps": np.float32(127),
    "channels": np.arange(1, 9, dtype=np.float32).reshape(1, 8, 1, 1),
}


def between(*nodes: onnx.NodeProto, first: str = "Conv", **more: np.ndarray) -> onnx.ModelProto:
    """A model of two convolutions, with operators that turn ``x`` into ``y`` between them."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "w2": rng.standard_normal((16, 8, 3, 3)).astype(np.float32),
        **CONSTANTS,
        **more,
    }
    graph = [
        node("Conv", "input", "w1", out="c1", kernel_shape=[3, 3]),
        node("Relu", "c1", out="x"),
        *nodes,
        node("Conv", "y", "w2", out="c2", kernel_shape=[3, 3]),
        node("GlobalAveragePool", "c2", out="p"),
        helper.make_node("Flatten", ["p"], ["output"], "flatten"),
    ]
    return build_model(graph, weights, shape=(1, 3, 16, 16), output=(1, 16), opset=OPSET)


def _branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
    info = helper.make_tensor_value_info(nodes[-1].output[0], FLOAT, None)
    return helper.make_graph(list(nodes), name, [], [info])


def _scan() -> onnx.NodeProto:
    """Rounds the channels one after another."""
    row = helper.make_tensor_value_info("row", FLOAT, [1, 14, 14])
    out = helper.make_tensor_value_info("out", FLOAT, [1, 14, 14])
    nodes = [node("Div", "row", "s", out="d"), node("Round", "d", out="r")]
    body = helper.make_graph([*nodes, node("Mul", "r", "s", out="out")], "body", [row], [out])
    return node(
        "Scan", "x", out="y", body=body, num_scan_inputs=1, scan_input_axes=[1],
        scan_output_axes=[1],
    )  # fmt: skip


ROUNDED: dict[str, list[onnx.NodeProto]] = {
    "learned step": [
        node("Div", "x", "s", out="d"),
        node("Clip", "d", "low", "high", out="c"),
        node("Round", "c", out="r"),
        node("Mul", "r", "s", out="y"),
    ],
    "by the inverse": [
        node("Mul", "x", "inverse", out="d"),
        node("Round", "d", out="r"),
        node("Div", "r", "inverse", out="y"),
    ],
    "a step per channel": [
        node("Div", "x", "channels", out="d"),
        node("Round", "d", out="r"),
        node("Mul", "r", "channels", out="y"),
    ],
    "without a scale": [node("Round", "x", out="y")],
    "floor of half more": [
        node("Div", "x", "s", out="d"),
        node("Add", "d", "half", out="h"),
        node("Floor", "h", out="r"),
        node("Mul", "r", "s", out="y"),
    ],
    "ceil": [node("Ceil", "x", out="r"), node("Mul", "r", "s", out="y")],
    "integers": [
        node("Div", "x", "s", out="d"),
        node("Cast", "d", out="r", to=INT8),
        node("Cast", "r", out="f", to=FLOAT),
        node("Mul", "f", "s", out="y"),
    ],
    "wide integers": [
        node("Cast", "x", out="r", to=INT64),
        node("Cast", "r", out="y", to=FLOAT),
    ],
    "half precision": [
        node("Cast", "x", out="r", to=HALF),
        node("Cast", "r", out="y", to=FLOAT),
    ],
    "bfloat16": [
        node("Cast", "x", out="r", to=TensorProto.BFLOAT16),
        node("Cast", "r", out="y", to=FLOAT),
    ],
    "operators in half precision": [
        node("Cast", "x", out="r", to=HALF),
        node("Relu", "r", out="q"),
        node("Cast", "q", out="y", to=FLOAT),
    ],
    "like another tensor": [
        node("Div", "x", "s", out="d"),
        node("Shape", "x", out="other"),
        node("CastLike", "d", "other", out="r"),
        node("CastLike", "r", "s", out="f"),
        node("Mul", "f", "s", out="y"),
    ],
    "like half precision": [
        node("Cast", "s", out="other", to=HALF),
        node("CastLike", "x", "other", out="r"),
        node("Cast", "r", out="y", to=FLOAT),
    ],
    "zero point": [
        node("Div", "x", "s", out="d"),
        node("Round", "d", out="r"),
        node("Add", "r", "high", out="a"),
        node("Clip", "a", "low", "steps", out="c"),
        node("Sub", "c", "high", out="b"),
        node("Mul", "b", "s", out="y"),
    ],
    "step of the image": [
        node("ReduceMax", "x", out="m", keepdims=0),
        node("Div", "m", "steps", out="e"),
        node("Max", "e", "tiny", out="step"),
        node("Div", "x", "step", out="d"),
        node("Round", "d", out="r"),
        node("Mul", "r", "step", out="y"),
    ],
    "straight through": [
        node("Round", "x", out="r"),
        node("Sub", "r", "x", out="rest"),
        node("Add", "x", "rest", out="y"),
    ],
    "straight through, the other way": [
        node("Round", "x", out="r"),
        node("Sub", "x", "r", out="rest"),
        node("Sub", "x", "rest", out="y"),
    ],
    "remainder": [
        node("Mod", "x", "s", out="rest", fmod=1),
        node("Sub", "x", "rest", out="y"),
    ],
    "moved": [
        node("Round", "x", out="r"),
        node("Transpose", "r", out="t", perm=[0, 1, 3, 2]),
        node("MaxPool", "t", out="m", kernel_shape=[2, 2]),
        node("Relu", "m", out="y"),
    ],
    "one of two": [
        node("Round", "x", out="r"),
        node("Slice", "r", "zero", "four", "one", out="a"),
        node("Slice", "x", "four", "eight", "one", out="b"),
        node("Concat", "a", "b", out="y", axis=1),
    ],
    "in a branch": [
        node(
            "If", "yes", out="y",
            then_branch=_branch("then", node("Round", "x", out="then_y")),
            else_branch=_branch("else", node("Identity", "x", out="else_y")),
        ),
    ],
    "like another tensor of a branch": [
        node(
            "If", "yes", out="y",
            then_branch=_branch(
                "then",
                node("Cast", "s", out="other", to=INT8),
                node("CastLike", "x", "other", out="r"),
                node("CastLike", "r", "x", out="then_y"),
            ),
            else_branch=_branch("else", node("Identity", "x", out="else_y")),
        ),
    ],
    "in a scan": [_scan()],
}  # fmt: skip
MORE = {
    "zero": np.array([0]), "four": np.array([4]), "eight": np.array([8]), "one": np.array([1]),
    "yes": np.array(True),
}  # fmt: skip


def runs(proto: onnx.ModelProto) -> None:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    session.run(None, {"input": np.ones((1, 3, 16, 16), np.float32)})


def refused(folder: Path, proto: onnx.ModelProto) -> str:
    with pytest.raises(ModelError, match="rounds activations that") as caught:
        load_model(save(folder, proto))
    assert caught.value.remedy == "give the FP32 model from which it was made"
    return caught.value.problem


@pytest.mark.parametrize("name", ROUNDED)
def test_rounded_activations_are_refused(tmp_path: Path, name: str) -> None:
    proto = between(*ROUNDED[name], **MORE)
    if name != "bfloat16":  # which onnxruntime does not cast on every CPU
        runs(proto)
    assert refused(tmp_path, proto).endswith("that Conv 'c2' reads")


@pytest.mark.parametrize(
    ("between_them", "constants"),
    [
        *(
            (name, ())
            for name in ("Elu", "Selu", "Celu", "ThresholdedRelu", "Softplus", "Softsign")
        ),
        *((name, ()) for name in ("Erf", "MeanVarianceNormalization", "LpNormalization")),
        ("InstanceNormalization", ("ones", "ones")),
        ("BatchNormalization", ("ones", "ones", "ones", "ones")),
        ("LayerNormalization", ("row",)),
        *((name, ("half",)) for name in ("Pow", "Mean", "Min")),
    ],
)
def test_what_may_stand_between_rounding_and_a_layer(
    tmp_path: Path, between_them: str, constants: tuple[str, ...]
) -> None:
    more = {"ones": np.ones(8, np.float32), "row": np.ones(14, np.float32)}
    rounded = [node("Div", "x", "s", out="d"), node("Round", "d", out="r")]
    rounded.append(node("Mul", "r", "s", out="m"))
    proto = between(*rounded, node(between_them, "m", *constants, out="y"), **more)
    runs(proto)
    assert refused(tmp_path, proto).endswith("that Conv 'c2' reads")


def test_the_operator_that_rounds_is_named(tmp_path: Path) -> None:
    assert "Round 'r' rounds activations that Conv 'c2' reads" in refused(
        tmp_path, between(*ROUNDED["learned step"])
    )
    assert "Cast 'r' to float16 rounds" in refused(tmp_path, between(*ROUNDED["half precision"]))


def test_what_a_file_claims_of_a_type_is_not_believed(tmp_path: Path) -> None:
    proto = between(*ROUNDED["like another tensor"])
    proto.graph.value_info.append(helper.make_tensor_value_info("other", FLOAT, None))
    assert "Cast 'r' to int64 rounds" in refused(tmp_path, proto)


def test_an_unknown_type_is_not_believed_to_be_float(tmp_path: Path) -> None:
    like = node("Gelu", "x", out="other", domain="com.microsoft")
    proto = between(like, node("CastLike", "x", "other", out="r"), node("Relu", "r", out="y"))
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert "CastLike 'r' rounds" in refused(tmp_path, proto)


@pytest.mark.parametrize("reader", ["Gemm", "MatMul"])
def test_before_other_layers(tmp_path: Path, reader: str) -> None:
    proto = between(node("Identity", "x", out="y"), last=np.ones((16, 16), np.float32))
    proto.graph.node[-1].output[0] = "flat"
    proto.graph.node.append(node("Round", "flat", out="r"))
    proto.graph.node.append(node(reader, "r", "last", out="output"))
    runs(proto)
    refused(tmp_path, proto)


def test_in_a_local_function(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", OPSET)]
    body = [node("Div", "a", "b", out="d"), node("Round", "d", out="r")]
    body.append(node("Mul", "r", "b", out="q"))
    proto = between(node("Quantizer", "x", "s", out="y", domain="local"))
    proto.functions.append(
        helper.make_function("local", "Quantizer", ["a", "b"], ["q"], body, opsets)
    )
    proto.opset_import.append(helper.make_opsetid("local", 1))
    runs(proto)
    refused(tmp_path, proto)


LEGITIMATE: dict[str, list[onnx.NodeProto]] = {
    "a mask": [
        node("Greater", "x", "half", out="g"),
        node("Cast", "g", out="f", to=FLOAT),
        node("Mul", "x", "f", out="y"),
    ],
    "a hard mask": [
        node("Sigmoid", "x", out="soft"),
        node("Round", "soft", out="f"),
        node("Mul", "x", "f", out="y"),
    ],
    "a truth value as a number": [
        node("Cast", "x", out="g", to=TensorProto.BOOL),
        node("Cast", "g", out="f", to=FLOAT),
        node("Mul", "x", "f", out="y"),
    ],
    "interpolation by hand": [
        node("ReduceMean", "x", out="m", keepdims=1),
        node("Floor", "m", out="r"),
        node("Sub", "m", "r", out="fraction"),
        node("Mul", "x", "fraction", out="right"),
        node("Sub", "s", "fraction", out="rest"),
        node("Mul", "x", "rest", out="left"),
        node("Add", "right", "left", out="y"),
    ],
    "a choice of channels": [
        node("ReduceMean", "x", out="m", axes=[0, 2, 3], keepdims=0),
        node("Clip", "m", "none", "half", out="c"),
        node("Floor", "c", out="r"),
        node("Cast", "r", out="index", to=INT64),
        node("Gather", "x", "index", out="y", axis=1),
    ],
    "a size that is computed": [
        node("Shape", "x", out="shape"),
        node("Cast", "shape", out="f", to=FLOAT),
        node("Mul", "f", "scales", out="m"),
        node("Floor", "m", out="r"),
        node("Cast", "r", out="sizes", to=INT64),
        node("Resize", "x", "", "", "sizes", out="y", mode="nearest"),
    ],
    "the largest channel": [
        node("ArgMax", "x", out="a", axis=1, keepdims=1),
        node("Cast", "a", out="f", to=FLOAT),
        node("Mul", "f", "s", out="m"),
        node("Mul", "x", "m", out="y"),
    ],
    "normalized by the largest": [
        node("ReduceMax", "x", out="m", keepdims=1),
        node("Max", "m", "tiny", out="e"),
        node("Div", "x", "e", out="y"),
    ],
    "a mask like the activations": [
        node("Greater", "x", "half", out="g"),
        node("CastLike", "g", "x", out="f"),
        node("CastLike", "x", "f", out="x2"),
        node("Mul", "x2", "f", out="y"),
    ],
    "float64": [
        node("Cast", "x", out="d", to=TensorProto.DOUBLE),
        node("Cast", "d", out="y", to=FLOAT),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", LEGITIMATE)
def test_what_is_rounded_in_sound_models(tmp_path: Path, name: str) -> None:
    scales = np.array([1, 1, 1.3, 1.3], np.float32)
    proto = between(*LEGITIMATE[name], none=np.float32(0), scales=scales)
    runs(proto)
    load_model(save(tmp_path, proto))


def test_the_image_may_be_rounded(tmp_path: Path) -> None:
    """It consists of 8 bits anyway."""
    proto = between(node("Identity", "x", out="y"))
    proto.graph.node[0].input[0] = "pixels"
    proto.graph.node.insert(0, node("Round", "input", out="pixels"))
    runs(proto)
    load_model(save(tmp_path, proto))


def test_outputs_may_be_rounded(tmp_path: Path) -> None:
    """As boxes in pixels are."""
    proto = between(node("Identity", "x", out="y"))
    proto.graph.node[-1].output[0] = "flat"
    proto.graph.node.append(node("Round", "flat", out="r"))
    proto.graph.node.append(node("Mul", "r", "s", out="output"))
    runs(proto)
    load_model(save(tmp_path, proto))


def test_constants_may_be_made_by_rounding(tmp_path: Path) -> None:
    offsets = np.linspace(0, 3, 8, dtype=np.float32).reshape(1, 8, 1, 1)
    nodes = [node("Floor", "offsets", out="r"), node("Add", "x", "r", out="y")]
    load_model(save(tmp_path, between(*nodes, offsets=offsets)))
