"""The size gate in a real gate file: it fails files that are too large or were not quantized."""

from collections.abc import Callable

import pytest

from tests.worlds.outcomes import stopped
from tests.worlds.population import Run

STRICT = "--kycquant-strict"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("size_mb=0.04", "FAIL file size = * MB must be below 0.04 MB"),
        ("size_mb=0.0001", "FAIL file size = * MB must be below 0.0001 MB"),
    ],
)
def test_absolute_limit_fails(
    project: Callable[..., None], run: Run, limits: str, message: str
) -> None:
    project(limits=limits)
    result = run(STRICT)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["face: int8 FAIL size", message])


def test_relative_limit_fails(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("size_ratio=10.0", "size_ratio=0.2"))
    result = run(STRICT)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["FAIL size relative to FP32 = 0.3* must be below 0.2"])


def test_recipe_that_quantizes_nothing_is_an_error(project: Callable[..., None], run: Run) -> None:
    project(precisions='Recipe("int8", op_types=("LSTM",))')
    result = run(STRICT)
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*face.onnx as int8: the model has no operators of type LSTM*"])


def test_latency_limit_fails(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("latency_ratio=1000.0", "latency_ratio=0.01"))
    result = run(STRICT)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["face: int8 FAIL latency", "FAIL latency ratio to FP32 = *"])
