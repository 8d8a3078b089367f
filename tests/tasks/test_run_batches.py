"""A model with a fixed batch: each image gets its own outputs, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant.errors import ModelError
from pytest_kycquant.runtimes.feeding import Feeding
from pytest_kycquant.tasks.outputs import Outputs, run_model

BATCH = 4
IMAGES = [(f"{n}.png", np.full((1, 3), n + 1, np.float32)) for n in range(6)]
EDGES = [("black", np.zeros((1, 3), np.float32)), ("white", np.full((1, 3), 255, np.float32))]


class Model:
    """A model that is a Python function of a batch and refuses any other number of images."""

    inputs, outputs = ("input",), ("output", "other")

    def __init__(self, function: Callable[[NDArray[np.float32]], Any]) -> None:
        self._function = function
        self.runs: list[list[float]] = []

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        assert inputs["input"].shape == (BATCH, 3)
        self.runs.append(inputs["input"][:, 0].tolist())
        found = self._function(inputs["input"])
        return list(found) if isinstance(found, tuple) else [found, np.zeros(())]


def run(function: Callable[..., Any], **given: Any) -> tuple[Outputs, Model]:
    model = Model(function)
    found = run_model(
        model, IMAGES, EDGES, ("output",), lambda outputs: outputs[0], threads=1,
        feeding=Feeding({"input": "float32"}, BATCH), where="face.onnx", **given,
    )  # fmt: skip
    return found, model


def test_results_are_those_of_single_images_in_their_order() -> None:
    seen: list[int] = []
    found, model = run(lambda batch: 2 * batch, on_image=lambda: seen.append(1))
    assert found.values[:, 0].tolist() == [2, 4, 6, 8, 10, 12]
    assert found.shapes == ((1, 3),)
    assert len(found.finite) == len(seen) == 6
    assert [5, 6, 6, 6] in model.runs  # copies of the last image fill up the last run


def test_a_nan_belongs_to_its_image_alone() -> None:
    found, _ = run(lambda batch: np.where(batch == 3, np.nan, batch))
    assert found.finite.tolist() == [True, True, False, True, True, True]
    assert found.broken_edges == ()


def test_a_nan_of_the_copies_belongs_to_nobody_else() -> None:
    found, _ = run(lambda batch: np.where(batch == 6, np.nan, batch))
    assert found.finite.tolist() == [True] * 5 + [False]


def test_each_edge_input_is_run_by_itself() -> None:
    found, model = run(lambda batch: np.where(batch == 255, np.inf, batch))
    assert found.broken_edges == ("white",)
    assert [0] * BATCH in model.runs
    assert [255] * BATCH in model.runs


@pytest.mark.parametrize(
    "function",
    [
        lambda batch: batch - batch.mean(axis=0),  # BatchNorm in training mode
        lambda batch: batch * np.arange(1, BATCH + 1, dtype=np.float32)[:, None],  # the place
        lambda batch: batch / batch.max(),
    ],
)
def test_outputs_that_depend_on_neighbours_are_refused(function: Any) -> None:
    with pytest.raises(ModelError, match=r"face\.onnx: gives 0\.png other outputs among other"):
        run(function)


def test_rounding_in_another_place_is_no_dependence() -> None:
    places = np.array([1, 1, 1, 1 + 1e-6], np.float32)[:, None]
    found, _ = run(lambda batch: batch * places)
    assert len(found.values) == 6


def test_variants_are_not_asked_again() -> None:
    found, _ = run(lambda batch: batch - batch.mean(axis=0), neighbours=False)
    assert len(found.values) == 6


def test_an_output_without_the_batch_is_refused_if_it_is_read() -> None:
    with pytest.raises(
        ModelError, match=r"takes 4 images at once, but .* output 'output' is not 4"
    ):
        run(lambda batch: batch.reshape(-1))


def test_another_output_without_the_batch_counts_for_all_images() -> None:
    found, _ = run(lambda batch: (batch, np.full(7, np.nan)))
    assert not found.finite.any()
