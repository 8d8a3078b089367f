"""Graphs that confuse quantizers: every recipe gives a model that is close to FP32."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import (
    Ingredients,
    build,
    calibration_of,
    check_input,
    load_model,
    observe_activations,
    observe_channels,
    prepare,
)
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, tiny_embedder

RECIPES = {
    "int8": Recipe("int8"),
    "first in FP32": Recipe("mixed", keep_fp32=("first",)),
    "last in FP32": Recipe("mixed", keep_fp32=("last",)),
    "16-bit activations": Recipe("int8", activation_type="uint16"),
    "dynamic": Recipe("int8-dynamic"),
    "weights": Recipe("int8-weights"),
    "fp16": Recipe("fp16"),
}


def draw(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def value(name, shape=None, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def branches():
    """An If: one branch has a convolution with a weight from outside, one its own constant."""
    yes = helper.make_graph(
        [helper.make_node("Conv", ["a", "w2"], ["t"], "inner")], "yes", [], [value("t")]
    )
    no = helper.make_graph(
        [helper.make_node("Mul", ["a", "k"], ["e"], "double")],
        "no",
        [],
        [value("e")],
        [numpy_helper.from_array(np.float32(2), "k")],
    )
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["a"], "one"),
        helper.make_node("ReduceMean", ["a"], ["mean"], "mean", keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["positive"], "greater"),
        helper.make_node("If", ["positive"], ["i"], "if", then_branch=yes, else_branch=no),
        helper.make_node("Conv", ["i", "w3"], ["output"], "three"),
    ]
    return nodes, {"w2": draw(3, 3, 1, 1), "zero": np.float32(0)}


def loop():
    """Two rounds of a convolution."""
    body = helper.make_graph(
        [
            helper.make_node("Conv", ["v", "w2"], ["c"], "inner"),
            helper.make_node("Mul", ["c", "half"], ["next"], "halve"),
            helper.make_node("Identity", ["go"], ["on"], "on"),
        ],
        "body",
        [value("n", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("v")],
        [value("on", [], TensorProto.BOOL), value("next")],
    )
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["a"], "one"),
        helper.make_node("Loop", ["two", "", "a"], ["l"], "loop", body=body),
        helper.make_node("Conv", ["l", "w3"], ["output"], "three"),
    ]
    return nodes, {"w2": draw(3, 3, 1, 1), "half": np.float32(0.5), "two": np.int64(2)}


def shared():
    """One weight and one bias for two convolutions."""
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["a"], "one"),
        helper.make_node("Conv", ["a", "w1", "b1"], ["b"], "two"),
        helper.make_node("Conv", ["b", "w3"], ["output"], "three"),
    ]
    return nodes, {}


def residual():
    """The sum of an activation and its convolution; the activation may also be an output."""
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["a"], "one"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "w3"], ["c"], "three"),
        helper.make_node("Add", ["c", "r"], ["output"], "add"),
    ]
    return nodes, {}


def of_parts(make, **options):
    nodes, weights = make()
    weights |= {"w1": draw(3, 3, 1, 1), "b1": draw(3), "w3": draw(3, 3, 1, 1)[::-1]}
    return build_model(nodes, weights, output=(1, 3, 32, 32), **options)


def second_output():
    proto = of_parts(residual)
    proto.graph.output.append(value("r", (1, 3, 32, 32)))
    return proto


def weights_among_inputs():
    """As exporters wrote models up to IR version 3."""
    proto = tiny_embedder(opset=11)
    proto.graph.input.extend(
        value(tensor.name, list(tensor.dims)) for tensor in proto.graph.initializer
    )
    return proto


MODELS = {
    "If": lambda: of_parts(branches),
    "Loop": lambda: of_parts(loop),
    "shared weights": lambda: of_parts(shared),
    "two outputs": second_output,
    "height and width of any size": lambda: of_parts(residual, shape=(1, 3, "h", "w")),
    "any batch": lambda: tiny_embedder(batch="n"),
    "weights among the inputs": weights_among_inputs,
    "opset 9": lambda: tiny_embedder(opset=9),
    "no names": lambda: tiny_embedder(named=False),
}


@pytest.fixture(scope="module")
def ready_model(tmp_path_factory):
    """Prepares each model once."""
    known = {}

    def make(name, external=False):
        if name not in known:
            path = tmp_path_factory.mktemp("model") / "model.onnx"
            onnx.save(MODELS[name](), path, save_as_external_data=external, size_threshold=0)
            model = load_model(path)
            check_input(model, (1, 3, 32, 32))
            prepared = prepare(model, images(2))
            activations = observe_activations(prepared, named_images(8))
            channels = observe_channels(prepared, named_images(8))
            known[name] = path, prepared, activations, channels
        return known[name]

    return make


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("name", MODELS)
def test_every_recipe_is_close_to_fp32(ready_model, name, recipe):
    path, prepared, activations, channels = ready_model(name)
    needed = calibration_of(recipe)
    variant = build(
        Ingredients(
            prepared,
            ranges=activations.ranges(*needed) if needed else None,
            saturates=False,
            statistics=channels if recipe.is_static else None,
        ),
        recipe,
    )
    assert sum(variant.quantized.values()) > 0
    inside = [note for note in variant.notes if "within subgraphs" in note]
    assert bool(inside) == (name in ("If", "Loop") and recipe.precision != "fp16")
    # The recipe is that of a CPU that does not saturate, which this one may do.
    session, fp32 = open_session(variant.content, optimize=False), open_session(path)
    for array in images(4, seed=9):
        exact, found = (s.run(None, {"input": array}) for s in (fp32, session))
        for expected, given in zip(exact, found, strict=True):
            assert given.shape == expected.shape
            assert np.abs(given - expected).mean() < 0.1 * np.abs(expected).mean()


def test_external_data_is_read_and_its_absence_named(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(tiny_embedder(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    prepared = prepare(load_model(path), images(2))
    content = build(Ingredients(prepared, saturates=False), Recipe("int8-weights")).content
    (tmp_path / "w.bin").rename(tmp_path / "gone.bin")
    open_session(content)  # it needs no other file
    with pytest.raises(ModelError, match=r"w\.bin"):
        load_model(path)
