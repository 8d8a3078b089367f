"""Valid but unusual structures and names: every recipe gives outputs near FP32's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from pytest_kycquant import Recipe
from pytest_kycquant.quantize import Quantizer
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import images, save

Weights = dict[str, np.ndarray]

RECIPES = {
    "int8": Recipe("int8"),
    "16 bits": Recipe("int8", activation_type="uint16"),
    "first in FP32": Recipe("mixed", keep_fp32=("first",)),
    "last in FP32": Recipe("mixed", keep_fp32=("last",), float_weights="int8"),
    "dynamic": Recipe("int8-dynamic"),
    "8-bit weights": Recipe("int8-weights"),
    "4-bit weights": Recipe("int4-weights"),
    "fp16": Recipe("fp16"),
}
FLOAT = TensorProto.FLOAT


def draw(*shape: int, seed: int = 0, scale: float = 0.3) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(0, scale, shape).astype(np.float32)


def node(
    op_type: str, read: Sequence[str], write: str, name: str = "", **given: object
) -> NodeProto:
    return helper.make_node(op_type, read, write.split(), name, **given)


def layers() -> list[NodeProto]:
    return [
        node("Conv", ["x", "w", "b"], "c", "conv1"),
        node("Relu", ["c"], "r", "act1"),
        node("Conv", ["r", "w2", "b2"], "c2", "conv2"),
        node("Relu", ["c2"], "r2", "act2"),
        node("GlobalAveragePool", ["r2"], "g", "pool"),
        node("Flatten", ["g"], "f", "flatten"),
        node("Gemm", ["f", "w3", "b3"], "y", "fc", transB=1),
    ]


def weights() -> Weights:
    return {
        "w": draw(8, 3, 3, 3), "b": draw(8), "w2": draw(8, 8, 3, 3), "b2": draw(8),
        "w3": draw(6, 8), "b3": draw(6),
    }  # fmt: skip


def model(
    nodes: Sequence[NodeProto] | None = None,
    stored: Weights | None = None,
    *,
    shape: Sequence[int | str] = (1, 3, 12, 12),
    outputs: Sequence[tuple[str, Sequence[int | str]]] = (("y", (1, 6)),),
    inputs: Sequence[str] = (),
    opset: int = 17,
    ir: int = 8,
    domains: Sequence[str] = (),
) -> ModelProto:
    """The layers above, or others; `inputs` names weights that are also inputs."""
    stored = weights() if stored is None else stored
    infos = [("x", shape), *((name, stored[name].shape) for name in inputs)]
    graph = helper.make_graph(
        layers() if nodes is None else nodes,
        "structure",
        [helper.make_tensor_value_info(name, FLOAT, dims) for name, dims in infos],
        [helper.make_tensor_value_info(name, FLOAT, dims) for name, dims in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    opsets = [("", opset), *((domain, 1) for domain in domains)]
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*each) for each in opsets], ir_version=ir
    )


def placed(*more: NodeProto, at: int, read: str = "", drop: int = 0) -> list[NodeProto]:
    """The layers with others in between; the one behind them reads `read`."""
    nodes = layers()
    nodes[at : at + drop] = more
    if read:
        nodes[at + len(more)].input[0] = read
    return nodes


def branching(then: NodeProto, other: NodeProto, *, at: int, read: str) -> list[NodeProto]:
    """The layers with an If in between, whose output is called `read`."""
    sides = {
        key: helper.make_graph(
            [each], key, [], [helper.make_tensor_value_info(each.output[0], FLOAT, None)]
        )
        for key, each in (("then_branch", then), ("else_branch", other))
    }
    return placed(
        node("ReduceMean", ["x"], "mean", "mean", keepdims=0),
        node("Greater", ["mean", "zero"], "positive", "greater"),
        node("If", ["positive"], read, "if", **sides),
        at=at,
        read=read,
    )


def renamed(
    tensor: Callable[[str], str],
    operator: Callable[[str], str] = str,
    proto: ModelProto | None = None,
) -> ModelProto:
    proto = proto or model()
    for each in proto.graph.node:
        each.input[:] = [tensor(name) for name in each.input]
        each.output[:] = [tensor(name) for name in each.output]
        each.name = operator(each.name)
    for info in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        info.name = tensor(info.name)
    return proto


def sparse(array: np.ndarray, name: str, *, flat: bool) -> onnx.SparseTensorProto:
    places = np.flatnonzero(array) if flat else np.argwhere(array)
    return helper.make_sparse_tensor(
        helper.make_tensor(name, FLOAT, [np.count_nonzero(array)], array[array != 0]),
        helper.make_tensor("places", TensorProto.INT64, places.shape, places.ravel()),
        array.shape,
    )


def constants() -> Iterator[tuple[str, ModelProto]]:
    yield "an unused initializer", model(stored=weights() | {"unused": draw(3, 4)})
    yield "initializers are inputs", model(inputs=list(weights()), opset=9, ir=3)
    yield "initializers may be overridden", model(inputs=list(weights()))
    held = weights()
    first = [
        node("Constant", [], n, f"k/{n}", value=numpy_helper.from_array(held.pop(n)))
        for n in ("w", "b", "w2", "w3")
    ]
    yield "weights are Constants", model(first + layers(), held)
    held = weights()
    bias = node("Constant", [], "b", "k", value_floats=held.pop("b").tolist())
    yield "a bias of plain numbers", model([bias, *layers()], held)
    few = weights()["w"] * (np.abs(weights()["w"]) > 0.2)
    rest = {name: array for name, array in weights().items() if name != "w"}
    for flat in (True, False):
        proto = model(stored=rest)
        proto.graph.sparse_initializer.append(sparse(few, "w", flat=flat))
        yield f"a sparse weight, {'flat' if flat else 'by axis'}", proto
    constant = node("Constant", [], "w", "k", sparse_value=sparse(few, "v", flat=True))
    yield "a sparse Constant", model([constant, *layers()], rest)
    yield (
        "a copy of a weight",
        model(
            [node("Identity", ["v"], "u", "i"), node("Identity", ["u"], "w", "j"), *layers()],
            rest | {"v": weights()["w"]},
        ),
    )
    scaled = node("Mul", ["v", "s"], "w", "scale")
    yield (
        "a scaled weight",
        model([scaled, *layers()], rest | {"v": weights()["w"], "s": np.float32(2)}),
    )
    shaped = node("Reshape", ["v", "s"], "w", "shape")
    yield (
        "a reshaped weight",
        model(
            [shaped, *layers()], rest | {"v": weights()["w"].ravel(), "s": np.array([8, 3, 3, 3])}
        ),
    )
    both = node("Split", ["v"], "w w2", "split", axis=0, num_outputs=2)
    halves = {"v": draw(16, 8, 3, 3)} | {n: a for n, a in rest.items() if n != "w2"}
    yield (
        "two weights of one operator",
        model([both, *layers()], halves, shape=(1, 8, 12, 12), opset=18),
    )
    of_image = [
        node("ReduceMean", ["x"], "m", "m", keepdims=1, axes=[0, 1, 2, 3]),
        node("Mul", ["v", "m"], "w", "scale"),
    ]
    yield (
        "a weight that depends on the image",
        model([*of_image, *layers()], rest | {"v": weights()["w"] * 50}),
    )
    yield (
        "a weight with a dead channel",
        model(stored=weights() | {"w": weights()["w"] * (np.arange(8) > 0).reshape(8, 1, 1, 1)}),
    )
    shared = placed(node("Conv", ["r", "w", "b"], "c2", "conv2"), at=2, drop=1)
    yield (
        "a shared weight",
        model(shared, weights() | {"w": draw(8, 8, 3, 3)}, shape=(1, 8, 12, 12)),
    )


def activations() -> Iterator[tuple[str, ModelProto]]:
    yield "as it is", model()
    copies = [node("Identity", ["c"], "i", "i"), node("Identity", ["i"], "j", "j")]
    yield "a chain of Identity", model(placed(*copies, at=1, read="j"))
    yield "a copy of the image", model(placed(node("Identity", ["x"], "i", "i"), at=0, read="i"))
    last = layers()
    last[-1].output[0] = "z"
    yield "a copy as output", model([*last, node("Identity", ["z"], "y", "i")])
    rate, off = {"rate": np.float32(0.5)}, {"off": np.array(False)}
    for opset, given, read in ((17, {}, ""), (12, {}, "rate"), (10, {"ratio": 0.5}, "")):
        drop = node("Dropout", ["c", read] if read else ["c"], "d", "drop", **given)
        yield (
            f"Dropout of opset {opset}",
            model(placed(drop, at=1, read="d"), weights() | rate, opset=opset),
        )
    drop = node("Dropout", ["c", "", "off"], "d mask", "drop")
    yield "Dropout with a mask", model(placed(drop, at=1, read="d"), weights() | off)
    for name, shape in (
        ("c", (1, 8, 10, 10)), ("r", (1, 8, 10, 10)), ("c2", (1, 8, 8, 8)), ("r2", (1, 8, 8, 8)),
        ("g", (1, 8, 1, 1)), ("f", (1, 8)),
    ):  # fmt: skip
        yield f"the output {name}", model(outputs=[("y", (1, 6)), (name, shape)])
    yield "an earlier output first", model(outputs=[("f", (1, 8)), ("y", (1, 6))])
    copy = [*layers(), node("Identity", ["y"], "y2", "i")]
    yield "an output twice", model(copy, outputs=[("y", (1, 6)), ("y2", (1, 6))])
    cut = [*layers(), node("Split", ["y", "sizes"], "y1 y2", "split", axis=1)]
    parts = [("y1", (1, 2)), ("y2", (1, 4))]
    sizes = weights() | {"sizes": np.array([2, 4])}
    yield "two outputs of one operator", model(cut, sizes, outputs=parts)
    yield "parts and the whole", model(cut, sizes, outputs=[*parts, ("y", (1, 6))])
    yield "an operator that leads nowhere", model([*layers(), node("Relu", ["c"], "n", "n")])
    dead = node("Conv", ["r", "w2", "b2"], "n", "n")
    yield "a layer that leads nowhere", model([*layers(), dead])
    empty = placed(node("Conv", ["x", "w", ""], "c", "conv1"), at=0, drop=1)
    yield "an empty bias", model(empty)
    clip = node("Clip", ["c", "", ""], "r", "act1")
    yield "empty bounds", model(placed(clip, at=1, drop=1))
    twice = node("Mul", ["r2", "r2"], "t", "square")
    yield "one tensor read twice", model(placed(twice, at=4, read="t"))
    gelu = node("Gelu", ["c"], "r", "act1", domain="com.microsoft")
    yield "an operator of onnxruntime", model(placed(gelu, at=1, drop=1), domains=["com.microsoft"])
    proto = model(domains=["ai.onnx.ml", "mine"])
    proto.graph.value_info.append(helper.make_tensor_value_info("gone", FLOAT, [1]))
    proto.graph.value_info.append(helper.make_tensor_value_info("r", FLOAT, ["n", 8, "h", "w"]))
    yield "domains and types of nothing", proto
    for opset in (18, 20, 21):
        yield f"opset {opset}", model(opset=opset, ir=8 if opset < 21 else 10)


def branches() -> Iterator[tuple[str, ModelProto]]:
    zero = weights() | {"zero": np.float32(0), "w1": draw(8, 8, 1, 1)}
    copy, neg = node("Identity", ["r"], "p", "p"), node("Neg", ["r"], "q", "q")
    conv = node("Conv", ["r", "w1"], "q", "q")
    yield "an If", model(branching(copy, conv, at=2, read="i"), zero)
    same = node("Identity", ["r"], "p", "conv1")
    yield "an If with names of the graph", model(branching(same, neg, at=2, read="i"), zero)
    yield "only an If reads an activation", model(branching(copy, neg, at=2, read="i"), zero)
    first, other = node("Conv", ["r", "w2"], "p", "p"), node("Conv", ["r", "w2", "b2"], "q", "q")
    nodes = branching(first, other, at=2, read="i")
    nodes[5:6] = [
        node("Conv", ["r", "w2", "b2"], "c0", "conv2"),
        node("Add", ["c0", "i"], "c2", "add"),
    ]
    yield "an If that shares weights", model(nodes, zero)


LETTERS = {
    "spaces": lambda name: f"a {name} b",
    "slashes": lambda name: f"/model/{name}/output",
    "unicode": lambda name: f"Ж{name}é—名",
    "colons": lambda name: f"{name}:0",
    "quotes": lambda name: f"\"{name}'%s{{}}",
    "line breaks": lambda name: f"{name}\n",
    "brackets": lambda name: f"[{name}]",
    "long": lambda name: name * 100,
    "dots": lambda name: f"model.0.{name}.",
}


def names() -> Iterator[tuple[str, ModelProto]]:
    for which, rename in LETTERS.items():
        yield f"names with {which}", renamed(rename, rename)
    yield "operators without names", renamed(str, lambda _: "")
    yield (
        "a generated name is taken",
        renamed(str, lambda name: {"conv1": "", "act2": "Conv_0"}.get(name, name)),
    )
    of_tensors = {"conv1": "c", "act1": "r", "conv2": "c2", "pool": "w", "flatten": "x", "fc": "y"}
    yield "operators with names of tensors", renamed(str, lambda name: of_tensors.get(name, name))
    caffe = {"c": "conv1", "r": "conv1_scale", "c2": "conv2", "r2": "conv2_scale", "w": "conv1_w"}
    ops = {"act1": "conv1_scale", "act2": "conv2_scale"}
    yield "names of Caffe", renamed(lambda n: caffe.get(n, n), lambda n: ops.get(n, n))
    for derived in ("x_scale", "x_zero_point", "c_scale"):
        bound = node("Clip", ["c", derived], "r", "act1")
        yield (
            f"a bound called {derived}",
            model(placed(bound, at=1, drop=1), weights() | {derived: np.array(0.01, np.float32)}),
        )
    for place in ("x", "y"):
        for derived in ("r_scale", "c_quantized", "w2_zero_point", "r_QuantizeLinear_Output"):
            proto = renamed(lambda n, place=place, derived=derived: derived if n == place else n)
            yield f"{'input' if place == 'x' else 'output'} called {derived}", proto


MODELS = dict([*constants(), *activations(), *branches(), *names()])


def assert_close(folder: Path, proto: ModelProto, recipes: dict[str, Recipe]) -> None:
    onnx.checker.check_model(proto)
    path = save(folder, proto)
    image = proto.graph.input[0]
    given = images(12, shape=tuple(d.dim_value for d in image.type.tensor_type.shape.dim))
    quantizer, fp32 = Quantizer(path, given), open_session(path)
    outputs = [info.name for info in proto.graph.output]
    for which, recipe in recipes.items():
        session = open_session(quantizer.build(recipe).content)
        assert [each.name for each in session.get_outputs()] == outputs
        for array in given[:4]:
            exact, found = (s.run(None, {image.name: array}) for s in (fp32, session))
            for a, b in zip(exact, found, strict=True):
                assert a.shape == b.shape
                allowed = 0.3 if which == "4-bit weights" else 0.1
                assert np.abs(a - b).mean() < allowed * np.abs(a).mean(), which


@pytest.mark.parametrize("name", MODELS)
def test_every_recipe_is_close_to_fp32(tmp_path: Path, name: str) -> None:
    assert_close(tmp_path, MODELS[name], RECIPES)


# Names that the tools derive, each for a tensor, a weight and an operator of the model.

FEW = {n: RECIPES[n] for n in ("int8", "last in FP32", "dynamic", "4-bit weights", "fp16")}
DERIVED = [
    "x_scale", "x_zero_point", "x_quantized", "x_QuantizeLinear", "x_QuantizeLinear_Output",
    "x_DequantizeLinear", "x_DequantizeLinear_Output", "w_quantized", "w_scale", "w_zero_point",
    "w_quantized_dequantized", "c_scale", "b_quantized", "b_quantized_scale", "conv1_own_bias",
    "conv1_own_bias_quantized", "conv1_quant", "conv1_quant_scales_mul:0", "c_bias_add",
    "c_bias_reshape_output", "c_output_quantized", "c_output_quantized_cast",
    "cquant_scaled_output", "fc_MatMul", "fc_Add", "y_MatMul", "w3_Transposed", "y_unrounded",
    "graph_input_cast_0", "graph_output_cast0", "y_cast_to_fp32", "w/scale", "w/integers",
    "w/stored", "w/float", "w/packed",
    "kycquant/sixteenth", "gradient/0", "gradient/constant0", "y/seed", "f_cast_to_fp16",
    "c/guard0", "fixed_zero",
]  # fmt: skip


@pytest.mark.parametrize("first", range(len(DERIVED)))
def test_names_that_tools_derive(tmp_path: Path, first: int) -> None:
    """Three at a time: each name is that of a tensor, of a weight and of an operator once."""
    taken = (DERIVED[(first + place) % len(DERIVED)] for place in range(3))
    names = dict(zip(("r", "w2", "act2"), taken, strict=True))

    def rename(name: str) -> str:
        return names.get(name, name)

    assert_close(tmp_path, renamed(rename, rename), FEW)
