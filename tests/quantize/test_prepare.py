from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.errors import ModelError, QuantizationError
from pytest_kycquant.quantize import (
    load_model,
    operators,
    postprocessing,
    prepare,
)
from tests.worlds.scenery import detector
from tests.worlds.zoo import build_model, images, ready, save, tiny_embedder


@pytest.mark.parametrize("opset", [9, 11])
def test_an_old_opset_is_upgraded_and_verified(tmp_path, opset):
    prepared = ready(tmp_path, tiny_embedder(opset=opset))
    assert prepared.opset_upgraded_from == opset
    assert prepared.proto.opset_import[0].version == 17
    assert prepared.max_difference <= 1e-6


def test_a_later_opset_stays(tmp_path):
    prepared = ready(tmp_path, tiny_embedder(opset=18))
    assert prepared.opset_upgraded_from is None
    assert prepared.proto.opset_import[0].version == 18


def test_the_loaded_model_is_not_changed(tmp_path):
    model = load_model(save(tmp_path, tiny_embedder(named=False, opset=11)))
    before = model.proto.SerializeToString()
    prepare(model, images(1))
    assert model.proto.SerializeToString() == before


def test_every_operator_gets_a_name_of_its_own(tmp_path):
    proto = tiny_embedder(named=False)
    proto.graph.node[2].name = "Conv_0"
    names = [node.name for node in ready(tmp_path, proto).proto.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert names[0] == "Conv_0_2"


def test_operators_are_those_with_weights_in_graph_order(tmp_path):
    assert operators(ready(tmp_path)) == ("stem", "depthwise", "project", "embed")


def test_postprocessing_is_what_leads_to_no_weights(tmp_path):
    assert postprocessing(ready(tmp_path)) == ()
    prepared = prepare(
        load_model(save(tmp_path, detector())), [np.zeros((1, 3, 64, 64), np.float32)]
    )
    assert postprocessing(prepared) == ("flatten", "reshape", "sigmoid", "concat")


def test_old_models_declare_weights_as_inputs(tmp_path):
    proto = tiny_embedder(opset=9)
    proto.ir_version = 3
    proto.graph.input.extend(
        helper.make_tensor_value_info(t.name, TensorProto.FLOAT, t.dims)
        for t in proto.graph.initializer
    )
    assert [i.name for i in ready(tmp_path, proto).proto.graph.input] == ["input"]


def test_constants_and_copies_of_weights_become_initializers(tmp_path):
    proto = tiny_embedder()
    w1 = proto.graph.initializer[0]
    nodes = [
        helper.make_node("Constant", [], ["held"], value=w1),
        helper.make_node("Identity", ["held"], ["copied"]),
        *proto.graph.node,
    ]
    nodes[2].input[1] = "copied"
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    del proto.graph.initializer[0]
    graph = ready(tmp_path, proto).proto.graph
    assert graph.node[0].op_type == "Conv"
    assert graph.node[0].input[1] in {tensor.name for tensor in graph.initializer}


def test_types_of_all_tensors_are_inferred(tmp_path):
    proto = ready(tmp_path).proto
    known = {info.name for info in (*proto.graph.value_info, *proto.graph.output)}
    assert {name for node in proto.graph.node for name in node.output} <= known


def test_a_model_that_cannot_run_is_refused(tmp_path):
    proto = tiny_embedder()
    proto.graph.node[0].name = proto.graph.node[1].name
    model = load_model(save(tmp_path, proto))
    with pytest.raises(ModelError, match="onnxruntime cannot run it"):
        prepare(model, images(1))


def test_an_opset_that_cannot_be_upgraded_is_named(tmp_path, monkeypatch):
    def refuse(proto: onnx.ModelProto, version: int) -> onnx.ModelProto:
        raise RuntimeError("no adapter\nfor Upsample")

    monkeypatch.setattr("onnx.version_converter.convert_version", refuse)
    with pytest.raises(QuantizationError, match=r"opset 9 to 17 \(no adapter for Upsample"):
        ready(tmp_path, tiny_embedder(opset=9))


def test_nothing_to_verify_with_is_an_error(tmp_path):
    model = load_model(save(tmp_path, tiny_embedder()))
    with pytest.raises(QuantizationError, match="no inputs"):
        prepare(model, [])


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_a_difference_is_an_error(tmp_path, monkeypatch, value):
    def upgrade_wrongly(path: Path, opset: int, proto: onnx.ModelProto) -> onnx.ModelProto:
        proto.opset_import[0].version = 17
        proto.ir_version = 8
        bias = next(t for t in proto.graph.initializer if t.name == "b4")
        bias.CopyFrom(numpy_helper.from_array(np.full(16, value, np.float32), "b4"))
        return proto

    monkeypatch.setattr("pytest_kycquant.quantize.preparation.upgraded", upgrade_wrongly)
    with pytest.raises(QuantizationError, match="output 'output' changed by"):
        ready(tmp_path, tiny_embedder(opset=11))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("opset", [9, 17])
def test_a_batch_normalization_behind_a_convolution_is_folded(tmp_path, opset, bias):
    graph = ready(tmp_path, normalized(opset, bias)).proto.graph
    assert [node.op_type for node in graph.node] == ["Conv", "Relu"]
    assert graph.node[0].name == "conv"
    assert len(graph.initializer) == 2


def test_a_convolution_that_is_read_twice_keeps_its_normalization(tmp_path):
    proto = normalized(17, True)
    proto.graph.node[2].op_type = "Add"
    proto.graph.node[2].input.append("c")
    graph = ready(tmp_path, proto).proto.graph
    assert [node.op_type for node in graph.node] == ["Conv", "BatchNormalization", "Add"]


def normalized(opset: int, bias: bool) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((3, 1, 3, 3)).astype(np.float32)}
    for name in ("scale", "shift", "mean", "variance", "b"):
        weights[name] = rng.uniform(0.5, 2, 3).astype(np.float32)
    norm = ["c", "scale", "shift", "mean", "variance"]
    inputs = ["input", "w", "b"] if bias else ["input", "w"]
    if not bias:
        del weights["b"]
    nodes = [
        helper.make_node("Conv", inputs, ["c"], "conv", group=3, pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", norm, ["n"], "norm", epsilon=1e-3),
        helper.make_node("Relu", ["n"], ["output"], "relu"),
    ]
    return build_model(nodes, weights, output=(1, 3, 32, 32), opset=opset)
