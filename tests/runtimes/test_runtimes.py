"""A runtime is one line in a table, and files are opened and run through it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pytest_kycquant.errors import ModelError, SpecError
from pytest_kycquant.runtimes import RUNTIMES, Port, library
from pytest_kycquant.spec.recipe import RECIPES, Recipe
from pytest_kycquant.spec.runtime import Runtime, RuntimeLine
from pytest_kycquant.tasks.outputs import run_model
from tests.worlds.population import FUNCTION, Run
from tests.worlds.projects import project, rewrite_ratio, run, shared_cache  # noqa: F401


class Line:
    """A model whose file holds a slope and an intercept."""

    inputs = ("x",)
    outputs = ("x again", "y")
    input_ports = (Port("x", (1, 1), "float32"),)
    output_ports = tuple(Port(name, (1, 1), "float32") for name in outputs)

    def __init__(self, path: Path) -> None:
        self._slope, self._intercept = json.loads(path.read_text())

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        return [inputs["x"], self._slope * inputs["x"] + self._intercept]

    def runner(self, inputs: Mapping[str, NDArray[Any]]) -> Callable[[], object]:
        return lambda: self.run(inputs)


class Toy:
    clock, stops = "thread", True

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def describe(self) -> str:
        return "toy 1.0"

    def load(self) -> None:
        pass

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> Line:
        assert isinstance(model, Path)
        return Line(model)

    def settings(self) -> Mapping[str, str]:
        return {"toys": "yes"}

    def in_float(self, model: bytes) -> int | None:
        return None


def first(outputs: list[NDArray[Any]]) -> NDArray[np.float32]:
    return np.asarray(outputs[0], np.float32)


def test_new_runtime_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(RUNTIMES, "toy", RuntimeLine(f"{__name__}:Toy", (".toy",)))
    (tmp_path / "model.toy").write_text("[2, 1]")
    model = library(Runtime("toy")).open(tmp_path / "model.toy")
    images = [("a", np.array([[1.0]], np.float32)), ("b", np.array([[3.0]], np.float32))]
    found = run_model(model, images, [], ("y",), first, threads=2)
    assert found.values.tolist() == [[3], [7]]
    assert library(Runtime("toy")).describe() == "toy 1.0"


class Broken(Toy):
    """onnxruntime, but every other output of a quantized model is NaN."""

    def describe(self) -> str:
        return "broken 1.0"

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> Any:
        opened = library().open(model, threads=threads, exact=exact)
        content = model if isinstance(model, bytes) else model.read_bytes()
        stored = onnx.ModelProto.FromString(content).graph.initializer
        if all(tensor.data_type == TensorProto.FLOAT for tensor in stored):
            return opened

        class Spoilt:
            inputs, outputs = opened.inputs, opened.outputs
            input_ports, output_ports = opened.input_ports, opened.output_ports
            runner = staticmethod(opened.runner)

            def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
                found = [np.array(value) for value in opened.run(inputs)]
                found[0].flat[::2] = np.nan
                return found

        return Spoilt()


class Elsewhere(Broken):
    """A runtime whose second version is broken."""

    version = 1

    def describe(self) -> str:
        return f"elsewhere {self.version}"

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> Any:
        if self.version == 2:
            return super().open(model, threads=threads, exact=exact)
        return library().open(model, threads=threads, exact=exact)


def test_a_precision_is_judged_on_its_runtime(
    monkeypatch: pytest.MonkeyPatch,
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    monkeypatch.setitem(RUNTIMES, "broken", RuntimeLine(f"{__name__}:Broken"))
    project()
    (pytester.path / "test_gate.py").write_text(
        FUNCTION
        + """
from pytest_kycquant import FaceGates, Recipe

class TestFace(FaceGates):
    model, limits, fallback = MODEL, LIMITS, None
    precisions = (Recipe("int8-weights", name="there", runtime="broken"), "int8-weights")
"""
    )
    result = run("-k", "finite or latency")
    result.assert_outcomes(passed=3, failed=1, deselected=8)
    result.stdout.fnmatch_lines(["*face: there FAIL finite", "there * FAIL finite*"])
    result.stdout.fnmatch_lines(["int8-weights * PASS (only finite, latency)"])


def test_another_version_of_a_runtime_is_judged_anew(
    monkeypatch: pytest.MonkeyPatch,
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    monkeypatch.setitem(RUNTIMES, "elsewhere", RuntimeLine(f"{__name__}:Elsewhere"))
    project(precisions='Recipe("int8-weights", name="there", runtime="elsewhere")', fallback=None)
    monkeypatch.setattr(Elsewhere, "version", 1)
    first = run("-k", "finite", "-v")
    first.assert_outcomes(passed=1, deselected=5)
    first.stdout.fnmatch_lines(["*runs on elsewhere 1"])
    monkeypatch.setattr(Elsewhere, "version", 2)
    second = run("-k", "finite", "-v")
    second.assert_outcomes(failed=1, deselected=5)
    second.stdout.fnmatch_lines(["*runs on elsewhere 2"])


def test_a_runtime_that_is_not_in_the_table() -> None:
    with pytest.raises(SpecError, match=r"runtime: 'onnxruntim' is unknown; did you mean 'onnxr"):
        Recipe("int8", runtime="onnxruntim")


@pytest.mark.parametrize("name", RECIPES)
def test_every_precision_runs_somewhere(name: str) -> None:
    assert set(RECIPES[name].runtimes) <= set(RUNTIMES)


def installed(name: str) -> str:
    """The name of a runtime, or skip the test if it is not installed."""
    for package in RUNTIMES[name].packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed: pip install -e .[{RUNTIMES[name].extra}]")
    return name


@pytest.fixture
def double(tmp_path: Path) -> Path:
    """A model with two inputs and two outputs."""
    names = ["a", "b", "sum", "product"]
    a, b, total, product = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in names
    )
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Mul", ["a", "b"], ["product"]),
    ]
    graph = helper.make_graph(nodes, "double", [a, b], [product, total])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("content", [False, True])
def test_onnxruntime(double: Path, content: bool) -> None:
    model = library().open(double.read_bytes() if content else double, threads=2)
    assert (model.inputs, model.outputs) == (("a", "b"), ("product", "sum"))
    given = {"b": np.array([[3, 4]], np.float32), "a": np.array([[1, 2]], np.float32)}
    assert [found.tolist() for found in model.run(given)] == [[[3, 8]], [[4, 6]]]


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_file_that_is_not_a_model(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"m\.onnx"):
        library(Runtime(installed(name))).open(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_description_imports_nothing_heavy(name: str) -> None:
    code = (
        "import sys; from pytest_kycquant.runtimes import library;"
        "from pytest_kycquant.spec.runtime import Runtime;"
        f"found = library(Runtime({installed(name)!r}));"
        "print(found.describe()); before = len(sys.modules);"
        "print({'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)); found.load();"
        "print(len(sys.modules) > before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    described, heavy, loaded = done.stdout.strip().splitlines()
    assert described.startswith(f"{name} ")
    assert (heavy, loaded) == ("set()", "True")
