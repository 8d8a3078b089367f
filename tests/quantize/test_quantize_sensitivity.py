"""What an error of an activation does to the outputs, and the ranges that follow from it."""

import numpy as np
import pytest
from onnx import helper

from pytest_kycquant.errors import DataError, QuantizationError
from pytest_kycquant.quantize import (
    Ingredients,
    Sensitivity,
    build,
    measure_sensitivity,
    observe_activations,
    sensitivity_images,
)
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import build_model, images, named_images, ready


def node(op_type, inputs, output, **given):
    return helper.make_node(op_type, inputs, [output], output, **given)


def chain(*nodes, channels=3, **weights):
    weights = {name: np.asarray(array, np.float32) for name, array in weights.items()}
    return build_model(list(nodes), weights, shape=(1, channels, 32, 32), output=(1, "c", "h", "w"))


def act(op_type, *slopes):
    """An activation between two identity convolutions."""
    return chain(
        node("Conv", ["input", "w"], "c"),
        node(op_type, ["c", *slopes], "a"),
        node("Conv", ["a", "w"], "output"),
        w=np.eye(3)[:, :, None, None],
        **({"s": np.full((3, 1, 1), 0.1)} if slopes else {}),
    )


def ratio(weights, at, to):
    return float(np.divide(*weights.at(np.array([at, to]))))


def test_an_activation_weighs_as_much_as_what_reads_it(tmp_path):
    proto = act("PRelu", "s")
    found = measure_sensitivity(ready(tmp_path, proto), named_images(8)).weights
    assert found.keys() == {"input", "c", "a", "output"}
    # The square of the slope after it.
    assert ratio(found["c"], -0.5, 0.5) == pytest.approx(0.01, rel=0.01)
    assert ratio(found["a"], 0.05, 0.5) == pytest.approx(1, rel=0.01)


def test_what_relu_cuts_off_weighs_nothing_and_gets_no_range(tmp_path):
    prepared = ready(tmp_path, act("Relu"))
    activations = observe_activations(prepared, named_images(8))
    sensitivity = measure_sensitivity(prepared, named_images(8))
    at = activations.names.index("c")
    without, with_it = (activations.ranges("mse", None, s) for s in (None, sensitivity))
    assert without.low[at] < -0.9
    assert -0.05 < with_it.low[at] <= 0
    assert with_it.high[at] == pytest.approx(without.high[at], rel=0.05)


def test_weights_are_by_value_whatever_the_order_of_the_images(tmp_path):
    """The square of x has the gradient 2 x; a larger image widens the bins later."""
    prepared = ready(tmp_path, chain(node("Mul", ["input", "input"], "output")))
    grown = [(name, x * 4**i) for i, (name, x) in enumerate(named_images(4))]
    for inputs in (grown, grown[::-1]):
        weights = measure_sensitivity(prepared, inputs).weights["input"]
        assert weights.exponent == 6
        # Each image's outputs count relative to the largest so far, so only the last is compared.
        assert ratio(weights, 60.0, 30.0) == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("channel", [0, 1])
def test_a_loud_channel_that_nothing_reads_does_not_cost_the_others_their_steps(tmp_path, channel):
    """The output error is far smaller, which the tensor alone could not show."""
    stem = (
        np.eye(3)[:, :, None, None]
        * np.where(np.arange(3) == channel, 30.0, 1.0)[:, None, None, None]
    )
    reader = np.random.default_rng(0).standard_normal((4, 3, 1, 1))
    reader[:, channel] *= 1e-4
    proto = chain(
        node("Conv", ["input", "v"], "c"),
        node("Sigmoid", ["c"], "g"),
        node("Mul", ["c", "g"], "a"),
        node("Conv", ["a", "w"], "output"),
        v=stem,
        w=reader,
    )
    prepared = ready(tmp_path, proto)
    activations = observe_activations(prepared, named_images(16))
    sensitivity = measure_sensitivity(prepared, named_images(8))
    unseen = images(8, seed=9)

    def run(content):
        session = open_session(content)
        return np.stack([session.run(None, {"input": x})[0] for x in unseen])

    wanted = run(prepared.proto.SerializeToString())
    errors = []
    for known in (None, sensitivity):
        recipe = Recipe("int8", op_types=("Conv",))
        ranges = activations.ranges("mse", None, known)
        made = build(Ingredients(prepared, ranges=ranges, saturates=False), recipe)
        errors.append(np.square(run(made.content) - wanted).mean())
    assert errors[1] < errors[0] / 10


def test_boxes_do_not_hide_scores(tmp_path):
    """Each channel of an output counts relative to its own size."""
    proto = chain(
        node("Conv", ["input", "w"], "c"),
        node("Relu", ["c"], "output"),
        w=(np.eye(3) * [[100.0], [1.0], [0.01]])[:, :, None, None],
    )
    weights = measure_sensitivity(ready(tmp_path, proto), named_images(4)).weights["output"]
    assert ratio(weights, 0.01, 60.0) > 100


def test_the_same_images_give_the_same_bytes_and_come_back(tmp_path):
    prepared = ready(tmp_path)
    for name in "ab":
        measure_sensitivity(prepared, named_images(4)).to_npz(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = Sensitivity.from_npz(tmp_path / "a")
    again.to_npz(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"PK damaged", "other"])
def test_a_damaged_file_says_what_to_do(tmp_path, content):
    path = tmp_path / "sensitivity.npz"
    if content == "other":
        with path.open("wb") as file:
            np.savez(file, names=np.array("[1, 2]"), squares=np.zeros((1, 3)), exponents=[1])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(QuantizationError, match="contains no sensitivity"):
        Sensitivity.from_npz(path)


def test_without_images_nothing_is_measured(tmp_path):
    with pytest.raises(DataError, match="there are no calibration images"):
        measure_sensitivity(ready(tmp_path), [])


def test_a_broken_image_is_named(tmp_path):
    good, bad = images(2)
    bad[0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match=r"bad.jpg"):
        measure_sensitivity(ready(tmp_path), [("good.jpg", good), ("bad.jpg", bad)])


def test_a_gradient_that_overflows_is_not_used(tmp_path):
    proto = chain(
        node("Mul", ["input", "k"], "a"),
        node("Mul", ["a", "k"], "output"),
        k=np.float32(1e-30),
    )
    found = measure_sensitivity(ready(tmp_path, proto), named_images(2))
    assert "input" not in found.weights


@pytest.mark.parametrize(("count", "chosen"), [(0, 0), (1, 1), (32, 32), (33, 32), (500, 32)])
def test_images_are_chosen_evenly(count, chosen):
    found = sensitivity_images(count)
    assert len(set(found)) == chosen
    assert all(0 <= index < count for index in found)
    assert not found or max(np.diff([*found, count])) <= 2 * -(-count // 32)


def test_a_model_with_a_free_size_is_measured_at_that_of_the_images(tmp_path):
    proto = chain(node("Relu", ["input"], "output"))
    for dimension in proto.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_param = "size"
    assert "input" in measure_sensitivity(ready(tmp_path, proto), named_images(2)).weights
