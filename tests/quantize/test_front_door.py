"""A quantized file in one call, without pytest."""

from __future__ import annotations

import hashlib
import inspect
import os
import pickle
import pydoc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import pytest_kycquant
from pytest_kycquant import Preprocess, Recipe
from pytest_kycquant.errors import (
    CalibrationWarning,
    DataError,
    KycquantError,
    ModelError,
    QuantizationError,
    SpecError,
)
from pytest_kycquant.quantize import Quantizer, quantizer
from tests.worlds.zoo import images, named_images, save, tiny_embedder

pytestmark = pytest.mark.usefixtures("two_rewrites")

ROOT = Path(__file__).parents[2]
WITHOUT_PYTEST = """
import sys
sys.modules["pytest"] = None
sys.modules["_pytest"] = None
import numpy as np
import pytest_kycquant

rng = np.random.default_rng(0)
images = [rng.uniform(-1, 1, (1, 3, 32, 32)).astype("f4") for _ in range(8)]
made = pytest_kycquant.quantize("model.onnx", images, "int8")
print(made.path.name, made.size, made.quantized, made.resolved["calibration_method"])

from pytest_kycquant.quantize import Quantizer
again = Quantizer("model.onnx", images).build("int8")
print(again.sha256 == made.sha256 and again.content == made.path.read_bytes())
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tmp_path, tiny_embedder())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


PIXELS = Preprocess(size=(32, 32), mean=127.5, scale=1 / 127.5)


def test_it_works_where_pytest_is_not_installed(model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_PYTEST],
        cwd=model.parent,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first.startswith("model.int8.onnx ")
    assert first.endswith(
        "{'Add': 1, 'Conv': 3, 'Flatten': 1, 'Gemm': 1, 'GlobalAveragePool': 1} mse"
    )
    assert second == "True"
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.int8.onnx", "model.onnx"]


@pytest.mark.parametrize("recipe", ["int8", "fp16", "int8-weights", Recipe("int8", name="a/b c")])
def test_the_result_says_what_it_is(model: Path, recipe: str | Recipe) -> None:
    before = model.read_bytes()
    made = pytest_kycquant.quantize(model, images(6), recipe)
    label = recipe if isinstance(recipe, str) else "a-b-c"
    assert made.path == model.with_name(f"model.{label}.onnx")
    content = made.path.read_bytes()
    assert made.sha256 == hashlib.sha256(content).hexdigest()
    assert made.size == len(content)
    assert made.quantized
    assert {"precision", "reason", "rewrites"} <= made.resolved.keys()
    onnx.checker.check_model(onnx.load(made.path))
    assert model.read_bytes() == before


def test_all_forms_of_images_mean_the_same(model: Path, photos: Path) -> None:
    pixels = [np.asarray(Image.open(path)) for path in sorted(photos.iterdir())]
    archive = model.with_name("photos.npz")
    np.savez(archive, images=np.stack(pixels))
    recipe = Recipe("int8", rewrites=False)

    def made(given: Any) -> str:
        target = model.with_name("a.onnx")
        return pytest_kycquant.quantize(
            model, given, recipe, preprocess=PIXELS, output=target
        ).sha256

    named = [(f"{index}.png", array) for index, array in enumerate(pixels)]
    with pytest.warns(CalibrationWarning, match="6 different calibration images"):
        found = {made(given) for given in (photos, str(photos), archive, pixels, iter(named))}
    assert len(found) == 1
    # A result with different content would have been refused, since the file exists.


def test_tensors_may_lack_their_first_axis_and_come_as_one_array(model: Path) -> None:
    recipe = Recipe("int8", rewrites=False)
    target = model.with_name("a.onnx")
    for given in (images(6), [x[0] for x in images(6)], np.concatenate(images(6))):
        pytest_kycquant.quantize(model, given, recipe, output=target)


def test_threads_do_not_change_the_result(model: Path) -> None:
    recipe = Recipe("int8", rewrites=False)
    pytest_kycquant.quantize(model, images(6), recipe, threads=1)
    pytest_kycquant.quantize(model, images(6), recipe, threads=2)


@pytest.mark.parametrize("precision", ["int8-weights", "int4-weights", "int8-dynamic"])
def test_some_recipes_need_no_images(model: Path, precision: str) -> None:
    made = pytest_kycquant.quantize(model, None, Recipe(precision, rewrites=False))
    assert made.quantized["Conv"] == 3


def test_an_optimized_file_needs_none_either(model: Path) -> None:
    made = pytest_kycquant.quantize(model, recipe=Recipe("fp32-optimized", rewrites=True))
    assert made.quantized == {"PRelu": 2}
    assert made.path.name == "model.fp32-optimized.onnx"


def refused(model: Path, error: type[KycquantError], message: str, **given: Any) -> None:
    """Check that the call is refused, with a remedy, and no file has changed."""
    before = {path: path.read_bytes() for path in model.parent.rglob("*") if path.is_file()}
    with pytest.raises(error, match=message) as caught:
        pytest_kycquant.quantize(**({"model": model, "images": images(2)} | given))
    assert caught.value.remedy
    assert before == {path: path.read_bytes() for path in before}
    assert len(before) == sum(path.is_file() for path in model.parent.rglob("*"))


@pytest.mark.parametrize(
    ("error", "message", "given"),
    [
        (SpecError, "'int9' is unknown", {"recipe": "int9"}),
        (SpecError, "mixed.*does not say which operators", {"recipe": "mixed"}),
        (QuantizationError, "FP32 is the model itself", {"recipe": "fp32"}),
        (SpecError, "needs calibration images", {"images": None}),
        (SpecError, "needs calibration images", {"images": None, "recipe": "fp16"}),
        (
            SpecError,
            "needs calibration images",
            {"images": None, "recipe": Recipe("int8-weights", bias_correction=True)},
        ),
        (SpecError, "model.onnx need preprocessing, but none", {"images": "model.onnx"}),
        (SpecError, "'int8' is a recipe, not images; write quantize", {"images": "int8"}),
        (SpecError, "is a recipe, not images", {"images": Recipe("fp16"), "recipe": images(2)}),
        (DataError, "absent: does not exist; give a folder", {"images": "absent"}),
        (SpecError, "3 contains no images", {"images": 3}),
        (DataError, "there are none", {"images": []}),
        (DataError, "does not exist", {"images": "absent", "preprocess": PIXELS}),
        (DataError, "image 0: is float64", {"images": [np.zeros((1, 3, 32, 32))]}),
        (DataError, "not RGB pixels", {"preprocess": PIXELS}),
        (ModelError, "preprocessing makes 1x3x16x16", {"images": [np.zeros((3, 16, 16), "f4")]}),
        (
            DataError,
            "NaN",
            {"images": [*images(4), np.full((1, 3, 32, 32), np.nan, "f4")], "recipe": "int8"},
        ),
        (QuantizationError, "not an operator", {"recipe": Recipe("int8", keep_fp32=("absent",))}),
        (SpecError, "is not an .onnx file", {"output": "model.bin"}),
        (SpecError, "absent is not a folder", {"output": "absent/a.onnx"}),
        (SpecError, r"output=.*: 3 is not a path", {"output": 3}),
        (SpecError, r"recipe=.*: 8 is unknown", {"recipe": 8}),
        (SpecError, r"preprocess=.*: 'arcface' is not a Preprocess", {"preprocess": "arcface"}),
        (SpecError, r"threads=.*: '2' is not a number", {"threads": "2"}),
        (SpecError, r"threads=.*: 0 is too few", {"threads": 0}),
        (SpecError, r"exact=.*: 'no' is not a boolean", {"exact": "no"}),
        (SpecError, r"overwrite=.*: 1 is not a boolean", {"overwrite": 1}),
        (SpecError, "is a mapping", {"images": {"a": images(1)[0]}}),
        (SpecError, "contains no images", {"images": b"photos"}),
        (DataError, "image 0: 'a.png' is not an array", {"images": ["a.png"]}),
        (DataError, "image 0: None is not an array", {"images": [None], "preprocess": PIXELS}),
        (DataError, "image 0: is a tuple of 3 items", {"images": [("a", images(1)[0], 1)]}),
        (DataError, "image 0: is not an array", {"images": [[[1.0], [1.0, 2.0]]]}),
        (DataError, "image 0: is a tuple that does not begin", {"images": [tuple(images(2))]}),
        (DataError, "image 0: is a batch of 2 images", {"images": [np.concatenate(images(2))]}),
        (
            DataError,
            r"image 1: has shape \(1, 3, 16, 16\), but image 0 has \(1, 3, 32, 32\)",
            {"images": [images(1)[0], np.zeros((1, 3, 16, 16), "f4")]},
        ),
        (SpecError, "cannot be a file", {"recipe": Recipe("int8", name="ü" * 150)}),
        (SpecError, "cannot be a file", {"output": "x" * 300 + ".onnx"}),
        (SpecError, "is not a path", {"output": "g\0.onnx"}),
    ],
)
def test_what_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, error: Any, message: str, given: dict[str, Any]
) -> None:
    monkeypatch.chdir(model.parent)
    refused(model, error, message, **given)


@pytest.mark.parametrize("given", [None, 3, b"model.onnx"])
def test_a_model_that_is_not_a_path_is_refused(given: Any) -> None:
    with pytest.raises(SpecError, match=r"model=.*is not a path"):
        pytest_kycquant.quantize(given, images(2))


def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "absent.onnx", ModelError, "is not a file")
    (tmp_path / "text.onnx").write_text("no model")
    refused(tmp_path / "text.onnx", ModelError, "is not an ONNX file")


def test_noise_cannot_stand_in_for_images_of_unknown_size(tmp_path: Path) -> None:
    proto = tiny_embedder()
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "size"
    path = save(tmp_path, proto)
    recipe = Recipe("int8-weights", rewrites=False)
    refused(path, ModelError, "no fixed height and width", images=None, recipe=recipe)
    made = pytest_kycquant.quantize(path, None, recipe, preprocess=PIXELS)
    assert made.quantized["Conv"] == 3


@pytest.mark.parametrize("link", [None, Path.symlink_to, Path.hardlink_to])
def test_the_fp32_file_is_never_overwritten(
    model: Path, link: Callable[[Path, Path], None] | None
) -> None:
    target = model if link is None else model.with_name("link.onnx")
    if link is not None:
        link(target, model)
    refused(model, SpecError, "is part of the FP32 model", output=target, overwrite=True)


def test_no_file_of_the_model_is_overwritten(model: Path) -> None:
    proto = onnx.load(model)
    onnx.save(proto, model, save_as_external_data=True, location="weights.onnx", size_threshold=0)
    weights = model.with_name("weights.onnx")
    recipe = Recipe("int8-weights", rewrites=False)
    refused(model, SpecError, "is part of the FP32", recipe=recipe, output=weights, overwrite=True)


def test_another_file_is_overwritten_only_if_told(model: Path) -> None:
    target = model.with_name("model.int8-weights.onnx")
    target.write_bytes(b"mine")
    recipe = Recipe("int8-weights", rewrites=False)
    refused(model, SpecError, "has different content; name another file or", recipe=recipe)
    made = pytest_kycquant.quantize(model, images(2), recipe, overwrite=True)
    written = target.stat().st_mtime_ns
    assert target.read_bytes() != b"mine"
    again = pytest_kycquant.quantize(
        model, images(2), recipe
    )  # the same content: no need to overwrite
    assert (again.sha256, target.stat().st_mtime_ns) == (made.sha256, written)


def test_a_link_stays_a_link(model: Path) -> None:
    (model.parent / "store").mkdir()
    behind, link = model.parent / "store" / "behind.onnx", model.with_name("link.onnx")
    link.symlink_to(behind)
    recipe = Recipe("int8-weights", rewrites=False)
    refused(model, SpecError, "is a link to nothing", recipe=recipe, output=link)
    behind.write_bytes(b"mine")
    refused(model, SpecError, "has different content", recipe=recipe, output=link)
    made = pytest_kycquant.quantize(model, images(2), recipe, output=link, overwrite=True)
    assert link.is_symlink()
    assert hashlib.sha256(behind.read_bytes()).hexdigest() == made.sha256


def test_a_generator_may_fill_one_buffer_again_and_again(model: Path) -> None:
    def reused() -> Iterator[Any]:
        buffer = np.empty((1, 3, 32, 32), np.float32)
        for image in images(6):
            buffer[:] = image
            yield buffer

    recipe = Recipe("int8", rewrites=False)
    first = pytest_kycquant.quantize(model, images(6), recipe)
    assert pytest_kycquant.quantize(model, reused(), recipe).sha256 == first.sha256


def test_a_folder_is_no_file(model: Path) -> None:
    model.with_name("model.int8.onnx").mkdir()
    refused(model, SpecError, "is a folder")


def test_nothing_half_written_is_left(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_kycquant.quantize.front_door.write_whole", full)
    refused(model, SpecError, "cannot be written .No space left", recipe="int8-weights")


def test_the_package_is_a_function_and_a_package() -> None:
    assert list(inspect.signature(pytest_kycquant.quantize).parameters)[:3] == [
        "model",
        "images",
        "recipe",
    ]
    assert Quantizer is quantizer.Quantizer


def test_it_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(pytest_kycquant.quantize)) is pytest_kycquant.quantize


def test_help_begins_with_the_call() -> None:
    shown = pydoc.render_doc(pytest_kycquant.quantize, renderer=pydoc.plaintext)
    arguments = inspect.signature(pytest_kycquant.quantize).parameters
    before, _, _ = shown.partition("PACKAGE CONTENTS")
    assert "quantize(model: " in before
    assert all(f"{name}: " in before for name in arguments)


def test_type_checkers_know_it_as_a_function(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    (tmp_path / "user.py").write_text(
        "import pytest_kycquant\n"
        "from pytest_kycquant import quantize\n"
        "from pytest_kycquant.quantize import Quantizer\n"
        'made = pytest_kycquant.quantize("a.onnx", None, "int8-weights")\n'
        "print(made.path.name, quantize, Quantizer)\n"
        "quantize(3)\n"
    )
    out, _, _ = api.run(
        ["--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "user.py")]
    )
    assert out.splitlines()[0].startswith(f"{tmp_path / 'user.py'}:6: error: Argument 1")
    assert "Found 1 error" in out


def test_messages_name_the_image(model: Path) -> None:
    named = named_images(4)
    named[2][1][0, 0, 3, 3] = np.inf
    refused(model, DataError, r"2\.jpg: contains NaN or Inf", images=named)


def test_an_output_that_is_not_a_regular_file_is_refused(model: Path) -> None:
    """Looking whether a FIFO already holds the result would never end."""
    target = model.with_name("pipe.onnx")
    os.mkfifo(target)
    with pytest.raises(SpecError, match="is not a regular file"):
        pytest_kycquant.quantize(model, recipe="int8-weights", output=target, overwrite=True)


@pytest.mark.parametrize("name", ["x" * 3000, "pipe.onnx", "none.onnx"])
def test_a_model_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ModelError, match="is not a file") as caught:
        pytest_kycquant.quantize(tmp_path / name, recipe="int8-weights")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["x" * 5000, "", " ", "/", b"a.onnx", "a\0b"])
def test_a_model_that_is_no_path_is_refused(name: Any) -> None:
    with pytest.raises(
        SpecError, match=r"quantize\(model=...\): .* is not a (path|file)"
    ) as caught:
        pytest_kycquant.quantize(name, recipe="int8-weights")
    assert len(str(caught.value)) < 1000
