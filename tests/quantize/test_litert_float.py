"""The ONNX graph that a converter is given: fixed shapes, and products written as layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import Quantizer
from pytest_kycquant.quantize.litert_float import check_same, with_shapes
from pytest_kycquant.runtimes import library


def model(folder: Path) -> Path:
    """A model of a free size: a convolution, a mean over the map and a product with a matrix."""
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.normal(size=(5, 3, 3, 3)).astype(np.float32),
        "axes": np.array([2, 3], np.int64),
        "matrix": rng.normal(size=(5, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("ReduceMean", ["b", "axes"], ["c"], name="mean", keepdims=0),
        helper.make_node("MatMul", ["c", "matrix"], ["y"], name="product"),
    ]
    graph = helper.make_graph(
        nodes,
        "free",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "m.onnx")
    return folder / "m.onnx"


def test_a_graph_for_a_converter(tmp_path: Path) -> None:
    path = model(tmp_path)
    image = np.random.default_rng(1).normal(size=(1, 3, 12, 10)).astype(np.float32)
    prepared = Quantizer(path, probes=[image]).prepared
    before = prepared.proto.SerializeToString()
    content = with_shapes(prepared, {"x": image})
    assert prepared.proto.SerializeToString() == before
    graph = onnx.load_model_from_string(content).graph
    assert "Gemm" in {node.op_type for node in graph.node}
    dims = {
        each.name: [d.dim_value for d in each.type.tensor_type.shape.dim]
        for each in (*graph.input, *graph.value_info, *graph.output)
    }
    assert dims["x"] == [1, 3, 12, 10]
    assert dims["a"] == [1, 5, 12, 10]
    assert all(all(sizes) for sizes in dims.values())
    (ours,), (theirs,) = (library().open(m).run({"x": image}) for m in (content, path))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_float_accuracy() -> None:
    check_same(1e-4, "m", "", "")
    with pytest.raises(ModelError, match=r"m: gives other outputs than FP32: they differ by 0\.5"):
        check_same(0.5, "m", "", "convert it again")
    with pytest.raises(ModelError, match=r"first at 'a' \(Conv\); rounding explains 0\.001; again"):
        check_same(0.5, "m", "'a' (Conv)", "again")
