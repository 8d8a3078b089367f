"""Files that would keep a runtime busy for ever are errors, whatever their shapes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pytest_kycquant.errors import ModelError, SpecError
from pytest_kycquant.runtimes import time_limit, trial
from pytest_kycquant.runtimes.formats import identify
from pytest_kycquant.spec.runtime import REFERENCE, Runtime
from tests.worlds import monsters
from tests.worlds.zoo import save, tiny_embedder

pytest.importorskip("openvino", reason="pip install -e .[openvino]")
THERE = Runtime("openvino")
SHAPE = (1, 3, 8, 8)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_SOUND", set())
    monkeypatch.setattr(time_limit, "RUN_SECONDS", 8)


def try_out(path: Path, *samples: np.ndarray) -> None:
    trial.try_out(THERE, path, identify(path).digest, samples or (np.zeros(SHAPE, "f4"),))


def free(proto: onnx.ModelProto) -> onnx.ModelProto:
    """With height and width free."""
    for size, name in zip(proto.graph.input[0].type.tensor_type.shape.dim[2:], "hw", strict=True):
        size.dim_param = name
    return proto


@pytest.mark.parametrize("make", [monsters.endless, monsters.endless_for_some])
@pytest.mark.parametrize("shape", ["fixed", "free"])
def test_a_loop_that_never_ends(tmp_path: Path, make: object, shape: str) -> None:
    proto = make()  # type: ignore[operator]
    path = save(tmp_path, free(proto) if shape == "free" else proto)
    with pytest.raises(ModelError, match=r"keeps openvino busy for more than 8 s; .* never ends"):
        try_out(path)


@pytest.mark.parametrize("beyond", [-0.2, 3.0])
def test_a_loop_that_only_some_images_enter(tmp_path: Path, beyond: float) -> None:
    """Dark ones, once they are normalized, or those that only a sample of the model is like."""
    proto = monsters.endless_for_some()
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(beyond), "limit"))
    for node in proto.graph.node:
        if node.op_type == "Greater":
            node.input[1] = "limit"
            node.op_type = "Less" if beyond < 0 else "Greater"
    path = save(tmp_path, proto)
    with pytest.raises(ModelError, match=r"keeps openvino busy for more than 8 s"):
        try_out(path, np.full(SHAPE, 5, "f4"))
    if beyond > 0:
        try_out(path)  # which no harmless sample shows


def test_a_sound_file_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, tiny_embedder(batch="batch"))
    try_out(path)
    monkeypatch.setattr(trial, "_START", "raise SystemExit(1)")
    try_out(path)
    monkeypatch.setattr(trial, "_SOUND", set())
    with pytest.raises(ModelError, match=r"crashes openvino \(status 1\)"):
        try_out(path)


def test_a_mistake_in_the_options_is_no_fault_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, tiny_embedder())
    wrong = Runtime("openvino", options={"CACHE_DIRR": "x"})
    with pytest.raises(SpecError, match=r"Runtime\.options: .*CACHE_DIRR"):
        trial.try_out(wrong, path, identify(path).digest)


def test_what_the_runtime_says_of_a_file(tmp_path: Path) -> None:
    path = save(tmp_path, tiny_embedder())
    proto = onnx.load(path)
    proto.graph.node[0].op_type = "Wizardry"
    onnx.save(proto, path)
    with pytest.raises(ModelError, match=r"OpenVINO cannot load it .*; check that it is whole"):
        try_out(path)


def test_onnxruntime_stops_its_runs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    trial.try_out(REFERENCE, save(tmp_path, monsters.endless()), "digest")
