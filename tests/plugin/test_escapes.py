"""Names in a model or a data set are somebody else's text: no terminal acts on them."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tests.worlds.population import Run

Project = Callable[..., None]
CLEAR = "\x1b[2J"
FORGED = "\nship: int8 (0.10 of the size of FP32)"
RIGHT_TO_LEFT = "\u202e"


def rename_operators(pytester: pytest.Pytester, suffix: str) -> None:
    path = pytester.path / "models" / "face.onnx"
    model = onnx.load(path)
    renamed = {tensor.name: tensor.name + suffix for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        tensor.name = renamed[tensor.name]
    for node in model.graph.node:
        node.name += suffix
        node.input[:] = [renamed.get(name, name) for name in node.input]
    onnx.save(model, path)


def clean(result: pytest.RunResult) -> bool:
    shown = result.stdout.str() + result.stderr.str()
    bad = (CLEAR, FORGED, RIGHT_TO_LEFT)
    return not any(text in shown for text in bad)


def test_operators_of_a_model(project: Project, run: Run, pytester: pytest.Pytester) -> None:
    project(golden=False, fragile=True)
    rename_operators(pytester, CLEAR + FORGED + RIGHT_TO_LEFT)
    result = run("--kycquant-update-golden", "--kycquant-report=report.json", "-v")
    assert clean(result)
    result.stdout.fnmatch_lines(["int8>mixed keeps *"])
    assert CLEAR not in (pytester.path / "report.json").read_text()
    json.loads((pytester.path / "report.json").read_text())


def test_error_that_names_an_operator(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project(golden=False)
    rename_operators(pytester, CLEAR)
    path = pytester.path / "models" / "face.onnx"
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    size = int(np.prod(weight.dims))
    weight.raw_data = np.full(size, np.nan, np.float32).tobytes()
    onnx.save(model, path)
    result = run("--kycquant-update-golden", "-k", "size")
    assert clean(result)
    result.stdout.fnmatch_lines(["*weight 'first.w?x1b[[]2J' contains NaN or Inf*"])


def test_people_of_a_data_set(project: Project, run: Run, pytester: pytest.Pytester) -> None:
    project(golden=False)
    for name in ("faces", "selection"):
        with np.load(pytester.path / f"{name}.npz") as arrays:
            images, subjects = arrays["images"], arrays["subjects"].copy()
        subjects = np.array([f"both{RIGHT_TO_LEFT}{i // 2}" for i in range(len(subjects))])
        np.savez(pytester.path / f"{name}.npz", images=images, subjects=subjects)
    result = run("--kycquant-update-golden", "-k", "size")
    assert clean(result)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
