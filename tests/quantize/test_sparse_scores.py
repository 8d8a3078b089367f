"""Scores of which one in a thousand is large survive the default INT8, whatever their layout."""

import numpy as np
import pytest
from onnx import helper

import pytest_kycquant
from pytest_kycquant import Recipe
from pytest_kycquant.quantize import Sensitivity, measure_sensitivity, observe_activations
from pytest_kycquant.quantize.ranges import passed_on
from pytest_kycquant.quantize.sensitivity import Weights
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.zoo import build_model, ready, save

SIDE = 128
ANCHORS = (SIDE // 4) ** 2
LAYOUTS = {
    "anchors x 1": (1, ANCHORS, 1),
    "1 x anchors": (1, 1, ANCHORS),
    "anchors": (1, ANCHORS),
    "plane": (1, SIDE // 4, SIDE // 4),
    "map": (1, SIDE // 4, SIDE // 4, 1),
    "anchors x 2": (1, ANCHORS, 2),
}


def scenes(count, seed):
    """Grey noise with one bright square."""
    rng = np.random.default_rng(seed)
    found = rng.normal(0.4, 0.05, (count, 1, 3, SIDE, SIDE)).astype(np.float32)
    for image, (y, x) in zip(found, rng.integers(2, SIDE // 4 - 3, (count, 2)), strict=True):
        image[..., 4 * y : 4 * y + 8, 4 * x : 4 * x + 8] += rng.uniform(0.43, 0.55)
    return list(np.clip(found, 0, 1))


def detector(layout):
    """One score for each cell of 4 x 4 pixels, near 1 on the square; with two, one is never it."""
    rng = np.random.default_rng(0)
    classes = LAYOUTS[layout][-1] if layout == "anchors x 2" else 1
    stem = np.concatenate([np.full((1, 3, 4, 4), 1 / 48), rng.normal(0, 0.02, (7, 3, 4, 4))])
    head = rng.normal(0, 0.01, (classes, 8, 3, 3))
    head[0, 0, 1, 1] += 40
    weights = {
        "w1": stem.astype(np.float32),
        "b1": np.array([-0.39] + [0] * 7, np.float32),
        "w2": head.astype(np.float32),
        "b2": np.full(classes, -10, np.float32),
        "rows": np.array(LAYOUTS[layout]),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["c1"], "stem", strides=[4, 4]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "head", pads=[1] * 4),
        helper.make_node("Transpose", ["c2"], ["t"], "turn", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["t", "rows"], ["l"], "rows"),
        helper.make_node("Sigmoid", ["l"], ["output"], "sigmoid"),
    ]
    return build_model(nodes, weights, shape=(1, 3, SIDE, SIDE), output=LAYOUTS[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_largest_score_survives(tmp_path, layout):
    path = save(tmp_path, detector(layout))
    made = pytest_kycquant.quantize(path, scenes(24, 1), Recipe("int8", rewrites=False))
    fp32, int8 = (
        [open_session(p.read_bytes()).run(None, {"input": x})[0] for x in scenes(20, 2)]
        for p in (path, made.path)
    )
    assert min(x.max() for x in fp32) > 0.9
    assert max(abs(x.max() - y.max()) for x, y in zip(fp32, int8, strict=True)) < 0.05


def test_anchors_without_a_face_do_not_count_more_than_others(tmp_path):
    prepared = ready(tmp_path, detector("anchors x 1"))
    named = [(str(i), x) for i, x in enumerate(scenes(8, 1))]
    weights = measure_sensitivity(prepared, named).weights["output"]
    assert float(np.divide(*weights.at(np.array([1e-4, 0.99])))) == pytest.approx(1, rel=0.01)


def test_no_more_than_a_tenth_of_the_largest_scores_is_cut_off(tmp_path):
    """Whatever the weights say: these find small scores all-important."""
    prepared = ready(tmp_path, detector("anchors x 1"))
    named = [(str(i), x) for i, x in enumerate(scenes(8, 1))]
    squares = np.where(np.arange(32) == 16, 1e12, 1e-12)
    wrong = Sensitivity({"output": Weights(squares, 1)})
    known, outputs = observe_activations(prepared, named), passed_on(prepared.proto.graph)
    at = known.names.index("output")
    assert known.ranges("mse", None, wrong).high[at] < 0.2
    assert known.ranges("mse", None, wrong, outputs).high[at] > 0.89


def test_outputs_consist_of_what_is_moved_and_joined(tmp_path):
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["a"], "conv"),
        helper.make_node("Sigmoid", ["a"], ["b"], "sigmoid"),
        helper.make_node("Flatten", ["b"], ["c"], "flatten"),
        helper.make_node("Concat", ["c", "c"], ["output"], "join", axis=1),
    ]
    weight = np.array([0.3, 0.1, 0.2], np.float32).reshape(1, 3, 1, 1)
    proto = build_model(nodes, {"w": weight}, output=(1, 2048))
    assert passed_on(ready(tmp_path, proto).proto.graph) == {"b", "c", "output"}
