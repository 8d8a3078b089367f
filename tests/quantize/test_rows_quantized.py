"""Models of several inputs in every precision: tokens stay integers, and names and types stay."""

import numpy as np
import onnx
import onnxruntime
import pytest

from pytest_kycquant import Preprocess, quantize
from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import Quantizer, check_input, load_model
from tests.worlds.rows import LENGTH, SIDE, classifier, matcher, pairs, texts

RECIPES = ("fp16", "int8", "int8-dynamic", "int8-weights")
SHAPES = {"ids": (1, LENGTH), "mask": (1, LENGTH), "feature": (1, 1)}


def inputs(model):
    session = onnxruntime.InferenceSession(model)
    return [(each.name, each.type, each.shape) for each in session.get_inputs()]


def closeness(content, path, feed):
    found, wanted = (
        onnxruntime.InferenceSession(model).run(None, feed)[0] for model in (content, path)
    )
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def test_a_text_model_keeps_its_tokens(tmp_path):
    path = tmp_path / "text.onnx"
    onnx.save(classifier(), path)
    data = {k: v for k, v in texts(30, 1).items() if k not in ("labels", "subjects")}
    np.savez(tmp_path / "calibration.npz", **data)
    feed = {**data, "mask": data["mask"].astype(np.int64)}
    for recipe in RECIPES:
        made = quantize(path, tmp_path / "calibration.npz", recipe)
        assert inputs(made.path) == inputs(path)
        assert 0 < closeness(made.path, path, feed) < 0.03
        graph = onnx.load(made.path).graph
        readers = {node.op_type for node in graph.node if {"ids", "mask"} & set(node.input)}
        assert readers == {"Gather", "Cast"}


def test_a_pair_model_is_calibrated_on_both_images(tmp_path):
    """Ranges of the second image come from the second array, which is brighter."""
    path = tmp_path / "pair.onnx"
    onnx.save(matcher(), path)
    arrays = {name: array // 4 for name, array in pairs(20, 1).items() if array.dtype == np.uint8}
    arrays["portrait"] = 255 - arrays["portrait"]
    samples = [
        {name: (array[n : n + 1].transpose(0, 3, 1, 2) - 127.5).astype(np.float32) / 127.5
         for name, array in arrays.items()}
        for n in range(20)
    ]  # fmt: skip

    class Samples:
        digest = "samples"

        def __len__(self):
            return len(samples)

        def named(self, indices=None):
            chosen = range(len(samples)) if indices is None else indices
            return ((f"{n}", samples[n]) for n in chosen)

    shape = dict.fromkeys(arrays, (1, 3, SIDE, SIDE))
    quantizer = Quantizer(path, Samples(), shape=shape)
    ranges = quantizer.result("extremes", "fp16")
    for name in arrays:
        at = ranges.names.index(name)
        low, high = (edge([s[name] for s in samples]) for edge in (np.min, np.max))
        assert (ranges.low[at], ranges.high[at]) == pytest.approx((low, high))


def test_pixels_of_pairs_are_prepared(tmp_path):
    path = tmp_path / "pair.onnx"
    onnx.save(matcher(), path)
    np.savez(tmp_path / "rows.npz", **pairs(20, 1))
    spec = Preprocess(size=(SIDE, SIDE), mean=127.5, scale=1 / 127.5)
    made = quantize(path, tmp_path / "rows.npz", "int8", preprocess=spec)
    assert made.quantized["Conv"] == 2
    given = pairs(4, 9)
    feed = {
        name: ((given[name].astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
        for name in ("selfie", "portrait")
    }
    assert 0 < closeness(made.path, path, feed) < 0.1


@pytest.mark.parametrize(
    ("shapes", "match"),
    [
        ({"ids": (1, LENGTH), "feature": (1, 1)}, r"an input 'mask', .*constants=\{\"mask\": "),
        ({**SHAPES, "maks": (1, 1)}, "has no input 'maks', .*mean 'mask'"),
        ({**SHAPES, "ids": (1, LENGTH - 1)}, rf"'ids' is \?x{LENGTH} but .* gives 1x{LENGTH - 1}"),
        ({**SHAPES, "ids": (1,)}, rf"'ids' is \?x{LENGTH} but a row of the data gives 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, shapes, match):
    path = tmp_path / "text.onnx"
    onnx.save(classifier(), path)
    with pytest.raises(ModelError, match=match):
        check_input(load_model(path, arrays=True), shapes)


def test_a_scalar_input_cannot_differ_between_rows(tmp_path):
    proto = classifier()
    proto.graph.input[2].type.tensor_type.shape.ClearField("dim")
    path = tmp_path / "text.onnx"
    onnx.save(proto, path)
    with pytest.raises(ModelError, match="'feature' is a scalar, so rows of data cannot differ"):
        check_input(load_model(path, arrays=True), SHAPES)


def test_batches_of_all_inputs_are_one(tmp_path):
    proto = classifier(8)
    path = tmp_path / "text.onnx"
    onnx.save(proto, path)
    assert load_model(path, arrays=True).feeding.batch == 8
    proto.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(proto, path)
    with pytest.raises(ModelError, match="want 4 and 8 rows at once"):
        check_input(load_model(path, arrays=True), SHAPES)
