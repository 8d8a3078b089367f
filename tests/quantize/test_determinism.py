import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from pytest_kycquant.quantize import (
    Ingredients,
    build,
    calibration_of,
    corrects_biases,
    equalize_channels,
    equalizes,
    observe_activations,
    observe_channels,
)
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import images, named_images, ready, save, tiny_embedder

RECIPES = {
    "int8": Recipe("int8"),
    "plain": Recipe("int8", equalize=False, bias_correction=False, calibration_method="minmax"),
    "bias": Recipe("int8", equalize=False),
    "equalized": Recipe("int8", bias_correction=False),
    "percentile": Recipe("int8", calibration_method="percentile"),
    "mixed": Recipe("mixed", keep_fp32=("depthwise", "Add")),
    "dynamic": Recipe("int8-dynamic"),
    "fp16": Recipe("fp16", keep_fp32=("depthwise", "residual")),
}


def make(prepared, recipe, count):
    """Build a variant from images, with all that the recipe asks for."""
    needed = calibration_of(recipe)
    channels = observe_channels(prepared, named_images(count))
    if equalizes(recipe):
        prepared, channels = equalize_channels(prepared, channels, images(2))
    activations = observe_activations(prepared, named_images(count))
    ranges = activations.ranges(*needed) if needed else None
    statistics = channels if corrects_biases(recipe) else None
    return build(
        Ingredients(prepared, ranges=ranges, saturates=True, statistics=statistics), recipe
    )


def digests(folder):
    found = {}
    for name, recipe in RECIPES.items():
        variant = make(ready(folder, tiny_embedder(opset=11)), recipe, 4)
        facts = f"{variant.resolved}{variant.quantized}{variant.kept}{variant.notes}"
        found[name] = hashlib.sha256(variant.content + facts.encode()).hexdigest()
    return found


def test_the_same_request_gives_the_same_bytes(tmp_path):
    first = digests(tmp_path)
    assert first == digests(tmp_path)
    assert len(set(first.values())) == len(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_building_does_not_change_the_prepared_model(tmp_path, recipe):
    prepared = ready(tmp_path, wide_embedder())
    before = prepared.proto.SerializeToString()
    make(prepared, recipe, 2)
    assert prepared.proto.SerializeToString() == before


def wide_embedder():
    """An embedder with a tensor large enough for external data (1 KB)."""
    proto = tiny_embedder()
    weight = np.random.default_rng(0).standard_normal((64, 8, 3, 3)).astype(np.float32)
    for tensor in proto.graph.initializer:
        if tensor.name in ("w4", "b4"):
            array = weight.reshape(64, -1)[:, :8] if tensor.name == "w4" else weight.ravel()[:64]
            tensor.CopyFrom(numpy_helper.from_array(array.copy(), tensor.name))
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 64
    return proto


@pytest.mark.parametrize("seed", ["1", "2"])
def test_hash_seeds_do_not_leak_into_them(tmp_path, seed):
    here = Path(__file__).parent
    code = "import sys, pathlib, test_determinism as t;print(t.digests(pathlib.Path(sys.argv[1])))"
    paths = os.pathsep.join([str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(digests(tmp_path))
    assert done.stderr == ""


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir()
    (tmp_path / "models").mkdir()
    digests(tmp_path / "models")
    assert list((tmp_path / "scratch").iterdir()) == []
    assert list((tmp_path / "models").iterdir()) == [save(tmp_path / "models", tiny_embedder())]
