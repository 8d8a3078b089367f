"""Local functions hide nothing: neither by their names nor in the defaults of their attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds import graph_writer, monsters
from tests.worlds.disguises import DISGUISES, disguised
from tests.worlds.graph_writer import Writer, codes, weight
from tests.worlds.zoo import save

OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]


def runs(proto: onnx.ModelProto) -> np.ndarray:
    """What onnxruntime computes with a model of `disguises`."""
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": np.ones((1, 3, 16, 16), np.float32)})[0]


def refused(folder: Path, proto: onnx.ModelProto) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(save(folder, proto))
    return caught.value.problem


def define(
    proto: onnx.ModelProto, domain: str, name: str, *, count: int = 1, overload: str = ""
) -> onnx.ModelProto:
    """Add a function that returns a constant."""
    body = [helper.make_node("Constant", [], ["y"], value_float=1.0)]
    inputs = [f"i{number}" for number in range(count)]
    function = helper.make_function(domain, name, inputs, ["y"], body, OPSETS[:1], ["to"])
    if overload:
        function.overload = overload
    proto.functions.append(function)
    return proto


# Names


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
@pytest.mark.parametrize("name", ["int8", "float16 at load", "palette", "rounded at load"])
def test_a_function_does_not_hide_an_operator(tmp_path: Path, name: str, domain: str) -> None:
    proto = disguised(name)
    before = runs(proto)
    operator = next(
        node.op_type for node in proto.graph.node if node.op_type in ("Cast", "Gather", "Round")
    )
    define(proto, domain, operator)
    assert (runs(proto) == before).all()  # the function is not called
    problem = refused(tmp_path, proto)
    assert f"function '{operator}' in the domain 'ai.onnx'" in problem


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("", "DequantizeLinear"),
        ("", "RandomNormalLike"),
        ("", "Conv"),
        ("", "NotAnOperator"),  # onnxruntime calls no function in this domain
        ("ai.onnx.ml", "LabelEncoder"),
        ("ai.onnx.preview.training", "Adam"),
        ("com.microsoft", "MatMulNBits"),
        ("com.microsoft", "Gelu"),
        ("com.microsoft.nchwc", "Conv"),
        ("com.ms.internal.nhwc", "Conv"),
    ],
)
@pytest.mark.parametrize("overload", ["", "other"])
def test_names_of_operators_are_refused_for_functions(
    tmp_path: Path, domain: str, name: str, overload: str
) -> None:
    proto = define(monsters.classifier(), domain, name, overload=overload)
    assert f"defines the function '{name}' in the domain" in refused(tmp_path, proto)


def test_a_random_operator_behind_a_function(tmp_path: Path) -> None:
    noise = helper.make_node("RandomNormalLike", ["y"], ["z"])
    proto = define(monsters.classifier(noise, output="z"), "", "RandomNormalLike")
    assert "whose operators onnxruntime prefers" in refused(tmp_path, proto)


@pytest.mark.parametrize(
    "domain", ["local", "pkg.onnxscript.torch_lib", "torch.nn.modules", "com.microsoft", "this"]
)
@pytest.mark.parametrize("name", ["Relu6", "aten_gelu"])
def test_functions_in_domains_of_exporters_are_legitimate(
    tmp_path: Path, domain: str, name: str
) -> None:
    opset = helper.make_opsetid(domain, 1)
    body = [helper.make_node("Relu", ["a"], ["b"])]
    proto = monsters.classifier(helper.make_node(name, ["y"], ["z"], domain=domain), output="z")
    proto.functions.append(helper.make_function(domain, name, ["a"], ["b"], body, OPSETS[:1]))
    proto.opset_import.append(opset)
    load_model(save(tmp_path, proto))


def test_an_integer_operator_behind_another_overload_is_seen(tmp_path: Path) -> None:
    proto = monsters.classifier(
        helper.make_node("QLinearThing", ["y"], ["z"], domain="local"), output="z"
    )
    define(proto, "local", "QLinearThing", overload="v2")
    proto.opset_import.append(OPSETS[1])
    refused(tmp_path, proto)


# Defaults of attributes


def reference(name: str, kind: int, target: str) -> AttributeProto:
    return AttributeProto(name=name, ref_attr_name=target, type=kind)


def stored_in_default(default: AttributeProto, *then: onnx.NodeProto) -> onnx.ModelProto:
    """A model whose weight is computed by a function from the default of its attribute."""
    field = {AttributeProto.TENSOR: "value", AttributeProto.INTS: "value_ints"}[default.type]
    first = helper.make_node("Constant", [], ["q"])
    first.attribute.append(reference(field, default.type, default.name))
    function = helper.make_function(
        "local", "Weight", [], ["w"], [first, *then], OPSETS, attribute_protos=[default]
    )
    writer = Writer()
    writer.node("Weight", [], "w", domain="local")
    return graph_writer.model(writer, functions=[function])


def scaled(scale: float) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", ["q"], ["f"], to=1),
        helper.make_node("Constant", [], ["s"], value_float=float(scale)),
        helper.make_node("Mul", ["f", "s"], ["w"]),
    ]


def tensor_default(array: np.ndarray) -> AttributeProto:
    return helper.make_attribute("stored", numpy_helper.from_array(array, "stored"))


def integers() -> onnx.ModelProto:
    numbers, scale = codes(weight(), 4)
    return stored_in_default(tensor_default(numbers.astype(np.int8)), *scaled(scale))


def wide_integers() -> onnx.ModelProto:
    numbers, scale = codes(weight(), 4)
    return stored_in_default(tensor_default(numbers), *scaled(scale))


def halves() -> onnx.ModelProto:
    return stored_in_default(tensor_default(weight().astype(np.float16)), *scaled(1.0))


def list_of_integers() -> onnx.ModelProto:
    numbers, scale = codes(weight(), 4)
    shape = numpy_helper.from_array(np.array(graph_writer.SHAPE), "shape")
    nodes = scaled(scale)
    nodes[-1].output[0] = "flat"
    nodes.append(helper.make_node("Constant", [], ["shape"], value=shape))
    nodes.append(helper.make_node("Reshape", ["flat", "shape"], ["w"]))
    return stored_in_default(helper.make_attribute("stored", numbers.ravel().tolist()), *nodes)


def rounded() -> onnx.ModelProto:
    numbers, scale = codes(weight())
    array = (numbers * scale).astype(np.float32)
    same = helper.make_node("Identity", ["q"], ["w"])
    return stored_in_default(tensor_default(array), same)


def through_another() -> onnx.ModelProto:
    """The function that has the default is called by another one."""
    proto = integers()
    call = helper.make_node("Weight", [], ["v"], domain="local")
    proto.functions.append(helper.make_function("local", "Outer", [], ["v"], [call], OPSETS))
    next(node for node in proto.graph.node if node.op_type == "Weight").op_type = "Outer"
    return proto


def passed_on() -> onnx.ModelProto:
    """The default of one function is passed to that of another."""
    proto = integers()
    call = helper.make_node("Weight", [], ["v"], domain="local")
    call.attribute.append(reference("stored", AttributeProto.TENSOR, "given"))
    default = proto.functions[0].attribute_proto[0]
    given = helper.make_attribute("given", default.t)
    proto.functions[0].attribute_proto[0].t.CopyFrom(
        numpy_helper.from_array(np.zeros(graph_writer.SHAPE, np.float32), "zeros")
    )
    proto.functions.append(
        helper.make_function("local", "Outer", [], ["v"], [call], OPSETS, attribute_protos=[given])
    )
    next(node for node in proto.graph.node if node.op_type == "Weight").op_type = "Outer"
    return proto


@pytest.mark.parametrize(
    "make",
    [integers, wide_integers, halves, list_of_integers, rounded, through_another, passed_on],
)
def test_weights_in_defaults_of_attributes_are_seen(tmp_path: Path, make: object) -> None:
    proto = make()
    onnx.checker.check_model(proto)
    runs(proto)
    problem = refused(tmp_path, proto)
    assert "quantized" in problem or "is not FP32" in problem


def test_a_default_that_is_lost_on_the_way_is_refused(tmp_path: Path) -> None:
    """What is passed on is not given, so the inner default holds."""
    proto = passed_on()
    outer = proto.functions[1]
    del outer.attribute_proto[:]
    outer.attribute.append("given")
    assert "its local functions cannot be expanded ('Outer')" in refused(tmp_path, proto)


def test_float_weights_in_defaults_are_legitimate(tmp_path: Path) -> None:
    same = helper.make_node("Identity", ["q"], ["w"])
    load_model(save(tmp_path, stored_in_default(tensor_default(weight()), same)))


def test_a_default_that_a_call_replaces(tmp_path: Path) -> None:
    """As functions of exporters have them: an optional attribute, given or not."""
    leaky = helper.make_node("LeakyRelu", ["a"], ["b"])
    leaky.attribute.append(reference("alpha", AttributeProto.FLOAT, "alpha"))
    alpha = helper.make_attribute("alpha", 0.5)
    function = helper.make_function(
        "local", "F", ["a"], ["b"], [leaky], OPSETS[:1], attribute_protos=[alpha]
    )
    for number, given in enumerate(({}, {"alpha": 0.1})):
        node = helper.make_node("F", ["y"], ["z"], domain="local", **given)
        proto = monsters.classifier(node, output="z")
        proto.functions.append(function)
        proto.opset_import.append(OPSETS[1])
        load_model(save(tmp_path, proto, f"{number}.onnx"))


def test_the_size_of_a_default_is_checked(tmp_path: Path) -> None:
    proto = integers()
    proto.functions[0].attribute_proto[0].t.dims[0] += 1
    assert "weight 'stored' is damaged: its shape" in refused(tmp_path, proto)


@pytest.mark.parametrize("location", ["missing.bin", "../outside.bin"])
def test_external_data_of_a_default_is_checked(tmp_path: Path, location: str) -> None:
    proto = integers()
    tensor = proto.functions[0].attribute_proto[0].t
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value=location)
    assert location.rpartition("/")[2] in refused(tmp_path, proto)


def test_names_of_attributes_of_functions_are_utf8(tmp_path: Path) -> None:
    content = integers().SerializeToString()
    path = tmp_path / "face.onnx"
    path.write_bytes(content.replace(b"stored", b"store\xff"))
    with pytest.raises(ModelError, match="is not UTF-8"):
        load_model(path)


@pytest.mark.parametrize("place", ["default", "call"])
def test_subgraphs_as_attributes_of_functions_are_refused(tmp_path: Path, place: str) -> None:
    writer = Writer()
    DISGUISES["int8"](writer, weight())
    info = helper.make_tensor_value_info("w", TensorProto.FLOAT, graph_writer.SHAPE)
    branch = helper.make_graph(writer.nodes, "branch", [], [info], writer.stored)
    held = helper.make_attribute("branch", branch)
    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    choice = helper.make_node("If", ["yes"], ["w"])
    for name in ("then_branch", "else_branch"):
        choice.attribute.append(reference(name, AttributeProto.GRAPH, "branch"))
    function = helper.make_function("local", "Weight", [], ["w"], [yes, choice], OPSETS)
    call = helper.make_node("Weight", [], ["w"], domain="local")
    if place == "default":
        function.attribute_proto.append(held)
    else:
        function.attribute.append("branch")
        call.attribute.append(held)
    outside = Writer()
    outside.nodes.append(call)
    proto = graph_writer.model(outside, functions=[function])
    assert "passes a subgraph to a local function" in refused(tmp_path, proto)
