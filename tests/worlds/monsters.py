"""Models that are made to break what reads them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .zoo import build_model

SHAPE = (1, 3, 8, 8)
_OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]


def _info(name: str, kind: int = TensorProto.FLOAT, shape: Any = ()) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def classifier(*more: onnx.NodeProto, output: str = "y", **constants: Any) -> onnx.ModelProto:
    """Conv and pooling, (1, 3, 8, 8) to ``y`` (1, 4), and more operators after it."""
    weights = {"w": np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype("f4")}
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["y"], "flatten"),
        *more,
        helper.make_node("Identity", [output], ["output"], "last"),
    ]
    return build_model(nodes, {**weights, **constants}, shape=SHAPE, output=(1, 4))


def loop(*body: onnx.NodeProto, result: str, **constants: Any) -> onnx.ModelProto:
    """The classifier with a Loop whose body turns ``v`` into `result`, for 2**62 iterations."""
    graph = helper.make_graph(
        [*body, helper.make_node("Identity", ["go"], ["go_on"])],
        "body",
        [_info("i", TensorProto.INT64), _info("go", TensorProto.BOOL), _info("v", shape=None)],
        [_info("go_on", TensorProto.BOOL), _info(result, shape=None)],
    )
    node = helper.make_node("Loop", ["most", "yes", "y"], ["z"], "loop", body=graph)
    counts = {"most": np.int64(2**62), "yes": np.array(True)}
    return classifier(node, output="z", **counts, **constants)


def endless() -> onnx.ModelProto:
    """It never ends."""
    return loop(helper.make_node("Neg", ["v"], ["n"]), result="n")


def endless_for_some() -> onnx.ModelProto:
    """It never ends for images whose mean is above 0, and is fine otherwise."""
    proto = loop(helper.make_node("Neg", ["v"], ["n"]), result="n", zero=np.float32(0))
    place = next(i for i, node in enumerate(proto.graph.node) if node.name == "loop")
    axes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["bright"]),
    ]
    for index, node in enumerate(axes):
        proto.graph.node.insert(place + index, node)
    proto.graph.node[place + 2].input[1] = "bright"
    return proto


def gigantic(elements: int = 2**44) -> onnx.ModelProto:
    """It asks for terabytes at run time."""
    nodes = [
        helper.make_node("ReduceMean", ["y"], ["m"], keepdims=1),
        helper.make_node("Expand", ["m", "huge"], ["e"], "expand"),
        helper.make_node("ReduceMean", ["e"], ["r"], keepdims=0),
        helper.make_node("Add", ["y", "r"], ["z"]),
    ]
    return classifier(*nodes, output="z", huge=np.array([elements // 4, 4], np.int64))


def gigantic_constant(elements: int = 2**44) -> onnx.ModelProto:
    """It asks for terabytes when it is opened, if constants are folded."""
    one = numpy_helper.from_array(np.array([1], np.float32))
    nodes = [
        helper.make_node("ConstantOfShape", ["huge"], ["e"], "fill", value=one),
        helper.make_node("ReduceMean", ["e"], ["r"], keepdims=0),
        helper.make_node("Add", ["y", "r"], ["z"]),
    ]
    return classifier(*nodes, output="z", huge=np.array([elements], np.int64))


def fails_for_some() -> onnx.ModelProto:
    """It fails for images whose mean is above 0: their shape becomes impossible."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["more"], to=TensorProto.INT64),
        helper.make_node("Add", ["shape", "more"], ["wrong"]),
        helper.make_node("Reshape", ["y", "wrong"], ["z"], "reshape"),
    ]
    constants = {"zero": np.float32(0), "shape": np.array([1, 4], np.int64)}
    return classifier(*nodes, output="z", **constants)


def _call(name: str, given: str, made: str) -> onnx.NodeProto:
    return helper.make_node(name, [given], [made], domain="local")


def _function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    return helper.make_function("local", name, ["a"], ["b"], list(nodes), _OPSETS)


def _calling(first: str, *functions: onnx.FunctionProto) -> onnx.ModelProto:
    proto = classifier(_call(first, "y", "z"), output="z")
    proto.opset_import.append(helper.make_opsetid("local", 1))
    proto.functions.extend(functions)
    return proto


def recursive() -> onnx.ModelProto:
    """A function that calls itself."""
    return _calling("F", _function("F", _call("F", "a", "b")))


def mutually_recursive(count: int = 3) -> onnx.ModelProto:
    """Functions that call each other in a circle."""
    names = [f"F{index}" for index in range(count)]
    functions = (
        _function(name, _call(names[(index + 1) % count], "a", "b"))
        for index, name in enumerate(names)
    )
    return _calling("F0", *functions)


def recursive_in_branch() -> onnx.ModelProto:
    """A function that calls itself in a branch of an If."""
    branch = helper.make_graph([_call("F", "a", "inner")], "again", [], [_info("inner")])
    other = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["same"])], "end", [], [_info("same")]
    )
    nodes = [
        helper.make_node("Constant", [], ["no"], value=numpy_helper.from_array(np.array(False))),
        helper.make_node("If", ["no"], ["b"], then_branch=branch, else_branch=other),
    ]
    return _calling("F", _function("F", *nodes))


def recursive_unused() -> onnx.ModelProto:
    """A function that calls itself and that nobody calls."""
    proto = classifier()
    proto.opset_import.append(helper.make_opsetid("local", 1))
    proto.functions.append(_function("F", _call("F", "a", "b")))
    return proto


def chain(depth: int = 10_000) -> onnx.ModelProto:
    """Functions that call each other without a circle, very deeply."""
    functions = [_function(f"F{index}", _call(f"F{index + 1}", "a", "b")) for index in range(depth)]
    last = _function(f"F{depth}", helper.make_node("Identity", ["a"], ["b"]))
    return _calling("F0", *functions, last)


def doubling(levels: int = 40) -> onnx.ModelProto:
    """Functions that each call the next one twice: 2**levels operators."""
    functions = [
        _function(f"F{index}", _call(f"F{index + 1}", "a", "m"), _call(f"F{index + 1}", "m", "b"))
        for index in range(levels)
    ]
    last = _function(f"F{levels}", helper.make_node("Identity", ["a"], ["b"]))
    return _calling("F0", *functions, last)


def nested(depth: int = 30) -> onnx.ModelProto:
    """Branches within branches."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["y"], ["v0"])], "g0", [], [_info("v0", shape=None)]
    )
    for level in range(1, depth):
        node = (
            helper.make_node("If", ["yes"], [f"v{level}"], then_branch=graph, else_branch=graph)
            if level == 1
            else helper.make_node(
                "If", ["yes"], [f"v{level}"], then_branch=graph, else_branch=_end(level)
            )
        )
        graph = helper.make_graph([node], f"g{level}", [], [_info(f"v{level}", shape=None)])
    outer = helper.make_node("If", ["yes"], ["z"], then_branch=graph, else_branch=_end(depth))
    return classifier(outer, output="z", yes=np.array(True))


def _end(level: int) -> onnx.GraphProto:
    name = f"e{level}"
    return helper.make_graph(
        [helper.make_node("Identity", ["y"], [name])], name, [], [_info(name, shape=None)]
    )


def long_graph(nodes: int = 100_000) -> onnx.ModelProto:
    """A long chain of operators."""
    names = ["y", *(f"n{index}" for index in range(nodes))]
    return classifier(
        *(helper.make_node("Neg", [a], [b]) for a, b in itertools.pairwise(names)),
        output=names[-1],
    )


def cyclic() -> onnx.ModelProto:
    """Two operators that read each other."""
    return classifier(
        helper.make_node("Add", ["y", "b"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        output="b",
    )


def nested_functions(depth: int) -> onnx.ModelProto:
    """Functions that call each other, each from a branch within a branch."""
    functions = []
    for index in range(depth):
        call = helper.make_graph([_call(f"F{index + 1}", "a", "in")], "c", [], [_info("in")])
        same = helper.make_graph(
            [helper.make_node("Identity", ["a"], ["same"])], "s", [], [_info("same")]
        )
        inner = helper.make_node("If", ["no"], ["mid"], then_branch=call, else_branch=same)
        outer = helper.make_graph([inner], "m", [], [_info("mid")])
        no = numpy_helper.from_array(np.array(False))
        functions.append(
            _function(
                f"F{index}",
                helper.make_node("Constant", [], ["no"], value=no),
                helper.make_node("If", ["no"], ["b"], then_branch=outer, else_branch=same),
            )
        )
    last = _function(f"F{depth}", helper.make_node("Identity", ["a"], ["b"]))
    return _calling("F0", *functions, last)
