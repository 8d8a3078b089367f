"""Files that onnxruntime saved with its optimizations are quantized like the files before them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from pytest_kycquant import Recipe
from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import Quantizer, load_model
from pytest_kycquant.quantize.unfused import unfuse
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.opsets import draw, of_nodes
from tests.worlds.zoo import images, save

SHAPE = (1, 3, 16, 16)
LEVEL = ort.GraphOptimizationLevel
FAST = {"calibration_method": "minmax", "equalize": False, "bias_correction": False}
node = helper.make_node


def optimized(folder: Path, proto: onnx.ModelProto, level: ort.GraphOptimizationLevel) -> Path:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return folder / "optimized.onnx"


def convolutions() -> onnx.ModelProto:
    """Every activation that onnxruntime fuses with a Conv, and one that it fuses with a Gemm."""
    rng = np.random.default_rng(0)
    weights = {"lo": np.float32(-0.5), "hi": np.float32(0.7), "f1": draw(rng, 16, 8)}
    weights |= {"f2": draw(rng, 8, 12), "g1": draw(rng, 8)}
    acts = [("Relu", {}), ("LeakyRelu", {"alpha": 0.1}), ("Clip", {}), ("Sigmoid", {})]
    acts += [("Tanh", {}), ("HardSigmoid", {"alpha": 0.25, "beta": 0.4})]
    nodes, last = [], "input"
    for index, (kind, given) in enumerate(acts):
        weights[f"w{index}"] = draw(rng, 16, 16 if index else 3, 3, 3)
        weights[f"b{index}"] = draw(rng, 16)
        read = [last, f"w{index}", f"b{index}"]
        nodes.append(node("Conv", read, [f"c{index}"], f"conv{index}", pads=[1] * 4))
        read = [f"c{index}", *(["lo", "hi"] if kind == "Clip" else [])]
        nodes.append(node(kind, read, [f"a{index}"], f"act{index}", **given))
        last = f"a{index}"
    nodes += [
        node("Sigmoid", [last], ["gate"], "gate"),
        node("Mul", [last, "gate"], ["silu"], "silu"),
        node("GlobalAveragePool", ["silu"], ["p"], "pool"),
        node("Flatten", ["p"], ["f"], "flat"),
        node("Gemm", ["f", "f1", "g1"], ["h"], "fc1"),
        node("LeakyRelu", ["h"], ["hr"], "fc_act", alpha=0.2),
        node("Gemm", ["hr", "f2"], ["output"], "fc2"),
    ]
    return of_nodes(nodes, weights, 17)


def attention() -> onnx.ModelProto:
    """Scaled and transposed products, which become FusedMatMul, and a Gelu of three operators."""
    rng = np.random.default_rng(0)
    weights = {name: draw(rng, 32, 32) for name in ("wq", "wk", "wv", "wo")}
    weights |= {"w": draw(rng, 32, 3, 4, 4), "shape": np.array([1, 32, 16])}
    weights |= {"scale": np.float32(0.3), "k": np.float32(1.702), "mean": np.array([1])}
    nodes = [
        node("Conv", ["input", "w"], ["c"], "patch", strides=[4, 4]),
        node("Reshape", ["c", "shape"], ["cr"], "tokens"),
        node("Transpose", ["cr"], ["t"], "turn", perm=[0, 2, 1]),
        *(node("MatMul", ["t", f"w{each}"], [each], each) for each in "qkv"),
        node("Transpose", ["k"], ["kt"], "kt", perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["qk"], "qk"),
        node("Mul", ["qk", "scale"], ["qs"], "scaled"),
        node("Softmax", ["qs"], ["sm"], "softmax"),
        node("MatMul", ["sm", "v"], ["sv"], "sv"),
        node("MatMul", ["sv", "wo"], ["o"], "o"),
        node("Mul", ["o", "k_"], ["ok"], "gelu1"),
        node("Sigmoid", ["ok"], ["og"], "gelu2"),
        node("Mul", ["o", "og"], ["g"], "gelu3"),
        node("ReduceMean", ["g", "mean"], ["output"], "mean", keepdims=0),
    ]
    weights["k_"] = weights.pop("k")
    return of_nodes(nodes, weights, 18)


MODELS = {"convolutions": convolutions, "attention": attention}
FUSED = {
    "convolutions": {"FusedConv", "FusedGemm", "QuickGelu"},
    "attention": {"FusedMatMul", "QuickGelu"},
}
RECIPES = {
    "int8": Recipe("int8", rewrites=False, **FAST),
    "mixed": Recipe("mixed", rewrites=False, keep_fp32=("first",), **FAST),
    "int8-dynamic": Recipe("int8-dynamic", rewrites=False),
    "int8-weights": Recipe("int8-weights", rewrites=False),
    "fp16": Recipe("fp16", rewrites=False),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_was_fused_is_quantized(tmp_path: Path, name: str) -> None:
    proto = MODELS[name]()
    given = images(4, shape=SHAPE)
    before = Quantizer(save(tmp_path, proto), given)
    path = optimized(tmp_path, proto, LEVEL.ORT_ENABLE_EXTENDED)
    fused = {n.op_type for n in onnx.load(path).graph.node if n.domain == "com.microsoft"}
    assert fused, "onnxruntime fuses other operators: adapt the model"
    assert fused <= FUSED[name]
    after = Quantizer(path, given)
    assert after.prepared.max_difference < 1e-5
    assert not {n.op_type for n in after.prepared.proto.graph.node} & fused
    session = open_session(path)
    for precision, recipe in RECIPES.items():
        made = after.build(recipe)
        weighted = {k: n for k, n in made.quantized.items() if k in ("Conv", "Gemm", "MatMul")}
        known = before.build(recipe).quantized
        assert weighted == {k: n for k, n in known.items() if k in weighted}
        assert not [note for note in made.notes if "not quantized" in note]
        variant = open_session(made.content)
        for x in given:
            (a,), (b,) = session.run(None, {"input": x}), variant.run(None, {"input": x})
            assert np.abs(a - b).mean() < 0.15 * np.abs(a).mean(), precision


def fused(op_type: str, given: dict, inputs: int = 2) -> onnx.ModelProto:
    """One fused operator, written by hand, behind a Conv and before a Flatten."""
    rng = np.random.default_rng(1)
    weights = {"w0": draw(rng, 8, 3, 2, 2), "b": draw(rng, 8)}
    weights["w"] = draw(rng, 8, 8, 1, 1) if op_type == "FusedConv" else draw(rng, 8, 8)
    read = ["c", "w", "b", "z"][:inputs]
    nodes = [
        node("Conv", ["input", "w0"], ["c"], "conv", strides=[2, 2]),
        *([node("Sigmoid", ["c"], ["z"], "gate")] if inputs > 3 else []),
        node(op_type, read, ["u"], "fused", domain="com.microsoft", **given),
        node("Flatten", ["u"], ["output"], "flat"),
    ]
    proto = of_nodes(nodes, weights, 17)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


CASES = {
    "sum and activation": fused("FusedConv", {"activation": "Relu"}, 4),
    "sum alone": fused("FusedConv", {}, 4),
    "leaky": fused("FusedConv", {"activation": "LeakyRelu", "activation_params": [0.3]}, 3),
    "nothing": fused("FusedConv", {}),
    "transposed weight": fused("FusedMatMul", {"transB": 1, "alpha": 0.5}),
    "transposed input": fused("FusedMatMul", {"transA": 1}),
}


WRONG_SUM = ort.__version__.startswith("1.20.")  # optimized, it leaves out what is to be added


@pytest.mark.parametrize("case", [c for c in CASES if not (WRONG_SUM and c.startswith("sum"))])
def test_the_parts_compute_the_same(tmp_path: Path, case: str) -> None:
    proto = CASES[case]
    given = images(3, shape=SHAPE)
    quantizer = Quantizer(save(tmp_path, proto), given)
    graph = quantizer.prepared.proto.graph
    assert not [n.op_type for n in graph.node if n.domain]
    assert "fused" in {n.name for n in graph.node}
    before = open_session(proto.SerializeToString())
    after = open_session(quantizer.prepared.proto.SerializeToString())
    for x in given:
        (a,), (b,) = (s.run(None, {"input": x}) for s in (before, after))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert sum(quantizer.build(RECIPES["int8-weights"]).quantized.values()) == 2


@pytest.mark.parametrize(
    ("op_type", "given"),
    [
        ("FusedMatMul", {"transBatchA": 1, "transBatchB": 0}),
        ("FusedConv", {"activation": "Softsign_of_tomorrow"}),
        ("FusedConv", {"activation": "LeakyRelu"}),
    ],
)
def test_what_has_no_known_parts_is_left_alone(op_type: str, given: dict) -> None:
    proto = fused(op_type, given)
    left = type(proto)()
    left.CopyFrom(proto)
    unfuse(left)
    assert left == proto


def test_a_layout_of_one_cpu_is_refused(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["input", "w"], ["c"], "conv", domain="com.microsoft.nchwc"),
        node("ReorderOutput", ["c"], ["r"], "back", domain="com.microsoft.nchwc", channels=8),
        node("Flatten", ["r"], ["output"], "flat"),
    ]
    proto = of_nodes(nodes, {"w": draw(np.random.default_rng(0), 8, 3, 1, 1)}, 17)
    proto.opset_import.append(helper.make_opsetid("com.microsoft.nchwc", 1))
    with pytest.raises(ModelError) as caught:
        load_model(save(tmp_path, proto))
    assert str(caught.value).endswith(
        "was optimized by onnxruntime for one kind of CPU: it contains "
        "com.microsoft.nchwc:Conv, com.microsoft.nchwc:ReorderOutput; give the file from before "
        "that, or save it with ORT_ENABLE_EXTENDED at most"
    )


def test_operators_that_onnxruntime_lacks_are_named(tmp_path: Path) -> None:
    proto = fused("FusedConv", {})
    proto.graph.node[1].op_type = "Mystery"
    proto.graph.node[1].domain = proto.opset_import[1].domain = "of.nobody"
    with pytest.raises(ModelError, match=r"contains 'of\.nobody:Mystery', which onnxruntime \d"):
        load_model(save(tmp_path, proto))
