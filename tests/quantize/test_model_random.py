"""A model that draws random numbers is not a function of its image, and is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds import monsters
from tests.worlds.zoo import save

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]


def _normal(**given: object) -> list[onnx.NodeProto]:
    return [
        helper.make_node("RandomNormal", [], ["n"], "noise", shape=[1, 4], scale=0.01, **given),
        helper.make_node("Add", ["y", "n"], ["z"]),
    ]


def _like(op_type: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node(op_type, ["y"], ["n"], "noise"),
        helper.make_node("Add", ["y", "n"], ["z"]),
    ]


GRAPHS: dict[str, list[onnx.NodeProto]] = {
    "RandomNormal": _normal(),
    "RandomNormal with a seed": _normal(seed=7.0),
    "RandomUniform": [
        helper.make_node("RandomUniform", [], ["n"], "noise", shape=[1, 4]),
        helper.make_node("Mul", ["y", "n"], ["z"]),
    ],
    "RandomNormalLike": _like("RandomNormalLike"),
    "RandomUniformLike": _like("RandomUniformLike"),
    "Bernoulli": [
        helper.make_node("Sigmoid", ["y"], ["s"]),
        helper.make_node("Bernoulli", ["s"], ["z"], "noise"),
    ],
    "Multinomial": [
        helper.make_node("Multinomial", ["y"], ["i"], "noise", sample_size=4),
        helper.make_node("Cast", ["i"], ["z"], to=1),
    ],
    "Dropout": [
        helper.make_node("Constant", [], ["r"], value=numpy_helper.from_array(np.float32(0.5))),
        helper.make_node("Constant", [], ["t"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("Dropout", ["y", "r", "t"], ["z"], "noise"),
    ],
    "Dropout that decides": [
        helper.make_node("Constant", [], ["r"], value=numpy_helper.from_array(np.float32(0.5))),
        helper.make_node("ReduceMax", ["y"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["t"], to=TensorProto.BOOL),
        helper.make_node("Dropout", ["y", "r", "t"], ["z"], "noise"),
    ],
}


def refused(folder: Path, proto: onnx.ModelProto, operator: str) -> None:
    with pytest.raises(
        ModelError, match=f"not a function of its image: {operator} 'noise(__1)?' draws"
    ):
        load_model(save(folder, proto))


@pytest.mark.parametrize("name", GRAPHS)
def test_random_operators_are_named(tmp_path: Path, name: str) -> None:
    proto = monsters.classifier(*GRAPHS[name], output="z")
    refused(tmp_path, proto, name.split()[0])


def test_in_a_branch(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        info = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4])
        return helper.make_graph(GRAPHS["RandomNormal"], name, [], [info])

    node = helper.make_node(
        "If", ["yes"], ["out"], then_branch=branch("a"), else_branch=branch("b")
    )
    proto = monsters.classifier(node, output="out", yes=np.array(True))
    refused(tmp_path, proto, "RandomNormal")


def test_in_the_body_of_a_loop(tmp_path: Path) -> None:
    noise = helper.make_node("RandomNormalLike", ["v"], ["n"], "noise")
    refused(tmp_path, monsters.loop(noise, result="n"), "RandomNormalLike")


def test_in_a_local_function(tmp_path: Path) -> None:
    body = [helper.make_node("RandomNormalLike", ["a"], ["b"], "noise")]
    proto = monsters.classifier(helper.make_node("F", ["y"], ["z"], domain="local"), output="z")
    proto.functions.append(helper.make_function("local", "F", ["a"], ["b"], body, OPSETS))
    proto.opset_import.append(OPSETS[1])
    refused(tmp_path, proto, "RandomNormalLike")


def test_dropout_in_evaluation_mode_is_legitimate(tmp_path: Path) -> None:
    for number, inputs in enumerate((["y"], ["y", "r"], ["y", "r", "no"], ["y", "", "no"])):
        node = helper.make_node("Dropout", inputs, ["z"])
        proto = monsters.classifier(node, output="z", r=np.float32(0.5), no=np.array(False))
        load_model(save(tmp_path, proto, f"{number}.onnx"))


def test_a_function_of_that_name_is_not_an_operator(tmp_path: Path) -> None:
    """What counts is what it does."""
    body = [helper.make_node("Neg", ["a"], ["b"])]
    node = helper.make_node("RandomNormalLike", ["y"], ["z"], domain="local")
    proto = monsters.classifier(node, output="z")
    name = "RandomNormalLike"
    proto.functions.append(helper.make_function("local", name, ["a"], ["b"], body, OPSETS))
    proto.opset_import.append(OPSETS[1])
    load_model(save(tmp_path, proto))
