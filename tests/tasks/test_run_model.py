"""Running a model over images: what it must be, and which image it fails on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant.errors import ModelError
from pytest_kycquant.tasks.detection.decode import Decoder
from pytest_kycquant.tasks.face.task import as_embedding
from pytest_kycquant.tasks.liveness.task import as_row
from pytest_kycquant.tasks.outputs import Outputs, run_model

IMAGES = [(f"{n}.png", np.full((1, 3), n + 1, np.float32)) for n in range(5)]
EDGES = [("black", np.zeros((1, 3), np.float32))]


class Model:
    """A model that is a Python function of its input and of what it remembers."""

    inputs, outputs = ("input",), ("other", "output")

    def __init__(self, function: Callable[[NDArray[np.float32], dict[str, Any]], Any]) -> None:
        self._function = function
        self._memory: dict[str, Any] = {"runs": 0}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        self._memory["runs"] += 1
        return [np.zeros((1, 1)), np.asarray(self._function(inputs["input"], self._memory))]


def run(function: Callable[..., Any], threads: int = 1, **given: Any) -> Outputs:
    def read(outputs: list[NDArray[Any]]) -> NDArray[np.float32]:
        return np.asarray(outputs[0], np.float32)

    model = Model(function)
    return run_model(
        model, IMAGES, EDGES, ("output",), read, threads=threads, where="face.onnx", **given
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_each_image_gives_its_rows_once(threads: int) -> None:
    seen: list[int] = []
    found = run(lambda image, _: image * 2, threads, on_image=lambda: seen.append(1))
    assert found.values[:, 0].tolist() == [2, 4, 6, 8, 10]
    assert len(seen) == len(IMAGES)


def counts(image: NDArray[np.float32], memory: dict[str, Any]) -> NDArray[np.float32]:
    return image + memory["runs"]


def remembers_the_last(image: NDArray[np.float32], memory: dict[str, Any]) -> Any:
    last, memory["last"] = memory.get("last", image), image
    return image + 0.01 * last


def remembers_the_brightest(image: NDArray[np.float32], memory: dict[str, Any]) -> Any:
    memory["most"] = max(memory.get("most", 0.0), float(image.max()))
    return image / (1 + memory["most"])


def grows(image: NDArray[np.float32], memory: dict[str, Any]) -> Any:
    return np.repeat(image, memory["runs"], axis=0)


def becomes_nan(image: NDArray[np.float32], memory: dict[str, Any]) -> Any:
    return image if memory["runs"] == 1 else image * np.nan


def draws(image: NDArray[np.float32], memory: dict[str, Any]) -> Any:
    generator = memory.setdefault("generator", np.random.default_rng(0))
    return image + generator.standard_normal(3).astype(np.float32)


def last_bit(image: NDArray[np.float32], memory: dict[str, Any]) -> Any:
    return np.nextafter(image, np.float32(9)) if memory["runs"] % 2 else image


@pytest.mark.parametrize(
    "function",
    [counts, remembers_the_last, remembers_the_brightest, grows, becomes_nan, draws, last_bit],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_model_that_is_not_a_function_of_its_image(
    function: Callable[..., Any], threads: int
) -> None:
    with pytest.raises(ModelError, match=r"is not a function of its image: .*output 'output'") as e:
        run(function, threads, suspects=lambda: " (it contains 'own:Memory')")
    assert e.value.where == "face.onnx"
    assert "on 0.png (it contains 'own:Memory')" in e.value.problem


def test_nan_is_the_same_as_nan() -> None:
    found = run(lambda image, _: image * np.nan)
    assert not found.finite.any()


def test_outputs_that_are_not_numbers_are_compared_too() -> None:
    def names(image: NDArray[np.float32], memory: dict[str, Any]) -> Any:
        return np.array([f"{memory['runs']}"], object)

    with pytest.raises(ModelError, match="output 'output' differs"):
        run(names)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", [RuntimeError("Expand: 99 \x1b[2J"), MemoryError(), KeyError(3)])
def test_the_image_that_it_fails_on_is_named(error: Exception, threads: int) -> None:
    def fails(image: NDArray[np.float32], _: dict[str, Any]) -> Any:
        if image[0, 0] == 4:
            raise error
        return image

    with pytest.raises(ModelError, match=r"^face.onnx: cannot be run on 3.png \(") as caught:
        run(fails, threads)
    assert str(caught.value).isprintable()


def test_an_edge_input_that_it_fails_on_is_named() -> None:
    def fails(image: NDArray[np.float32], memory: dict[str, Any]) -> Any:
        if memory["runs"] == len(IMAGES) + 2:  # the first image runs twice
            raise RuntimeError("no")
        return image

    with pytest.raises(ModelError, match=r"cannot be run on black \(no\)"):
        run(fails)


SHAPES = [(), (0,), (1,), (5,), (1, 0), (0, 5), (1, 5), (2, 5), (1, 6, 0), (1, 0, 6), (1, 6, 10),
          (1, 10, 6), (1, 66, 4, 4), (1, 66, 0, 0), (0, 6, 10), (1,) * 20]  # fmt: skip
READERS: dict[str, Callable[[NDArray[Any]], object]] = {
    "face": as_embedding,
    "liveness": as_row,
    "detection": lambda value: Decoder(2, 0, "logits", 0.5, (32, 32))([value]),
}


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "?", "O", "U3", "c8"])
@pytest.mark.parametrize("task", READERS)
def test_outputs_of_any_shape_and_type_are_read_or_refused(task: str, kind: str) -> None:
    for shape in SHAPES:
        try:
            READERS[task](np.zeros(shape, kind))
        except ModelError:
            continue
        empty = task == "detection" and shape in ((1, 6, 0), (1, 0, 6))  # no anchors
        assert 0 not in shape or empty
        assert kind not in ("O", "U3", "c8")


def test_outputs_that_do_not_fit_the_task_name_the_file() -> None:
    model = Model(lambda image, _: image[:0])
    with pytest.raises(ModelError, match=r"^face\.onnx, output: float32 of shape \(0, 3\) is not"):
        run_model(
            model, IMAGES, EDGES, ("output",), lambda given: as_embedding(given[0]),
            threads=1, where="face.onnx",
        )  # fmt: skip


def test_candidates_are_run_once() -> None:
    runs: list[int] = []
    run(lambda image, _: runs.append(1) or image, repeats=False)
    assert len(runs) == len(IMAGES) + len(EDGES)
