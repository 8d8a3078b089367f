"""Load time and memory of models, measured in a separate process."""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.errors import MeasurementError
from pytest_kycquant.measure import memory
from pytest_kycquant.measure.memory import Footprint, measure_footprint, run_afresh
from pytest_kycquant.runtimes.opening import Opening

IMAGE = np.zeros((1, 64), np.float32)


def write(path: Path, megabytes: int) -> Path:
    """Write a model whose single weight takes that much memory."""
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
    """Neither Python's own memory nor the buffer of a file read before counts."""
    small, large = (write(tmp_path / f"{size}.onnx", size) for size in (1, 100))
    one = measure_footprint(Opening((small,), (IMAGE,)), "small")
    other = measure_footprint(Opening((large,), (IMAGE,)), "large")
    both = measure_footprint(Opening((large, large), (IMAGE, IMAGE)), "both")
    assert one.memory_mb is not None
    assert other.memory_mb is not None
    assert both.memory_mb is not None
    assert one.memory_mb < 40
    # Parsing a model takes at least twice the memory of its weights.
    assert 100 < other.memory_mb - one.memory_mb < 500
    assert both.memory_mb - other.memory_mb > 90
    assert other.load_ms > one.load_ms > 0


def test_failing_process(tmp_path: Path) -> None:
    missing = tmp_path / "none.onnx"
    with pytest.raises(MeasurementError, match=r"memory of it: its process ended with 1 \(FileNo"):
        measure_footprint(Opening((missing,), (IMAGE,)), "it")


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
    assert Footprint(3.0, None).figures() == {"load_ms": 3.0}


@dataclass(frozen=True)
class Steps:
    """A job whose steps briefly hold a number of bytes, or sleep for some time."""

    ready: int = 0
    opening: int = 0
    running: int = 0
    seconds: float = 0.0

    def __call__(self) -> Callable[[], Callable[[], object]]:
        hold(self.ready)
        return self.open

    def open(self) -> Callable[[], object]:
        time.sleep(self.seconds)
        hold(self.opening)
        return lambda: hold(self.running)


class Talking(Steps):
    """A job that prints, as Python and as a library in C do."""

    def open(self) -> Callable[[], object]:
        print("loading")
        os.write(1, b"{}\n")
        return super().open()


def hold(size: int) -> None:
    ballast = bytearray(size)
    ballast[::4096] = b"x" * len(ballast[::4096])


def test_peak_and_growth_of_one_job() -> None:
    """The peak covers the whole process; the growth starts when everything is ready."""
    size = 150_000_000
    before, opened, ran = Steps(ready=size), Steps(opening=size), Steps(running=size)
    nothing = run_afresh(Steps(), "it", "nothing").peak
    assert nothing is not None
    for job, imports in ((before, 150), (opened, 0), (ran, 0)):
        peak = run_afresh(job, "it", "nothing").peak
        assert peak is not None
        assert peak.peak_mb - nothing.peak_mb == pytest.approx(150, abs=10)
        assert peak.imports_mb - nothing.imports_mb == pytest.approx(imports, abs=10)
        grown = measure_footprint(job, "it").memory_mb
        assert grown == pytest.approx(150 - imports, abs=10)


def test_load_time_is_that_of_opening() -> None:
    slow = measure_footprint(Steps(seconds=0.2), "it").load_ms
    assert slow >= 200
    assert measure_footprint(Steps(), "it").load_ms < slow


def test_what_libraries_print_is_not_the_answer() -> None:
    assert measure_footprint(Talking(), "it").load_ms >= 0


def test_what_is_printed_when_python_starts_is_not_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('{} welcome', end='')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert measure_footprint(Steps(), "it").load_ms >= 0


def test_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stay if both processes were killed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert measure_footprint(Steps(), "it").load_ms >= 0
