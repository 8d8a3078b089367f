"""The metric of a custom task gets outputs as the model returns them, also from the cache."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from pytest_kycquant import CustomLimits, CustomTask, KycModel, Preprocess
from pytest_kycquant.errors import ModelError
from pytest_kycquant.runtimes import library
from pytest_kycquant.tasks.base import Part
from pytest_kycquant.tasks.custom.task import CustomMetricTask
from pytest_kycquant.tasks.outputs import Outputs, run_model
from tests.worlds.measurements import labelled
from tests.worlds.zoo import build_model

SEEN: list[Any] = []


def look(outputs: Any, labels: Any) -> Any:
    SEEN.append(outputs)
    return np.zeros(len(labels))


def task(outputs: tuple[str, ...] | None = None) -> CustomMetricTask:
    spec = CustomTask("data", metric=look, outputs=outputs)
    model = KycModel("m.onnx", Preprocess(size=(4, 4)), spec)
    return CustomMetricTask(
        model, CustomLimits(metric=1, degradation=1), lambda path, _: Path(path)
    )


def run(of: CustomMetricTask, *inputs: np.ndarray) -> Outputs:
    """A model with a batched output, one without a batch, and a scalar."""
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("Transpose", ["input"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Squeeze", ["input", "axis"], ["bare"]),
        helper.make_node("ReduceSum", ["input"], ["output"], keepdims=0),
    ]
    proto = build_model(nodes, {"axis": np.array([0])}, shape=(1, "h", "w"), output=())
    for name in ("flat", "turned", "bare"):
        proto.graph.output.append(helper.make_tensor_value_info(name, 1, None))
    model = library().open(proto.SerializeToString())
    wanted = of.choose_outputs(model.outputs, Path("m.onnx"))
    named = [(str(i), array) for i, array in enumerate(inputs)]
    return run_model(model, named, [], wanted, of.read, threads=1)


def inputs(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 1, (1, *shape)).astype(np.float32) for shape in shapes]


def given(of: CustomMetricTask, outputs: Outputs) -> Any:
    """The outputs that the metric gets."""
    truth = labelled(np.zeros(len(outputs.finite)))
    SEEN.clear()
    of.baseline(Part(truth.images, truth, "", ""), outputs).fp32.values.sum()
    return SEEN[0]


def test_shapes_survive_the_cache(tmp_path: Path) -> None:
    images = inputs((2, 3), (2, 3))
    of = task(("turned", "bare", "output"))
    found = run(of, *images)
    found.save(tmp_path / "outputs.npz")
    again = Outputs.read(tmp_path / "outputs.npz")
    assert again.shapes == found.shapes == ((1, 3, 2), (2, 3), ())
    turned, bare, total = given(of, again)
    assert np.array_equal(turned, np.concatenate(images).transpose(0, 2, 1))
    assert np.array_equal(bare, np.concatenate(images))
    assert total == pytest.approx([image.sum() for image in images], rel=1e-5)


def test_a_single_output_is_an_array() -> None:
    images = inputs((2, 3), (2, 3))
    of = task(("flat",))
    flat = given(of, run(of, *images))
    assert isinstance(flat, np.ndarray)
    assert np.array_equal(flat, np.concatenate(images).reshape(2, 6))


def test_outputs_must_be_named_if_there_are_several() -> None:
    with pytest.raises(ModelError, match=r"has 4 outputs .*; name the outputs in CustomTask\("):
        run(task(), *inputs((2, 3)))


def test_unknown_output() -> None:
    with pytest.raises(ModelError, match="has no output 'boxes'"):
        run(task(("flat", "boxes")), *inputs((2, 3)))


def test_other_sizes_for_each_image() -> None:
    with pytest.raises(ModelError, match="differs in length between images"):
        run(task(("flat",)), *inputs((2, 3), (2, 4)))


def test_other_shapes_for_each_image() -> None:
    of = task(("turned",))
    with pytest.raises(ModelError, match="gives outputs whose shape differs between images"):
        given(of, run(of, *inputs((2, 3), (3, 2))))


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1, -3]], np.int64),
        np.array([[True, False]]),
        np.array([[0.5, np.nan]], np.float16),
        np.array([[0.5, np.inf]], np.float64),
    ],
)
def test_numbers_become_float32(value: np.ndarray) -> None:
    row = task().read([value])
    assert row.dtype == np.float32
    assert np.array_equal(row, value.astype(np.float32), equal_nan=True)


@pytest.mark.parametrize(
    "value",
    [
        np.array([[2**24 + 1]], np.int64),
        np.array([[1e300]]),
        np.array([["a"]], object),
        np.zeros((1, 0), np.float32),
    ],
)
def test_what_float32_cannot_hold(value: np.ndarray) -> None:
    with pytest.raises(ModelError, match="does not fit into float32; name another output in"):
        task().read([value])


def test_harm_is_relative_for_each_output() -> None:
    of = task(("flat", "output"))
    found = run(of, *inputs((2, 3), (2, 3)))
    doubled = Outputs(2 * found.values, found.finite, (), found.rows, found.shapes)
    assert of.harm(found, found) == 0
    assert of.harm(found, doubled) == pytest.approx(1.0)
