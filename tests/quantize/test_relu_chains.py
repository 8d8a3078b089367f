"""Several Relu and Clip after each other, and bounds of all kinds, in every recipe.

onnxruntime's quantizer removes a Relu or Clip whose input nothing else reads, and gives the range
of its output to its input. That is wrong if the input is also an output of the model or read by a
subgraph, and if the bounds leave out zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import hypothesis
import numpy as np
import onnx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant import Recipe
from pytest_kycquant.quantize import Quantizer, build
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import images, save

Bounds = tuple[float | None, float | None]
Act = Bounds | None  # the bounds of a Clip; None is a Relu

INF = float("inf")
SHAPE = (1, 3, 12, 12)
MIDDLE = [1, 8, 10, 10]
RECIPES = {
    "int8": Recipe("int8"),
    "int8 activations": Recipe("int8", activation_type="int8"),
    "16 bits": Recipe("int8", activation_type="uint16"),
    "without corrections": Recipe("int8", bias_correction=False, equalize=False),
    "first in FP32": Recipe("mixed", keep_fp32=("first",)),
    "last in FP32": Recipe("mixed", keep_fp32=("last",)),
    "activations in FP32": Recipe("mixed", keep_fp32=("a0",)),
    "dynamic": Recipe("int8-dynamic"),
    "weights": Recipe("int8-weights"),
    "fp16": Recipe("fp16"),
}
FEW = {name: RECIPES[name] for name in ("int8", "int8 activations", "last in FP32")}
CHAINS: dict[str, list[Act]] = {
    "Relu Relu": [None, None],
    "Relu Clip": [None, (0, 6)],
    "Clip Relu": [(0, 6), None],
    "Clip Clip": [(0, 6), (0, 4)],
    "four Relu": [None, None, None, None],
    "below zero": [(-1, 1), None, (-2, 0.5)],
    "no bounds": [(None, None), None, (None, None)],
    "one bound": [(None, 2), (0, None), None],
    "infinite bounds": [(-INF, 2), (-1, INF)],
    "zero cut off": [(0.5, 3), None],
    "zero cut off above": [(-3, -0.5), (-2, None)],
    "only zero is left": [None, (None, 0)],
    "nothing is left": [(-3, -0.5), (0, 4)],
    "wider after narrow": [(-1, 0.3), None, (-2, 0.5)],
}
CROSSED: dict[str, list[Act]] = {  # lower > upper gives the upper bound for every value
    "crossed": [(4, 1), None],
    "crossed at zero": [None, (6, 0), None],
}


def chain(
    acts: Sequence[Act],
    *,
    opset: int = 17,
    constants: bool = False,
    added: Sequence[str] = (),
    outputs: Sequence[str] = (),
    branch: str = "",
) -> onnx.ModelProto:
    """A convolution (c), a chain of activations (a0, a1, ...) and another convolution.

    Args:
        acts: the activations.
        opset: up to 10, the bounds of a Clip are attributes.
        constants: whether bounds are Constant operators instead of initializers.
        added: tensors that are added to the end of the chain.
        outputs: tensors that are also outputs of the model.
        branch: tensor that a branch of an If returns; "" for no If.
    """
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(0, 0.4, (8, 3, 3, 3)), "b": rng.normal(0, 0.3, 8)}
    weights |= {"w2": rng.normal(0, 0.3, (8, 8, 3, 3)), "b2": rng.normal(0, 0.1, 8)}
    stored = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()]
    nodes = [helper.make_node("Conv", ["input", "w", "b"], ["c"], "first")]
    last = "c"
    for index, act in enumerate(acts):
        name = f"a{index}"
        bounds = dict(zip(("min", "max"), act, strict=True)) if act else {}
        if act is None:
            nodes.append(helper.make_node("Relu", [last], [name], name))
        elif opset < 11:
            ends = {key: float(end) for key, end in bounds.items() if end is not None}
            nodes.append(helper.make_node("Clip", [last], [name], name, **ends))
        else:
            read = [last]
            for key, end in bounds.items():
                read.append("" if end is None else f"{name}/{key}")
                if end is not None and constants:
                    tensor = numpy_helper.from_array(np.float32(end))
                    nodes.append(helper.make_node("Constant", [], [read[-1]], value=tensor))
                elif end is not None:
                    stored.append(numpy_helper.from_array(np.float32(end), read[-1]))
            nodes.append(helper.make_node("Clip", read, [name], name))
        last = name
    for index, name in enumerate(added):
        nodes.append(helper.make_node("Add", [last, name], [f"s{index}"], f"s{index}"))
        last = f"s{index}"
    if branch:
        nodes += _if(branch, last, stored)
        last = "joined"
    nodes += [
        helper.make_node("Conv", [last, "w2", "b2"], ["d"], "second"),
        helper.make_node("GlobalAveragePool", ["d"], ["g"], "pool"),
        helper.make_node("Flatten", ["g"], ["output"], "flatten"),
    ]
    values = [("output", [1, 8]), *((name, MIDDLE) for name in outputs)]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in values]
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, SHAPE)
    graph = helper.make_graph(nodes, "chain", [image], infos, stored)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=min(opset, 8)
    )


def _if(branch: str, last: str, stored: list[onnx.TensorProto]) -> list[onnx.NodeProto]:
    """`joined` is the sum of the chain and of a tensor that only branches read."""
    sides = [
        helper.make_graph(
            [helper.make_node(kind, [branch], [f"{side}/out"], f"{side}/op")],
            side,
            [],
            [helper.make_tensor_value_info(f"{side}/out", TensorProto.FLOAT, MIDDLE)],
        )
        for side, kind in (("yes", "Identity"), ("no", "Neg"))
    ]
    stored.append(numpy_helper.from_array(np.float32(0), "zero"))
    return [
        helper.make_node("ReduceMax", ["input"], ["most"], "most", keepdims=0),
        helper.make_node("Greater", ["most", "zero"], ["some"], "greater"),
        helper.make_node(
            "If", ["some"], ["chosen"], "if", then_branch=sides[0], else_branch=sides[1]
        ),
        helper.make_node("Add", [last, "chosen"], ["joined"], "join"),
    ]


def assert_close(folder: Path, proto: onnx.ModelProto, recipes: dict[str, Recipe]) -> None:
    """Every recipe makes a model whose outputs are near those of FP32."""
    onnx.checker.check_model(proto, full_check=True)
    path = save(folder, proto)
    given = images(16, shape=SHAPE)
    quantizer = Quantizer(path, given)
    fp32 = open_session(path)
    for name, recipe in recipes.items():
        session = open_session(quantizer.build(recipe).content)
        for image in given[:4]:
            exact, found = (s.run(None, {"input": image}) for s in (fp32, session))
            for a, b in zip(exact, found, strict=True):
                assert a.shape == b.shape
                largest = max(float(np.abs(a).mean()), 1e-3)
                assert np.abs(a - b).mean() < 0.1 * largest, name


@pytest.mark.parametrize("opset", [6, 17])
@pytest.mark.parametrize("acts", CHAINS.values(), ids=CHAINS)
def test_a_chain_is_close_to_fp32(tmp_path: Path, acts: list[Act], opset: int) -> None:
    assert_close(tmp_path, chain(acts, opset=opset), RECIPES)


@pytest.mark.parametrize("acts", (CHAINS | CROSSED).values(), ids=CHAINS | CROSSED)
def test_bounds_may_be_constant_operators(tmp_path: Path, acts: list[Act]) -> None:
    assert_close(tmp_path, chain(acts, constants=True), FEW)


LINKS = [
    pytest.param(acts, ("c", "a0", "a1")[place % 3], id=label)
    for place, (label, acts) in enumerate((CHAINS | CROSSED).items())
]


@pytest.mark.parametrize(("acts", "name"), LINKS)
def test_a_link_may_be_an_output(tmp_path: Path, acts: list[Act], name: str) -> None:
    assert_close(tmp_path, chain(acts, outputs=[name]), FEW)


@pytest.mark.parametrize(("acts", "name"), LINKS)
def test_a_link_may_have_other_readers(tmp_path: Path, acts: list[Act], name: str) -> None:
    assert_close(tmp_path, chain(acts, added=[name]), FEW)


@pytest.mark.parametrize("name", ["c", "a0", "a1"])
@pytest.mark.parametrize("acts", [[None, None], [(0, 4), (-1, 1)], [None]], ids=["2", "Clip", "1"])
def test_a_subgraph_may_read_a_link(tmp_path: Path, acts: list[Act], name: str) -> None:
    if name != "a1" or len(acts) > 1:
        assert_close(tmp_path, chain(acts, branch=name), FEW)


@pytest.mark.parametrize(
    ("acts", "least", "most"),
    [
        ([(-1, 1)], -1, 1),
        ([None], 0, 5),
        ([None, (-1, 2)], 0, 2),
        ([(-1, 2), (-3, 3)], -1, 2),
        ([(-1, 2), (-3, 3), (None, None)], -1, 2),
        ([(-1, 3), (-3, 0.5), None], 0, 0.5),
        ([(0, 6), (-1, 8), (-2, INF)], 0, 5),
    ],
)
@pytest.mark.parametrize("precision", ["int8", "mixed"])
def test_a_wide_range_lets_nothing_pass(
    tmp_path: Path, acts: list[Act], least: float, most: float, precision: str
) -> None:
    """Steps that try ranges may widen one, but the operator that is gone cut off there."""
    path = save(tmp_path, chain(acts))
    quantizer = Quantizer(path, images(8, shape=SHAPE))
    recipe = Recipe(precision, keep_fp32=("second",) if precision == "mixed" else ())
    given = quantizer.ingredients(recipe)
    assert given.ranges is not None
    wide = np.full(len(given.ranges.names), 5, np.float32)
    wider = replace(given, ranges=replace(given.ranges, low=-wide, high=wide))
    proto = onnx.load_model_from_string(build(wider, recipe).content)
    assert not [node for node in proto.graph.node if node.op_type in ("Relu", "Clip")]
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    (steps,) = {
        tuple(node.input[1:])
        for node in proto.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] == f"a{len(acts) - 1}"
    }
    scale, zero = (stored[name].astype(np.float64) for name in steps)
    assert (0 - zero) * scale == pytest.approx(least, abs=0.02)
    assert (255 - zero) * scale == pytest.approx(most, abs=0.02)


# Bounds that a Relu can come before: in older opsets, onnxruntime itself refuses others.
ENDS = [(0, 6), (-1, 1), (0, None), (None, 3), (None, None), (0.5, None), (0.2, 2), (-INF, 2)]


@settings(max_examples=25)
@hypothesis.given(data=st.data())
def test_any_chain(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    acts = data.draw(st.lists(st.sampled_from([None, *ENDS]), min_size=1, max_size=5))
    links = st.sampled_from(["c", *(f"a{index}" for index in range(len(acts)))])
    proto = chain(
        acts,
        opset=data.draw(st.sampled_from([7, 8, 10, 11, 12, 13, 17, 20])),
        constants=data.draw(st.booleans()),
        added=data.draw(st.lists(links, max_size=2)),
        outputs=data.draw(st.lists(links, max_size=2, unique=True)),
    )
    names = data.draw(st.lists(st.sampled_from(list(RECIPES)), min_size=1, max_size=3))
    assert_close(tmp_path_factory.mktemp("chain"), proto, {name: RECIPES[name] for name in names})
