"""OpenVINO: FP32 in FP32, the files that it opens, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.errors import ModelError, RuntimeUnavailableError, SpecError
from pytest_kycquant.runtimes import library
from pytest_kycquant.spec.recipe import Recipe
from pytest_kycquant.spec.runtime import Runtime
from tests.worlds.zoo import images, save, tiny_embedder

openvino = pytest.importorskip("openvino", reason="pip install -e .[openvino]")
HERE = Runtime("openvino")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save(tmp_path, tiny_embedder(batch="batch"))


def ir(path: Path) -> Path:
    """The same model as OpenVINO IR."""
    openvino.save_model(openvino.convert_model(path), path.with_suffix(".xml"), False)
    return path.with_suffix(".xml")


@pytest.mark.parametrize("form", ["path", "content", "ir"])
def test_outputs_are_those_of_onnxruntime(path: Path, form: str) -> None:
    given = {"path": lambda: path, "content": path.read_bytes, "ir": lambda: ir(path)}[form]()
    model, reference = library(HERE).open(given), library().open(path)
    assert (model.inputs, model.outputs) == (reference.inputs, reference.outputs)
    assert model.input_ports == reference.input_ports
    for image in images(3):
        (found,), (expected,) = model.run({"input": image}), reference.run({"input": image})
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_results_stay_when_the_model_runs_again(path: Path) -> None:
    model = library(HERE).open(path)
    one, other = images(2)
    (first,) = model.run({"input": one})
    kept = first.copy()
    model.run({"input": other})
    assert (first == kept).all()


def test_a_runner_runs(path: Path) -> None:
    model = library(HERE).open(path)
    model.runner({"input": images(1)[0]})()


def test_other_shapes_of_inputs(path: Path) -> None:
    """Compiled anew for each, and the first still works afterwards."""
    model = library(HERE).open(path)
    (image,) = images(1)
    (before,) = model.run({"input": image})
    batch = np.concatenate([image] * 3)
    (three,) = model.run({"input": batch})
    assert three.shape[0] == 3
    (after,) = model.run({"input": image})
    assert (before == after).all()
    np.testing.assert_allclose(three[2:], before, atol=1e-5 * np.abs(before).max())


def test_fp32_is_computed_in_fp32(path: Path) -> None:
    assert library(HERE).settings()["INFERENCE_PRECISION_HINT"] == "f32"
    assert "float32" in library(HERE).describe()


@pytest.mark.parametrize("computes", ["bfloat16", "float16"])
def test_a_type_that_this_cpu_lacks(path: Path, computes: str) -> None:
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    opener = library(Runtime("openvino", computes=computes))  # type: ignore[arg-type]
    if {"bfloat16": "BF16", "float16": "FP16"}[computes] in capabilities:
        opener.open(path).run({"input": images(1)[0]})
        return
    with pytest.raises(RuntimeUnavailableError, match=f"in {computes}: OpenVINO does not compute"):
        opener.open(path)


def test_an_option_that_a_verdict_depends_on() -> None:
    with pytest.raises(SpecError, match="INFERENCE_PRECISION_HINT is set by the verdict itself"):
        library(Runtime("openvino", options={"INFERENCE_PRECISION_HINT": "bf16"}))


@pytest.mark.parametrize("option", [{"NO_SUCH": 1}, {"ENABLE_HYPER_THREADING": "17"}])
def test_an_option_that_openvino_does_not_know(path: Path, option: dict[str, str]) -> None:
    """It is the option that is named, not the model."""
    opener = library(Runtime("openvino", options=option))
    with pytest.raises(SpecError, match=f"Runtime.options: .*{next(iter(option))}"):
        opener.open(path)


def test_an_input_of_another_shape(path: Path) -> None:
    with pytest.raises(ModelError, match=r"OpenVINO cannot compile it .*validating .*Conv"):
        library(HERE).open(path).run({"input": np.zeros((1, 5, 32, 32), np.float32)})
    fixed = library(HERE).open(save(path.parent, tiny_embedder(), "fixed.onnx"))
    with pytest.raises(ModelError, match=r"fixed\.onnx: fails \(.*are incompatible"):
        fixed.run({"input": np.zeros((1, 5, 32, 32), np.float32)})


def test_bf16_is_a_precision_of_openvino_only() -> None:
    assert Recipe("bf16", runtime="openvino").runs_on.computes == "bfloat16"
    with pytest.raises(SpecError, match=r"Recipe\('bf16'\): does not run on onnxruntime; give"):
        Recipe("bf16")
