"""A model that changes under the run is never recorded or judged under its old digest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import pytest_kycquant.bench.source as source
import pytest_kycquant.quantize.load as load
from pytest_kycquant.runtimes import time_limit
from tests.worlds.population import Run, embedder
from tests.worlds.projects import project, rewrite_ratio, run, shared_cache  # noqa: F401

MESSAGE = "*changed while it was in use*run again*"


def once_after_reading(monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]) -> None:
    """Change the FP32 file between its digest and its first session."""
    real, done = load.read_model, []

    def reading(path: Path) -> Any:
        found = real(path)
        if not done:
            change(path)
            done.append(path)
        return found

    monkeypatch.setattr(load, "read_model", reading)


def replace(path: Path) -> None:
    other = path.with_name("other.onnx")
    onnx.save(embedder(seed=5), other)
    other.replace(path)


def modify(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(content)


def repoint(path: Path) -> None:
    other = path.with_name("other.onnx")
    onnx.save(embedder(seed=5), other)
    path.unlink()
    path.symlink_to(other)


def exchange_data(path: Path) -> None:
    data = path.with_name("weights.bin")
    data.write_bytes((-np.fromfile(data, np.float32)).tobytes())


@pytest.mark.parametrize("change", [replace, modify, repoint, exchange_data])
def test_a_golden_is_not_recorded_for_a_file_that_changed(
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change: Callable[[Path], None],
) -> None:
    project(golden=False)
    model = pytester.path / "models" / "face.onnx"
    if change is exchange_data:
        onnx.save_model(
            embedder(), model, save_as_external_data=True, location="weights.bin",
            size_threshold=0,
        )  # fmt: skip
    once_after_reading(monkeypatch, change)
    own = f"--kycquant-cache={tmp_path / 'cache'}"
    result = run(own, "--kycquant-update-golden", "-k", "size")
    result.stdout.fnmatch_lines([MESSAGE])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert result.ret == 1
    assert not (pytester.path / "golden" / "face.json").exists()
    if change is not replace:
        return
    # What was computed before is not taken for the outputs of the new file.
    result = run(own, "--kycquant-update-golden", "-k", "size")
    assert result.ret == 0
    recorded = json.loads((pytester.path / "golden" / "face.json").read_text())
    assert recorded["model"]["sha256"] == load.load_model(model).digest


def test_a_cached_variant_that_is_overwritten_is_not_judged(
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Here by FP32, which would pass everything."""
    project()
    real = source.SourceFile.make

    def making(self: source.SourceFile, recipe: Any) -> Any:
        file = real(self, recipe)
        if recipe.precision == "int8":
            file.path.chmod(0o644)
            file.path.write_bytes((pytester.path / "models" / "face.onnx").read_bytes())
        return file

    monkeypatch.setattr(source.SourceFile, "make", making)
    result = run(f"--kycquant-cache={tmp_path / 'cache'}", "-k", "finite or far")
    result.stdout.fnmatch_lines([MESSAGE])
    result.stdout.no_fnmatch_line("*Traceback*")
    outcomes = result.parseoutcomes()
    assert "passed" not in outcomes
    assert result.ret == 1


def test_a_model_that_fails_on_some_images_names_one(
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
    tmp_path: Path,
) -> None:
    project(golden=False)
    path = pytester.path / "models" / "face.onnx"
    onnx.save(sometimes_broken(), path)
    result = run(f"--kycquant-cache={tmp_path / 'cache'}", "--kycquant-update-golden", "-k", "size")
    result.stdout.fnmatch_lines(["*face.onnx: cannot be run on * (fails (*Reshape*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert result.ret == 1


def test_a_model_that_never_ends_for_some_images_names_one(
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(time_limit, "RUN_SECONDS", 0.5)
    project(golden=False)
    proto = sometimes_broken()
    del proto.graph.node[-2:]
    floats, flags = (onnx.TensorProto.FLOAT, [1, 96]), (onnx.TensorProto.BOOL, [])
    infos = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, (kind, shape) in {
            "i": (onnx.TensorProto.INT64, []), "go": flags, "v": floats, "go_on": flags,
            "n": floats,
        }.items()
    ]  # fmt: skip
    nodes = [
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node("Neg", ["v"], ["n"]),
    ]
    body = helper.make_graph(nodes, "body", infos[:3], infos[3:])
    proto.graph.node.append(
        helper.make_node("Loop", ["", "bright", "e96"], ["output"], "loop", body=body)
    )
    onnx.save(proto, pytester.path / "models" / "face.onnx")
    result = run(f"--kycquant-cache={tmp_path / 'cache'}", "--kycquant-update-golden", "-k", "size")
    result.stdout.fnmatch_lines(
        ["*face.onnx: cannot be run on * (was stopped after 0.5 s on one image); look for a loop*"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert result.ret == 1


def sometimes_broken() -> onnx.ModelProto:
    """The embedder, but the images of which the first pixel is bright have an impossible shape."""
    proto = embedder()
    proto.graph.node[-1].output[0] = "e96"
    for name, value in {
        "zeros": np.zeros(4, np.int64),
        "ones": np.ones(4, np.int64),
        "bound": np.float32(0.8),
        "shape": np.array([1, 96], np.int64),
    }.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    proto.graph.node.extend(
        [
            helper.make_node("Slice", ["input", "zeros", "ones"], ["pixel"]),
            helper.make_node("ReduceMax", ["pixel"], ["value"], keepdims=0),
            helper.make_node("Greater", ["value", "bound"], ["bright"]),
            helper.make_node("Cast", ["bright"], ["more"], to=7),
            helper.make_node("Add", ["shape", "more"], ["wrong"]),
            helper.make_node("Reshape", ["e96", "wrong"], ["output"], "reshape"),
        ]
    )
    return proto
