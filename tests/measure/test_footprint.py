"""Load time and memory of a model, in a process of its own."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.errors import MeasurementError
from pytest_kycquant.measure.footprint import Footprint, measure_footprint
from pytest_kycquant.pipeline import memory

IMAGE = np.zeros((1, 64), np.float32)


def write(path: Path, megabytes: int) -> Path:
    """A model whose single weight takes that much memory."""
    weight: NDArray[np.float32] = np.zeros((64, megabytes * 1_000_000 // 256), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, weight.shape[1]])],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_memory_is_that_of_the_model(tmp_path: Path) -> None:
    """Neither what Python holds nor the buffer of a file that was read before."""
    small, large = (write(tmp_path / f"{size}.onnx", size) for size in (1, 100))
    one = measure_footprint([small], [IMAGE], "small")
    other = measure_footprint([large], [IMAGE], "large")
    both = measure_footprint([large, large], [IMAGE, IMAGE], "both")
    assert one.memory_mb is not None
    assert other.memory_mb is not None
    assert both.memory_mb is not None
    assert one.memory_mb < 40
    # Parsing a model takes its weights twice or more.
    assert 100 < other.memory_mb - one.memory_mb < 500
    assert both.memory_mb - other.memory_mb > 90
    assert other.load_ms > one.load_ms > 0


def test_failing_process(tmp_path: Path) -> None:
    missing = tmp_path / "none.onnx"
    with pytest.raises(MeasurementError, match=r"memory of it: its process ended with 1 \(FileNo"):
        measure_footprint([missing], [IMAGE], "it")


def test_peak_is_forgotten() -> None:
    before = memory.peak_bytes()
    ballast = bytearray(150_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    del ballast
    high = memory.peak_bytes()
    low = memory.forget_peak()
    assert before is not None
    assert high is not None
    assert low is not None
    assert high - low > 100_000_000


def test_what_is_not_known_is_left_out() -> None:
    assert Footprint(3.0, None).as_dict() == {"load_ms": 3.0}
