"""A Transpose that moves the batch before a MatMul: in float16 it crashes onnxruntime 1.32."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pytest_kycquant.quantize.half_transposes import moved_batches
from tests.worlds.zoo import build_model, save

ATTENDED = """
import sys
import numpy as np
import pytest_kycquant
noise = [np.random.default_rng(i).normal(size=(1, 3, 32, 32)).astype("float32") for i in range(4)]
made = pytest_kycquant.quantize(sys.argv[1], noise, "fp16", output=sys.argv[2])
print(made.notes)
"""


def attention(perm: list[int], back: list[int], between: str = "") -> onnx.ModelProto:
    """Patches of an image, (1, 16, 8), moved, multiplied, and moved back."""
    rng = np.random.default_rng(0)
    width = 8 if perm[-1] == 2 else 16 if perm[-1] == 1 else 1
    weights = {
        "patches": rng.normal(size=(8, 3, 8, 8)).astype(np.float32) / 14,
        "shape": np.array([1, 8, 16]),
        "scale": np.ones(8, np.float32),
        "w": rng.normal(size=(width, 24)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "patches"], ["c"], "conv", strides=[8, 8]),
        helper.make_node("Reshape", ["c", "shape"], ["r"], "reshape"),
        helper.make_node("Transpose", ["r"], ["t"], "places", perm=[0, 2, 1]),
        helper.make_node("LayerNormalization", ["t", "scale"], ["n"], "norm"),
        helper.make_node("Transpose", ["n"], ["m"], "moved", perm=perm),
        *([helper.make_node(between, ["m"], ["b"], "between")] if between else []),
        helper.make_node("MatMul", ["b" if between else "m", "w"], ["p"], "product"),
        helper.make_node("Transpose", ["p"], ["output"], "back", perm=back),
    ]
    return build_model(nodes, weights, output=("a", "b", "c"))


@pytest.mark.parametrize("perm", [[1, 0, 2], [1, 2, 0]])
@pytest.mark.parametrize("between", ["", "Identity"])
def test_the_variant_can_be_opened(tmp_path: Path, perm: list[int], between: str) -> None:
    path, made = save(tmp_path, attention(perm, [1, 0, 2], between)), tmp_path / "half.onnx"
    # In a process of its own, which may crash.
    command = [sys.executable, "-c", ATTENDED, str(path), str(made)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 Transpose before a MatMul stays in FP32: in float16 it crashes" in done.stdout
    graph = onnx.shape_inference.infer_shapes(onnx.load(made)).graph
    types = {info.name: info.type.tensor_type.elem_type for info in graph.value_info}
    (moved,) = (node for node in graph.node if node.name == "moved")
    (product,) = (node for node in graph.node if node.name == "product")
    assert types[moved.input[0]] == TensorProto.FLOAT
    assert types[product.output[0]] == TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("perm", "found"),
    [
        ([1, 0, 2], {"moved"}),
        ([1, 2, 0], {"moved"}),
        ([0, 2, 1], set()),
        ([2, 0, 1], set()),
        ([2, 1, 0], set()),
        ([1, 2, 0, 3], {"moved"}),
        ([1, 2, 3, 0], {"moved"}),
        ([0, 2, 1, 3], set()),
        ([1, 0, 2, 3], set()),
        ([1, 0], set()),
    ],
)
def test_only_where_the_first_axis_moves_into_the_product(perm: list[int], found: set[str]) -> None:
    assert moved_batches(attention(perm, [0, 1, 2]).graph) == found
