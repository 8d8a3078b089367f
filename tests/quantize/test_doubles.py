"""Parts in float64 are quantized like any others, or refused where they need it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant import Recipe
from pytest_kycquant.errors import ModelError, QuantizationError
from pytest_kycquant.quantize import Quantizer
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.opsets import draw, of_nodes
from tests.worlds.zoo import images, save

SHAPE = (1, 3, 16, 16)
DOUBLE, SINGLE = TensorProto.DOUBLE, TensorProto.FLOAT
RECIPES = {
    "int8": Recipe("int8", rewrites=False),
    "mixed": Recipe("mixed", keep_fp32=("first",), rewrites=False),
    "int8-dynamic": Recipe("int8-dynamic", rewrites=False),
    "int8-weights": Recipe("int8-weights", rewrites=False),
    "int4-weights": Recipe("int4-weights", rewrites=False),
    "fp16": Recipe("fp16", rewrites=False),
}
node = helper.make_node


def body() -> list[onnx.NodeProto]:
    return [
        node("Conv", ["input", "w", "b"], ["c"], "conv", strides=[2, 2]),
        node("Relu", ["c"], ["r"], "relu"),
        node("GlobalAveragePool", ["r"], ["p"], "pool"),
        node("Flatten", ["p"], ["f"], "flat"),
    ]


def stored() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "w": draw(rng, 32, 3, 3, 3), "b": draw(rng, 32),
        "wd": rng.normal(0, 0.3, (32, 64)), "bd": rng.normal(0, 0.3, 64),
    }  # fmt: skip


def head(last: str = "output") -> list[onnx.NodeProto]:
    """A head of numpy's numbers, as a scaler and a classifier of sklearn give it."""
    return [
        node("Cast", ["f"], ["fd"], "to_double", to=DOUBLE),
        node("MatMul", ["fd", "wd"], ["md"], "fc"),
        node("Add", ["md", "bd"], [last], "shift"),
    ]


def with_head() -> onnx.ModelProto:
    last = node("Cast", ["sum"], ["output"], "to_single", to=SINGLE)
    return of_nodes([*body(), *head("sum"), last], stored(), 17)


def with_double_output() -> onnx.ModelProto:
    proto = of_nodes([*body(), *head()], stored(), 17)
    proto.graph.output[0].type.tensor_type.elem_type = DOUBLE
    return proto


def with_scaled_input() -> onnx.ModelProto:
    """Two islands and a size in float64, which stays what it is."""
    nodes = [
        node("Cast", ["input"], ["xd"], "to_double", to=DOUBLE),
        node("Sub", ["xd", "mean"], ["sd"], "centre"),
        node("Cast", ["sd"], ["s"], "to_single", to=SINGLE),
        node("Shape", ["input"], ["size"], "size"),
        node("Cast", ["size"], ["sized"], "size_to_double", to=DOUBLE),
        node("ReduceProd", ["sized"], ["all"], "all", keepdims=0),
        *body(),
        node("Cast", ["f"], ["fd"], "again", to=DOUBLE),
        node("Div", ["fd", "all"], ["dd"], "by_size"),
        node("Cast", ["dd"], ["ds"], "back", to=SINGLE),
        node("Gemm", ["ds", "g"], ["output"], "fc"),
    ]
    nodes[6].input[0] = "s"
    mean = np.array([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1)
    given = {n: a for n, a in stored().items() if a.dtype == np.float32}
    weights = given | {"mean": mean, "g": 500 * stored()["wd"].astype(np.float32)}
    proto = of_nodes(nodes, weights, 17)
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"
    return proto


MODELS = {"head": with_head, "double output": with_double_output, "scaled": with_scaled_input}


@pytest.mark.parametrize("name", MODELS)
def test_every_recipe_quantizes_float64(tmp_path: Path, name: str) -> None:
    proto = MODELS[name]()
    path = save(tmp_path, proto)
    given = images(6, shape=SHAPE)
    session = open_session(path)
    expected = [session.run(None, {"input": x})[0] for x in given]
    quantizer = Quantizer(path, given)
    for precision, recipe in RECIPES.items():
        made = quantizer.build(recipe)
        variant = open_session(made.content)
        found = [variant.run(None, {"input": x})[0] for x in given]
        assert found[0].dtype == expected[0].dtype
        error = np.abs(np.subtract(found, expected)).mean() / np.abs(expected).mean()
        assert error < (0.2 if precision == "int4-weights" else 0.05), precision
        assert sum(made.quantized.get(kind, 0) for kind in ("Conv", "MatMul", "Gemm")) == (
            1 if precision == "mixed" else 2
        )
        assert made.notes[-1] == (
            "2 operators of the file compute in float64, and here in float32 at most"
        )


def test_what_no_pixel_reaches_stays_float64(tmp_path: Path) -> None:
    graph = Quantizer(save(tmp_path, with_scaled_input()), images(2, shape=SHAPE)).prepared.proto
    kinds = {
        info.name: info.type.tensor_type.elem_type
        for info in (*graph.graph.value_info, *graph.graph.output)
    }
    assert {name for name, kind in kinds.items() if kind == DOUBLE} == {"sized", "all"}


def test_a_part_that_needs_float64_is_refused(tmp_path: Path) -> None:
    """The sum of a small and a large number, from which the large one is taken again."""
    nodes = [
        *body(),
        node("Cast", ["f"], ["fd"], "to_double", to=DOUBLE),
        node("Add", ["fd", "large"], ["sum"], "offset"),
        node("Sub", ["sum", "large"], ["rest"], "back"),
        node("Cast", ["rest"], ["output"], "to_single", to=SINGLE),
    ]
    weights = stored() | {"large": np.array(1e9)}
    path = save(tmp_path, of_nodes(nodes, weights, 17))
    with pytest.raises(
        QuantizationError, match=r"what it computes in float64 differs in float32 \(output 'output'"
    ):
        _ = Quantizer(path, images(2, shape=SHAPE)).prepared


def test_float64_without_kernels_is_refused_with_advice(tmp_path: Path) -> None:
    nodes = [node("Cast", ["input"], ["xd"], "to_double", to=DOUBLE), *body()]
    nodes[1].input[0] = "xd"
    nodes.append(node("Cast", ["f"], ["output"], "to_single", to=SINGLE))
    weights = {name: array.astype(np.float64) for name, array in stored().items()}
    path = save(tmp_path, of_nodes(nodes, weights, 17))
    with pytest.raises(ModelError, match=r"Conv.*; export it in float32: few operators have"):
        _ = Quantizer(path, images(2, shape=SHAPE)).prepared


def test_float64_within_a_branch_is_left_alone(tmp_path: Path) -> None:
    inner = [
        node("Cast", ["f"], ["fd"], "to_double", to=DOUBLE),
        node("Mul", ["fd", "k"], ["md"], "mul"),
        node("Cast", ["md"], ["m"], "to_single", to=SINGLE),
    ]
    info = [helper.make_tensor_value_info("m", SINGLE, None)]
    factor = numpy_helper.from_array(np.array(1.5), "k")
    branch = helper.make_graph(inner, "then", [], info, [factor])
    other = helper.make_graph([node("Neg", ["f"], ["n"], "neg")], "else", [], [
        helper.make_tensor_value_info("n", SINGLE, None)
    ])  # fmt: skip
    nodes = [
        *body(),
        node("ReduceMean", ["input"], ["mean"], "mean", keepdims=0),
        node("Greater", ["mean", "zero"], ["positive"], "greater"),
        node("If", ["positive"], ["output"], "if", then_branch=branch, else_branch=other),
    ]
    weights = {n: a for n, a in stored().items() if a.dtype == np.float32}
    path = save(tmp_path, of_nodes(nodes, weights | {"zero": np.float32(0)}, 17))
    quantizer = Quantizer(path, images(4, shape=SHAPE))
    assert quantizer.prepared.narrowed == ()
    for recipe in RECIPES.values():
        if recipe.precision != "mixed":
            assert quantizer.build(recipe).quantized["Conv"] == 1


@pytest.mark.parametrize("captured", [True, False])
def test_a_branch_that_gives_float64_is_left_alone(tmp_path: Path, captured: bool) -> None:
    """It reads a tensor of the model in float64, or makes one itself."""
    info = [helper.make_tensor_value_info("s", DOUBLE, None)]
    inner = [node("Neg", ["fd"], ["s"], "neg")]
    if not captured:
        inner = [node("Cast", ["f"], ["s"], "inner", to=DOUBLE)]
    branch, other = (helper.make_graph(inner, name, [], info) for name in ("then", "else"))
    nodes = [
        *body(),
        node("ReduceMean", ["input"], ["mean"], "mean", keepdims=0),
        node("Greater", ["mean", "zero"], ["positive"], "greater"),
        *([node("Cast", ["f"], ["fd"], "to_double", to=DOUBLE)] if captured else []),
        node("If", ["positive"], ["i"], "if", then_branch=branch, else_branch=other),
        node("Mul", ["i", "k"], ["ik"], "mul"),
        node("Cast", ["ik"], ["output"], "back", to=SINGLE),
    ]
    weights = {n: a for n, a in stored().items() if a.dtype == np.float32}
    weights |= {"zero": np.float32(0), "k": np.array(1.5)}
    quantizer = Quantizer(save(tmp_path, of_nodes(nodes, weights, 17)), images(4, shape=SHAPE))
    assert quantizer.prepared.narrowed == ()
    for precision in ("int8", "int8-dynamic", "int8-weights"):
        assert quantizer.build(RECIPES[precision]).quantized["Conv"] == 1
