"""Models with some operators in FP32, derived from one that is fully quantized."""

import itertools
from itertools import chain, combinations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize import (
    Ingredients,
    build,
    keep_in_float,
    observe_activations,
    observe_channels,
    quantize_whole,
    static,
)
from pytest_kycquant.quantize.graph import initializers, producers, serialize
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, ready

WEIGHTED = ("stem", "depthwise", "project", "embed")
SUBSETS = list(chain.from_iterable(combinations(WEIGHTED, count) for count in range(5)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return ready(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def whole(prepared):
    return quantized(prepared)


def quantized(prepared, tensors=(), **options):
    recipe = Recipe("int8", calibration_method="minmax", **options)
    ranges = observe_activations(prepared, named_images(8)).ranges("minmax")
    statistics = observe_channels(prepared, named_images(8))
    return quantize_whole(
        Ingredients(
            prepared, ranges=ranges, saturates=False, statistics=statistics, images=tensors
        ),
        recipe,
    )


def outputs(proto, arrays):
    # Not optimized: the recipe is that of a CPU that does not saturate, which this one may do.
    session = open_session(serialize(proto), optimize=False)
    return np.concatenate([session.run(None, {"input": array})[0] for array in arrays])


def loaded(proto, tmp_path):
    """The graph as onnxruntime runs it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(serialize(proto), options, providers=["CPUExecutionProvider"])
    return onnx.load(tmp_path / "loaded.onnx").graph


def number(graph, *op_types):
    return sum(node.op_type in op_types for node in graph.node)


@pytest.mark.parametrize("kept", SUBSETS, ids="+".join)
def test_what_is_kept_is_as_it_was_and_the_rest_reads_integers(prepared, whole, kept):
    graph = keep_in_float(whole, kept).graph
    nodes, written = {n.name: n for n in graph.node}, producers(graph)
    floats, original = initializers(graph), initializers(prepared.proto.graph)
    for node in prepared.proto.graph.node:
        found = nodes[node.name]
        sources = [written[name].op_type for name in found.input if name in written]
        if node.name in kept:
            assert all(floats[name] == original[name] for name in node.input[1:])
            assert found.SerializeToString().count(b"Dequantize") <= 1  # the data, not a weight
        elif node.name in WEIGHTED:
            assert sources == ["DequantizeLinear"] * len(found.input)


@pytest.mark.parametrize("kept", SUBSETS[1:-1], ids="+".join)
def test_onnxruntime_computes_in_float_exactly_what_is_kept(whole, kept, tmp_path):
    graph = loaded(keep_in_float(whole, kept), tmp_path)
    assert number(graph, "Conv", "FusedConv") == len(set(kept) - {"embed"})
    assert number(graph, "QLinearConv") == 3 - len(set(kept) - {"embed"})
    assert number(graph, "QGemm") == 1 - ("embed" in kept)


def test_nothing_kept_is_what_the_quantizer_made_and_all_kept_is_close_to_fp32(prepared, whole):
    arrays = images(5, seed=9)
    made = onnx.ModelProto()
    made.CopyFrom(whole.made)
    np.testing.assert_array_equal(outputs(keep_in_float(whole, ()), arrays), outputs(made, arrays))
    names = [node.name for node in prepared.proto.graph.node]
    everything = keep_in_float(whole, names)
    assert number(everything.graph, "QuantizeLinear", "DequantizeLinear") == 0
    np.testing.assert_array_equal(outputs(everything, arrays), outputs(prepared.proto, arrays))


def test_a_float_operator_reads_what_a_float_operator_wrote(whole):
    # stem_act, a PRelu that is never quantized, writes p1; residual needs it rounded.
    graph = keep_in_float(whole, ("depthwise",)).graph
    nodes = {node.name: node for node in graph.node}
    assert nodes["depthwise"].input[0] == "p1"
    assert nodes["residual"].input[1] == "p1_DequantizeLinear_Output"
    # stem is quantized, so its output can only be read rounded.
    assert nodes["stem_act"].input[0] == "c1_DequantizeLinear_Output"


@pytest.mark.parametrize(("kept", "op_type"), [("project", "Add"), ("embed", "QLinearAdd")])
def test_a_sum_with_a_term_in_fp32_is_not_rounded(whole, tmp_path, kept, op_type):
    graph = keep_in_float(whole, (kept,)).graph
    (residual,) = (node for node in graph.node if node.name == "residual")
    assert (residual.input[0] == "c3") == (kept == "project")
    assert number(loaded(keep_in_float(whole, (kept,)), tmp_path), op_type) == 1


def test_shifts_are_corrected_only_where_all_is_quantized(prepared):
    # A kept operator does not shift later ones, and the shift without it was not measured.
    without = quantized(prepared)
    within = quantized(prepared, tensors=images(8))
    biases = [
        {
            tensor.name: tensor.raw_data or list(tensor.int32_data)
            for tensor in keep_in_float(whole, kept).graph.initializer
            if tensor.data_type == onnx.TensorProto.INT32
        }
        for whole, kept in itertools.product((without, within), ((), ("embed",)))
    ]
    assert biases[0] != biases[2]
    assert biases[1] == biases[3]
    assert len(biases[1]) >= 3


def test_a_whole_model_is_not_changed_by_what_is_derived_from_it(whole):
    before = serialize(whole.made), serialize(whole.source)
    first = serialize(keep_in_float(whole, ("stem",)))
    keep_in_float(whole, WEIGHTED)
    assert serialize(keep_in_float(whole, ("stem",))) == first
    assert (serialize(whole.made), serialize(whole.source)) == before


def chain_of(between):
    """Three convolutions, the second between quantized ones."""
    rng = np.random.default_rng(0)
    nodes, last = [helper.make_node("Conv", ["input", "w0"], ["c0"], "one")], "c0"
    for i, name in ((1, "two"), (2, "three")):
        if between:
            nodes.append(helper.make_node(between, [last], [f"r{i}"], f"{between}{i}"))
            last = f"r{i}"
        nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], name))
        last = f"c{i}"
    nodes[-1].output[0] = "output"
    weights = {f"w{i}": rng.standard_normal((3, 3, 1, 1)).astype("f4") for i in range(3)}
    return build_model(nodes, weights, output=(1, 3, 32, 32))


@pytest.mark.parametrize("between", [None, "Relu", "Clip"])
def test_onnxruntime_does_not_quantize_what_stands_between_integers(tmp_path, between):
    # It once did so silently when it loaded the model.
    whole = quantized(ready(tmp_path, chain_of(between)))
    graph = loaded(keep_in_float(whole, ("two",)), tmp_path)
    assert number(graph, "Conv", "FusedConv") == 1
    integers = [t for t in graph.initializer if t.data_type == onnx.TensorProto.INT8 and t.dims]
    assert sum(len(tensor.dims) == 4 for tensor in integers) == 2


@pytest.mark.parametrize("kept", ["one", "two", "three"])
@pytest.mark.parametrize("between", ["Relu", "Clip"])
def test_a_relu_in_a_range_comes_back_with_its_operator(tmp_path, between, kept):
    whole = quantized(ready(tmp_path, chain_of(between)))
    assert number(whole.made.graph, between) == 0
    graph = keep_in_float(whole, (kept,)).graph
    # There is none after the last convolution.
    assert number(graph, between) == (kept != "three")
    exact = outputs(ready(tmp_path, chain_of(between)).proto, images(3, seed=9))
    found = outputs(keep_in_float(whole, (kept,)), images(3, seed=9))
    assert np.abs(found - exact).mean() < 0.03 * np.abs(exact).mean() + 0.01


def test_an_operator_that_cannot_be_quantized_can_be_kept(tmp_path, monkeypatch):
    prepared = ready(tmp_path)
    real = static.quantize_fully

    def refusing(request, excluded):
        if "project" not in excluded:
            raise ValueError("onnxruntime does not know this one")
        return real(request, excluded)

    monkeypatch.setattr(static, "quantize_fully", refusing)
    ranges = observe_activations(prepared, named_images(4)).ranges("minmax")
    recipe = Recipe("mixed", keep_fp32=("project",), calibration_method="minmax")
    assert (
        build(Ingredients(prepared, ranges=ranges, saturates=False), recipe).quantized["Conv"] == 2
    )
    with pytest.raises(QuantizationError, match=r"cannot apply the recipe .* keep the operator"):
        build(
            Ingredients(prepared, ranges=ranges, saturates=False),
            Recipe("int8", calibration_method="minmax"),
        )
