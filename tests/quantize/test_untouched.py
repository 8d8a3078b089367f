"""What no pixel reaches is computed beforehand, or left out of quantization."""

import numpy as np
import onnx
import pytest

import pytest_kycquant
from pytest_kycquant import Recipe
from pytest_kycquant.quantize.folding import untouched
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.constant_parts import pyramid, sized_grid
from tests.worlds.zoo import images, ready, save

CHAIN = {"ratio", "scales", "want", "wantf", "have", "havef", "shape_of_side", "shape_of_a2"}


def made(folder, proto, precision, size=32):
    path = save(folder, proto)
    inputs = images(16, shape=(1, 3, size, size))
    recipe = Recipe(precision, rewrites=False if precision == "int8" else None)
    return pytest_kycquant.quantize(path, inputs, recipe)


def largest_error(proto, path, size):
    """Largest difference relative to the largest output."""
    sessions = open_session(proto.SerializeToString()), open_session(path.read_bytes())
    pairs = [
        [s.run(None, {"input": x})[0] for s in sessions]
        for x in images(4, seed=9, shape=(1, 3, size, size))
    ]
    return max(np.abs(a - b).max() / np.abs(a).max() for a, b in pairs)


def test_sizes_that_the_input_fixes_are_computed_beforehand(tmp_path):
    kinds = {node.op_type for node in ready(tmp_path, pyramid()).proto.graph.node}
    assert kinds == {"Conv", "LeakyRelu", "Resize", "Add", "GlobalAveragePool", "Flatten"}


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int8-weights", "fp16"])
@pytest.mark.parametrize("size", [32, "side"])
def test_scales_that_are_computed_from_shapes_are_not_quantized(tmp_path, precision, size):
    """In 256 steps, 1 becomes 0.996, and Upsample makes 31 channels of 32."""
    proto = pyramid(size)
    found = made(tmp_path, proto, precision)
    assert largest_error(proto, found.path, 32) < 0.05
    if size == "side":
        assert largest_error(proto, found.path, 48) < 0.05  # what was open stays open


def test_what_no_pixel_reaches_stays_float(tmp_path):
    found = made(tmp_path, pyramid("side"), "int8")
    graph = onnx.load(found.path).graph
    assert untouched(graph) >= CHAIN
    chain = [node for node in graph.node if node.name in CHAIN and node.op_type != "Shape"]
    inputs = {name for node in chain for name in node.input}
    assert not [
        node.op_type
        for node in graph.node
        if inputs.intersection(node.output) and "Linear" in node.op_type
    ]


@pytest.mark.parametrize(("side", "folded"), [(16, True), (64, False)])
def test_a_grid_that_is_larger_than_what_it_is_made_from_stays_an_operator(tmp_path, side, folded):
    proto = sized_grid(side)
    names = [node.name for node in ready(tmp_path, proto).proto.graph.node]
    assert ("expand" not in names) is folded
    found = made(tmp_path, proto, "int8", side)
    assert largest_error(proto, found.path, side) < 0.05
