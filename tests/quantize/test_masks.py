"""Attention with a constant mask is a sound model, and its scores keep their steps."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

import pytest_kycquant
from pytest_kycquant import Recipe
from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from pytest_kycquant.quantize.masks import LOWEST, infinite_masks, masked
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import build_model, images, ready, save

FORMS = ["added", "constant", "unsqueezed", "chosen", "triangle", "before the factor"]
TOKENS, WIDTH = 16, 48


def attention(form="added", value=-np.inf):
    """Sixteen tokens attend to those before them.

    Args:
        form: how the mask is written: an initializer, a Constant, with an Unsqueeze, by Where, by
            ConstantOfShape and Trilu, or added before the scores are scaled.
        value: what is added for tokens that are not to be seen.
    """
    rng = np.random.default_rng(0)
    node = helper.make_node
    later = np.triu(np.ones((TOKENS, TOKENS)), 1)
    mask = np.where(later, value, 0).astype(np.float32)
    weights = {
        "w": rng.normal(0, 0.2, (WIDTH, 3, 8, 8)).astype(np.float32),
        "wo": rng.normal(0, 0.15, (WIDTH, 16)).astype(np.float32),
        "cut": np.array([1, WIDTH, TOKENS]),
        "cool": np.array(0.1, np.float32),
    }
    steps, name, before = [], "mask", form == "before the factor"
    if form in ("added", "before the factor"):
        weights["mask"] = mask
    elif form == "constant":
        held = numpy_helper.from_array(mask, "held")
        steps = [node("Constant", [], ["mask"], "held", value=held)]
    elif form == "unsqueezed":
        weights |= {"flat_mask": mask, "axis": np.array([0])}
        steps = [node("Unsqueeze", ["flat_mask", "axis"], ["mask"], "widen")]
    elif form == "chosen":
        weights |= {"later": later.astype(bool)[None], "low": np.array(value, np.float32)}
    else:
        weights |= {"both": np.array([TOKENS, TOKENS]), "one": np.array(1)}
        low = numpy_helper.from_array(np.array([value], np.float32))
        steps = [
            node("ConstantOfShape", ["both"], ["full"], "full", value=low),
            node("Trilu", ["full", "one"], ["mask"], "upper", upper=1),
        ]
    masking = node("Add", ["masked_in", name], ["masked_out"], "mask_scores")
    if form == "chosen":
        masking = node("Where", ["later", "low", "masked_in"], ["masked_out"], "mask_scores")
    scaling = node("Mul", ["scaled_in", "cool"], ["scaled_out"], "cool")
    chain = [masking, scaling] if before else [scaling, masking]
    chain[0].input[:] = [{"masked_in": "s", "scaled_in": "s"}.get(n, n) for n in chain[0].input]
    middle = chain[0].output[0]
    chain[1].input[:] = [
        {"masked_in": middle, "scaled_in": middle}.get(n, n) for n in chain[1].input
    ]
    nodes = [
        *steps,
        node("Conv", ["input", "w"], ["c"], "patches", strides=[8, 8]),
        node("Reshape", ["c", "cut"], ["columns"], "cut"),
        node("Transpose", ["columns"], ["t"], "tokens", perm=[0, 2, 1]),
        node("MatMul", ["t", "columns"], ["s"], "scores"),
        *chain,
        node("Softmax", [chain[1].output[0]], ["a"], "softmax", axis=2),
        node("MatMul", ["a", "t"], ["mix"], "mix"),
        node("MatMul", ["mix", "wo"], ["output"], "out"),
    ]
    return build_model(nodes, weights, output=(1, TOKENS, 16))


@pytest.mark.parametrize("value", [-np.inf, -3.4028235e38, -1e9, -1e4])
@pytest.mark.parametrize("form", FORMS)
def test_scores_keep_their_steps(tmp_path, form, value):
    path = save(tmp_path, attention(form, value))
    for recipe in (Recipe("int8", rewrites=False), "fp16"):
        made = pytest_kycquant.quantize(path, images(8), recipe)
        assert made.notes == ()
        runs = [open_session(p.read_bytes()) for p in (path, made.path)]
        for x in images(4, seed=5):
            fp32, other = (each.run(None, {"input": x})[0] for each in runs)
            assert np.abs(fp32 - other).max() < 0.05 * np.abs(fp32).max()


@pytest.mark.parametrize("form", FORMS)
def test_what_adds_a_mask_stays_float(tmp_path, form):
    graph = ready(tmp_path, attention(form)).proto.graph
    assert masked(graph) >= {"mask_scores", "softmax"}
    assert not masked(graph).intersection(["scores", "mix", "out", "patches"])
    lowest = [numpy_helper.to_array(t).min() for t in graph.initializer]
    assert min(lowest) == LOWEST


@pytest.mark.parametrize("value", [-np.inf, -3.4028235e38])
def test_padding_before_a_maximum_is_a_mask(tmp_path, value):
    """As TensorFlow's exporters write a MaxPool with padding."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "around": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "low": np.array(value, np.float32),
        "v": rng.normal(0, 0.3, (16, 8, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv"),
        helper.make_node("Pad", ["c", "around", "low"], ["p"], "pad"),
        helper.make_node("MaxPool", ["p"], ["m"], "pool", kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Conv", ["m", "v"], ["d"], "last"),
        helper.make_node("GlobalAveragePool", ["d"], ["g"], "mean"),
        helper.make_node("Flatten", ["g"], ["output"], "flat"),
    ]
    path = save(tmp_path, build_model(nodes, weights))
    for recipe in (Recipe("int8", rewrites=False), "fp16"):
        made = pytest_kycquant.quantize(path, images(8), recipe)
        assert made.quantized["Conv"] == 2
        runs = [open_session(p.read_bytes()) for p in (path, made.path)]
        for x in images(4, seed=5):
            fp32, other = (each.run(None, {"input": x})[0] for each in runs)
            assert np.abs(fp32 - other).max() < 0.05 * np.abs(fp32).max()


@pytest.mark.parametrize("op_type", ["Mul", "MatMul"])
def test_infinity_that_breaks_what_reads_it_is_refused(tmp_path, op_type):
    proto = attention()
    mask = next(node for node in proto.graph.node if node.name == "mask_scores")
    mask.op_type = op_type
    with pytest.raises(ModelError, match="'mask' contains NaN or Inf"):
        load_model(save(tmp_path, proto))


@pytest.mark.parametrize(("place", "sound"), [(2, False), (3, True)])
def test_attention_reads_a_mask_in_one_place(place, sound):
    read = ["q", "k", "v"]
    read[place:] = ["mask"]
    mask = numpy_helper.from_array(np.array([0, -np.inf], np.float32), "mask")
    node = helper.make_node("Attention", read, ["y"], "attention")
    graph = helper.make_graph([node], "attention", [], [], [mask])
    assert infinite_masks([graph]) == ({"mask"} if sound else set())


def test_infinity_above_is_no_mask(tmp_path):
    with pytest.raises(ModelError, match="'mask' contains NaN or Inf"):
        load_model(save(tmp_path, attention(value=np.inf)))
