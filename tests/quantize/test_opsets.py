"""Models of every opset: the prepared graph computes the same, and variants are close to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from pytest_kycquant import Recipe
from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import Quantizer, load_model
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.opsets import draw, network, of_nodes
from tests.worlds.zoo import images, save, tiny_embedder

SHAPE = (1, 3, 16, 16)
FAST = {"calibration_method": "minmax", "equalize": False, "bias_correction": False}
RECIPES = [Recipe("int8", rewrites=False, **FAST), Recipe("fp16", rewrites=False)]


def outputs(content: bytes, given: list[np.ndarray]) -> np.ndarray:
    session = open_session(content)
    return np.stack([session.run(None, {"input": x})[0] for x in given])


def assert_quantizes(path: Path, recipes: list[Recipe] = RECIPES) -> None:
    given = images(4, shape=SHAPE)
    expected = outputs(path.read_bytes(), given)
    quantizer = Quantizer(path, given)
    prepared = outputs(quantizer.prepared.proto.SerializeToString(), given)
    assert np.abs(prepared - expected).max() <= 1e-6 * max(1, np.abs(expected).max())
    for recipe in recipes:
        found = outputs(quantizer.build(recipe).content, given)
        assert np.abs(found - expected).mean() < 0.1 * np.abs(expected).mean(), recipe.precision


OPSETS = [7, 8, 9, 10, 11, 12, 13, 16, 18, 21, 23, 24, 25, 26, 27, 28]


@pytest.mark.parametrize("opset", [n for n in OPSETS if n <= onnx.defs.onnx_opset_version()])
def test_every_opset_is_quantized(tmp_path: Path, opset: int) -> None:
    """onnxruntime 1.32 has no QuantizeLinear of opset 28, but the model means the same in 26."""
    assert_quantizes(save(tmp_path, network(opset)))


@pytest.mark.parametrize("ir", range(4, onnx.IR_VERSION + 1))
def test_every_ir_version_is_read(tmp_path: Path, ir: int) -> None:
    proto = network(17)
    proto.ir_version = ir
    assert load_model(save(tmp_path, proto)).opset == 17


RESIZES = {
    "nearest, up by half": (9, [1, 1, 1.5, 1.5], "nearest"),
    "nearest, down": (10, [1, 1, 0.6, 0.6], "nearest"),
    "linear, down": (10, [1, 1, 0.6, 0.6], "linear"),
    "linear, up": (9, [1, 1, 2.5, 2.5], "linear"),
}


@pytest.mark.parametrize("case", RESIZES)
def test_a_resize_finds_the_pixels_that_it_found_before_opset_11(tmp_path: Path, case: str) -> None:
    opset, scales, mode = RESIZES[case]
    rng = np.random.default_rng(0)
    kind = "Upsample" if opset == 9 else "Resize"
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv"),
        helper.make_node(kind, ["c", "scales"], ["r"], "resize", mode=mode),
        helper.make_node("Flatten", ["r"], ["output"], "flat"),
    ]
    weights = {"w": draw(rng, 4, 3, 1, 1), "scales": np.array(scales, np.float32)}
    assert_quantizes(save(tmp_path, of_nodes(nodes, weights, opset)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ir_version": onnx.IR_VERSION + 1}, f"has IR version {onnx.IR_VERSION + 1}, and onnx "),
        ({}, f"has opset {onnx.defs.onnx_opset_version() + 1}, and onnx "),
    ],
)
def test_a_later_version_of_onnx_is_named(tmp_path: Path, change: dict, said: str) -> None:
    proto = tiny_embedder()
    for name, value in change.items():
        setattr(proto, name, value)
    if not change:
        proto.opset_import[0].version = onnx.defs.onnx_opset_version() + 1
    with pytest.raises(ModelError, match=f"{said}.*or install a later onnx and onnxruntime"):
        load_model(save(tmp_path, proto))


@pytest.mark.parametrize(
    "both", [True, *([False] if onnx.defs.onnx_opset_version() > 22 else [])]
)  # an older onnx takes the second name for another domain
def test_the_standard_domain_has_two_names(tmp_path: Path, both: bool) -> None:
    proto = network(17)
    if both:
        proto.opset_import.append(helper.make_opsetid("ai.onnx", 17))
    else:
        proto.opset_import[0].domain = "ai.onnx"
    assert_quantizes(save(tmp_path, proto), RECIPES[:1])


@pytest.mark.parametrize("dims", [(), (1,), (1, 1), (1, 8)])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_a_gemm_has_a_bias_of_any_shape(tmp_path: Path, dims: tuple[int, ...], beta: float) -> None:
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv", strides=[4, 4]),
        helper.make_node("Flatten", ["c"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "g", "b"], ["output"], "fc", beta=beta),
    ]
    weights = {"w": draw(rng, 8, 3, 4, 4), "g": draw(rng, 128, 8), "b": 9 * draw(rng, *dims)}
    recipes = [RECIPES[0], Recipe("int8-dynamic", rewrites=False)]
    path = save(tmp_path, of_nodes(nodes, weights, 17))
    assert_quantizes(path, recipes)
    made = Quantizer(path, images(4, shape=SHAPE)).build(recipes[1])
    assert made.quantized == {"Conv": 1, "Gemm": 1}
