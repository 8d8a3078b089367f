"""Models of uint8 pixels, of float16, and with a batch keep their inputs in every precision."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from pytest_kycquant import Preprocess, Recipe, quantize
from pytest_kycquant.errors import ModelError, QuantizationError
from pytest_kycquant.quantize import Quantizer, load_model
from pytest_kycquant.quantize.model_inputs import Input, check_types
from tests.worlds.inputs import embedder, photographs
from tests.worlds.zoo import save

RECIPES = ("fp16", "int8", "int8-weights", "int8-dynamic", Recipe("mixed", keep_fp32=("first",)))
RECIPES_OF_BATCHES = tuple(recipe for recipe in RECIPES if recipe != "int8-dynamic")


def tensors(layout):
    pixels = photographs(12)
    return pixels if layout == "NHWC" else pixels.transpose(0, 3, 1, 2)


def distance(content, path, given):
    """Relative L2 distance of the outputs of a variant from those of FP32."""
    found, wanted = (
        onnxruntime.InferenceSession(model).run(None, {"input": given})[0].astype(np.float64)
        for model in (content, path)
    )
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize(
    ("kind", "layout", "batch", "output"),
    [
        ("uint8", "NCHW", "N", "float32"),
        ("uint8", "NHWC", 4, "float16"),
        ("float16", "NCHW", 1, "float16"),
        ("float32", "NHWC", 5, "float32"),
    ],
)
def test_every_precision_keeps_types_and_batch(tmp_path, kind, layout, batch, output):
    path = save(tmp_path, embedder(kind, layout, batch, output))
    images = tensors(layout)
    quantizer = Quantizer(path, [image[None].astype(np.float32) for image in images])
    count = batch if isinstance(batch, int) else 1
    given = np.ascontiguousarray(images[:count]).astype(kind)
    before = onnxruntime.InferenceSession(path)
    for recipe in RECIPES if count == 1 else RECIPES_OF_BATCHES:
        content = quantizer.build(recipe).content
        after = onnxruntime.InferenceSession(content)
        for one, other in (
            (before.get_inputs(), after.get_inputs()),
            (before.get_outputs(), after.get_outputs()),
        ):
            assert [(x.name, x.type, x.shape) for x in one] == [
                (x.name, x.type, x.shape) for x in other
            ]
        assert 0 < distance(content, path, given) < 0.05, recipe


def test_ranges_come_from_all_images_of_a_batch(tmp_path):
    """The brightest image is in the middle of a batch, and the last batch is not full."""
    path = save(tmp_path, embedder("float32", batch=4))
    images = [np.full((1, 3, 32, 32), value, np.float32) for value in (9, 250, 9, 9, 9, 3)]
    quantizer = Quantizer(path, images)
    ranges = quantizer.result("ranges", Recipe("int8", calibration_method="minmax"))
    at = ranges.names.index("ready")
    ends = [(value - 127.5) / 127.5 for value in (3, 250)]
    assert [ranges.low[at], ranges.high[at]] == pytest.approx(ends, rel=1e-5)


def test_ranges_of_a_batch_judge_no_image_twice_as_much(tmp_path):
    """The mean over images that INT8 corrects biases with is that of single images."""
    images = [image[None].astype(np.float32) for image in tensors("NCHW")]
    found = []
    for batch in (1, 4):
        folder = tmp_path / str(batch)
        folder.mkdir()
        quantizer = Quantizer(save(folder, embedder("uint8", batch=batch)), images)
        found.append(quantizer.result("channels", "int8").means)
    for name, means in found[0].items():
        np.testing.assert_allclose(found[1][name], means, rtol=1e-4, atol=1e-6)


def test_a_batch_that_memory_could_not_hold_is_refused(tmp_path):
    for batch in (1024, 1025, 2**40):
        path = save(tmp_path, embedder(batch=batch))
        if batch == 1024:
            assert load_model(path).feeding.batch == batch
            continue
        with pytest.raises(ModelError, match=rf"takes {batch:,} images at once"):
            load_model(path)


def test_dynamic_ranges_of_a_batch_are_refused(tmp_path):
    path = save(tmp_path, embedder(batch=4))
    quantizer = Quantizer(path, [image[None].astype(np.float32) for image in tensors("NCHW")])
    with pytest.raises(QuantizationError, match="all 4 images of a batch"):
        quantizer.build("int8-dynamic")


def test_standardized_images_are_refused_for_pixels(tmp_path):
    path = save(tmp_path, embedder())
    images = [image[None].astype(np.float32) / 255 for image in tensors("NCHW")]
    with pytest.raises(ModelError, match=r"'input'.* is uint8, and .*mean=0 and scale=1"):
        Quantizer(path, images).build("fp16")


def test_pixels_are_quantized_in_one_call(tmp_path):
    path = save(tmp_path, embedder("uint8", "NHWC"))
    made = quantize(path, recipe="int8-weights")  # graphs are verified on noise of pixels
    given = np.ascontiguousarray(photographs(1))
    assert 0 < distance(made.path.read_bytes(), path, given) < 0.05
    wrong = Preprocess(size=(32, 32), layout="NHWC", mean=127.5)
    with pytest.raises(ModelError, match=r"normalizes pixels itself, but .* mean=127\.5"):
        quantize(path, list(photographs(4)), "fp16", preprocess=wrong)
    plain = Preprocess(size=(32, 32), layout="NHWC")
    made = quantize(path, list(photographs(4)), "fp16", preprocess=plain)
    assert 0 < distance(made.path.read_bytes(), path, given) < 0.01


def test_only_uint8_images_must_not_be_normalized() -> None:
    image, ids = Input("image", "uint8", (1, 3, 8, 8)), Input("ids", "int64", (1, 16))
    pixels = Input("pixels", "float32", (1, 3, 8, 8))
    scaled, whitened = Preprocess((8, 8), mean=127.5), Preprocess((8, 8), standardize=True)
    for spec, says in ((scaled, "mean=127.5 and scale=1"), (whitened, "standardize=True")):
        check_types(Path("m.onnx"), (pixels, ids), spec)  # a picture beside ids of tokens
        with pytest.raises(ModelError, match=f"'image' is uint8.*{says}.*; leave mean"):
            check_types(Path("m.onnx"), (image, ids), spec)
    check_types(Path("m.onnx"), (image, ids), Preprocess((8, 8)))
