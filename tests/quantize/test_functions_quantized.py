"""Models with local functions go through every recipe; FP32 itself stays the user's file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TensorProto, helper
from onnx import numpy_helper as tensors

from pytest_kycquant import Recipe
from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import Quantizer, load_model
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import images, save

SHAPE = (1, 3, 12, 12)
MIDDLE = [1, 8, 10, 10]
RECIPES = {
    "int8": Recipe("int8"),
    "first in FP32": Recipe("mixed", keep_fp32=("first",)),
    "last in FP32": Recipe("mixed", keep_fp32=("last",), float_weights="int8"),
    "dynamic": Recipe("int8-dynamic"),
    "8-bit weights": Recipe("int8-weights"),
    "4-bit weights": Recipe("int4-weights"),
    "fp16": Recipe("fp16"),
}


def node(
    op_type: str, read: Sequence[str], write: str, name: str = "", **given: object
) -> NodeProto:
    return helper.make_node(op_type, read, [write], name, **given)


def call(function: str, read: Sequence[str], *write: str, **given: object) -> NodeProto:
    return helper.make_node(function, read, write, domain="local", **given)


def define(
    name: str, read: str, write: str, *nodes: NodeProto, opset: int = 17, **given: list[object]
) -> FunctionProto:
    """A function; `read` and `write` have one letter for each tensor."""
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    if any(each.domain == "com.microsoft" for each in nodes):
        opsets.append(helper.make_opsetid("com.microsoft", 1))
    return helper.make_function("local", name, [*read], [*write], nodes, opsets, **given)


def passed_on(kind: int, name: str, given: str, to: NodeProto) -> NodeProto:
    """The operator with an attribute that the caller of its function gives."""
    to.attribute.append(AttributeProto(name=name, ref_attr_name=given, type=kind))
    return to


def model(
    nodes: list[NodeProto],
    functions: list[FunctionProto],
    *,
    opset: int = 17,
    last: str = "a",
    also: str = "",
) -> ModelProto:
    """A model whose last layers read `last`; `also` is another output."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(0, 0.4, (8, 3, 3, 3)), "b": rng.normal(0, 0.3, 8)}
    weights |= {"w2": rng.normal(0, 0.3, (8, 8, 3, 3)), "b2": rng.normal(0, 0.1, 8)}
    weights["zero"] = np.zeros(())
    nodes = [
        *nodes,
        node("Conv", [last, "w2", "b2"], "d", "conv2"),
        node("GlobalAveragePool", ["d"], "g", "pool"),
        node("Flatten", ["g"], "output", "flatten"),
    ]
    outputs = [("output", [1, 8])] + ([(also, MIDDLE)] if also else [])
    graph = helper.make_graph(
        nodes,
        "functions",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs],
        [tensors.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=8)


CONV = node("Conv", ["input", "w", "b"], "c", "conv")
BLOCK = define("Block", "awb", "o", node("Conv", "awb", "t", "conv"), node("Relu", "t", "o", "act"))
LEAKY = passed_on(AttributeProto.FLOAT, "alpha", "slope", node("LeakyRelu", "a", "o", "leaky"))
TWO = define("Two", "a", "op", node("Relu", "a", "o", "r"), node("Neg", "a", "p", "n"))


def relu6(opset: int = 17) -> FunctionProto:
    ends = [
        node("Constant", [], name, name, value=tensors.from_array(np.float32(value)))
        for name, value in (("z", 0), ("s", 6))
    ]
    return define("Relu6", "a", "b", *ends, node("Clip", "azs", "b", "clip"), opset=opset)


def branches(read: str, *, calls: bool) -> dict[str, onnx.GraphProto]:
    """Branches of an If; one may call a function."""
    yes = call("Relu6", [read], "q") if calls else node("Relu", [read], "q", "inner")
    sides = {"then_branch": (yes, "q"), "else_branch": (node("Neg", [read], "n", "other"), "n")}
    return {
        key: helper.make_graph(
            [each], key, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, MIDDLE)]
        )
        for key, (each, name) in sides.items()
    }


def conditional(inner: NodeProto, functions: list[FunctionProto], last: str = "a") -> ModelProto:
    most = node("ReduceMax", ["input"], "m", "most", keepdims=0)
    nodes = [CONV, node("Relu", "c", "r", "act"), most, node("Greater", ["m", "zero"], "k"), inner]
    return model(nodes, functions, last=last)


def models() -> Iterator[tuple[str, ModelProto]]:
    yield "a layer", model([call("Block", ["input", "w", "b"], "a")], [BLOCK])
    twice = [call("Block", ["input", "w", "b"], "a"), call("Block", ["a", "w2", "b2"], "a2")]
    yield "called twice", model(twice, [BLOCK], last="a2")
    yield "an activation", model([CONV, call("Relu6", "c", "a")], [relu6()])
    again = [CONV, call("Relu6", "c", "a"), call("Relu6", "a", "a2")]
    yield "a chain of activations", model(again, [relu6()], last="a2")
    for opset, other in ((17, 13), (18, 17), (17, 18), (9, 10)):
        versions = f"opset {opset} calls {other}"
        function = relu6(other) if opset > 9 else define(
            "Relu6", "a", "b", node("Clip", "a", "b", min=0.0, max=6.0), opset=other
        )  # fmt: skip
        yield versions, model([CONV, call("Relu6", "c", "a")], [function], opset=opset)
    inner = define("Inner", "a", "o", node("Relu", "a", "o", "act"))
    middle = define("Middle", "a", "o", call("Inner", "a", "o"))
    outer = define("Outer", "awb", "o", node("Conv", "awb", "t", "conv"), call("Middle", "t", "o"))
    yield "nested", model([call("Outer", ["input", "w", "b"], "a")], [inner, outer, middle])
    default = define("F", "a", "o", LEAKY, attribute_protos=[helper.make_attribute("slope", 0.2)])
    yield "default of an attribute", model([CONV, call("F", "c", "a")], [default])
    given = define("F", "a", "o", LEAKY, attributes=["slope"])
    yield "attribute", model([CONV, call("F", "c", "a", slope=0.3)], [given])
    pool = passed_on(AttributeProto.INTS, "kernel_shape", "k", node("MaxPool", "a", "o", "pool"))
    yield (
        "attribute with a list",
        model(
            [CONV, call("F", "c", "a", k=[2, 2])], [define("F", "a", "o", pool, attributes=["k"])]
        ),
    )
    weight = np.random.default_rng(5).normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)
    holding = define(
        "F", "a", "o",
        node("Constant", [], "w", value=tensors.from_array(weight)),
        node("Constant", [], "b", value_floats=[0.1] * 8),
        node("Conv", "awb", "o", "conv"),
    )  # fmt: skip
    yield "weights within", model([call("F", ["input"], "a")], [holding])
    conv = define("F", "awb", "o", node("Conv", "awb", "o", "conv"))
    yield "an input left out", model([call("F", ["input", "w"], "a")], [conv])
    yield "an empty input", model([call("F", ["input", "w", ""], "a")], [conv])
    both = [CONV, call("Two", "c", "s", "p"), node("Add", "sp", "a", "add")]
    yield "two outputs", model(both, [TWO])
    yield "one output is not used", model([CONV, call("Two", "c", "a", "")], [TWO])
    yield "an output of the model", model([CONV, call("Two", "c", "a", "p")], [TWO], also="p")
    same = [node("Relu", ["input"], "t", "conv"), node("Neg", ["t"], "c", "conv2")]
    clash = helper.make_function("local", "F", ["input"], ["c"], same, BLOCK.opset_import)
    yield "names of the model within", model([CONV, call("F", "c", "a")], [clash])
    yield "not called", model([CONV, node("Relu", "c", "a")], [TWO])
    gelu = define("F", "a", "o", node("Gelu", "a", "o", "gelu", domain="com.microsoft"))
    yield "operators of onnxruntime", model([CONV, call("F", "c", "a")], [gelu])
    yield (
        "called in a branch",
        conditional(node("If", "k", "a", "if", **branches("r", calls=True)), [relu6()]),
    )
    choice = node("If", "k", "o", "if", **branches("a", calls=False))
    yield (
        "a branch within",
        conditional(call("F", ["r", "k"], "a"), [define("F", "ak", "o", choice)]),
    )


MODELS = dict(models())


@pytest.mark.parametrize("name", MODELS)
def test_every_recipe_is_close_to_fp32(tmp_path: Path, name: str) -> None:
    onnx.checker.check_model(MODELS[name])
    path = save(tmp_path, MODELS[name])
    given = images(16, shape=SHAPE)
    quantizer = Quantizer(path, given)
    fp32 = open_session(path)
    for which, recipe in RECIPES.items():
        allowed = 0.3 if which == "4-bit weights" else 0.1
        content = quantizer.build(recipe).content
        assert not onnx.load_model_from_string(content).functions
        session = open_session(content)
        for image in given[:4]:
            exact, found = (s.run(None, {"input": image}) for s in (fp32, session))
            for a, b in zip(exact, found, strict=True):
                assert a.shape == b.shape
                assert np.abs(a - b).mean() < allowed * np.abs(a).mean(), which
    assert quantizer.loaded.proto == MODELS[name]


def test_operators_within_functions_have_names_of_their_own(tmp_path: Path) -> None:
    quantizer = Quantizer(save(tmp_path, MODELS["called twice"]), images(8, shape=SHAPE))
    names = quantizer.operators(Recipe("int8"))
    assert len(set(names)) == 3
    for name in names:
        built = quantizer.build(Recipe("mixed", keep_fp32=(name,)))
        assert built.kept == (name,)
        assert built.quantized["Conv"] == 2


def test_a_prelu_within_a_function_is_rewritten(tmp_path: Path) -> None:
    slopes = tensors.from_array(np.full((8, 1, 1), 0.2, np.float32))
    function = define(
        "F", "a", "o", node("Constant", [], "s", value=slopes), node("PRelu", "as", "o", "prelu")
    )
    path = save(tmp_path, model([CONV, call("F", "c", "a")], [function]))
    quantizer = Quantizer(path, images(8, shape=SHAPE))
    assert quantizer.choice(Recipe("fp32-optimized", rewrites=True)).names == ("prelu",)
    quantizer.build(Recipe("fp32-optimized", rewrites=True))


# Constants within functions

BROKEN = np.full((8, 3, 3, 3), np.nan, np.float32)
UNTRAINED = np.full((8, 3, 25, 25), 0.5, np.float32)  # most of the weights of the model


def stored(array: np.ndarray) -> dict[str, object]:
    return {"value": tensors.from_array(array)}


def refused(folder: Path, proto: ModelProto) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(save(folder, proto))
    return caught.value.problem


@pytest.mark.parametrize(
    ("array", "problem"), [(BROKEN, "contains NaN or Inf"), (UNTRAINED, "weights are constant")]
)
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("branch", [False, True])
def test_a_weight_within_functions_is_checked(
    tmp_path: Path, array: np.ndarray, problem: str, depth: int, branch: bool
) -> None:
    weight = node("Constant", [], "w", "weight", **stored(array))
    inner = [weight, node("Conv", "aw", "o", "conv")]
    if branch:
        whole = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
        side = helper.make_graph(inner, "side", [], [whole])
        most = node("ReduceMax", "a", "m", "most", keepdims=0)
        cast = node("Cast", "m", "k", "cast", to=TensorProto.BOOL)
        inner = [most, cast, node("If", "k", "o", "if", then_branch=side, else_branch=side)]
    functions = [define("F0", "a", "o", *inner)]
    functions += [
        define(f"F{level + 1}", "a", "o", call(f"F{level}", "a", "o")) for level in range(depth)
    ]
    found = refused(tmp_path, model([call(f"F{depth}", ["input"], "a")], functions))
    assert problem in found


# A single infinity may be the bound of a Clip or a mask.
@pytest.mark.parametrize(
    ("form", "value"),
    [
        *((form, value) for form in ("value", "value_floats") for value in (np.nan, np.inf)),
        ("value_float", np.nan),
    ],
)
@pytest.mark.parametrize("within", [False, True])
def test_a_constant_in_any_form_is_checked(
    tmp_path: Path, form: str, within: bool, value: float
) -> None:
    numbers = [0.5] * 7 + [value]
    given = {
        "value": tensors.from_array(np.array(numbers, np.float32).reshape(8, 1, 1)),
        "value_floats": numbers * 10,
        "value_float": value,
    }
    constant = node("Constant", [], "t", "constant", **{form: given[form]})
    rows = [node("Conv", ["input", "w", "b"], "c", "conv")]
    if form == "value_floats":
        shape = tensors.from_array(np.array([1, 8, 10, 1]))
        column = node("Constant", [], "shape", "shape", value=shape)
        cut = node("Reshape", ["t", "shape"], "u", "reshape")
        added = [constant, column, cut, node("Add", "au", "o", "add")]
    else:
        added = [constant, node("Add", "at", "o", "add")]
    if within:
        proto = model([*rows, call("F", "c", "a")], [define("F", "a", "o", *added)])
    else:
        for each in added:
            each.input[:] = ["c" if name == "a" else name for name in each.input]
            each.output[:] = ["a" if name == "o" else name for name in each.output]
        proto = model([*rows, *added], [])
    assert "contains NaN or Inf" in refused(tmp_path, proto)


@pytest.mark.parametrize("depth", [0, 1])
def test_a_default_of_an_attribute_is_checked(tmp_path: Path, depth: int) -> None:
    kind = AttributeProto.TENSOR
    weight = passed_on(kind, "value", "stored", node("Constant", [], "w", "weight"))
    default = helper.make_attribute("stored", tensors.from_array(UNTRAINED))
    conv = node("Conv", "aw", "o", "conv")
    functions = [define("F0", "a", "o", weight, conv, attribute_protos=[default])]
    if depth:
        functions.append(define("F1", "a", "o", call("F0", "a", "o")))
    found = refused(tmp_path, model([call(f"F{depth}", ["input"], "a")], functions))
    assert "weights are constant: every value of" in found


def test_subnormal_weights_within_functions_are_counted(tmp_path: Path) -> None:
    weight = np.random.default_rng(5).normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)
    weight[0, 0] = 1e-40
    held = node("Constant", [], "w", **stored(weight))
    function = define("F", "a", "o", held, node("Conv", "aw", "o", "conv"))
    path = save(tmp_path, model([call("F", ["input"], "a")], [function]))
    assert load_model(path).subnormal_weights == 9
