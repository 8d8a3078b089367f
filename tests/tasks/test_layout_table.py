"""The table of layouts: by name, and extended by one line."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_kycquant.errors import ModelError
from pytest_kycquant.tasks.detection.layouts import LAYOUTS
from pytest_kycquant.tasks.detection.layouts.base import Candidates, Given, Layout, Shapes, Told
from tests.tasks.test_detection_decode import ROWS, decoder, dfl, table


class Whole(Layout):
    """The whole picture, with one number as its score."""

    name = "whole"
    title = "the whole picture"
    suppressed = True

    def fits(self, shapes: Shapes, told: Told) -> bool:
        return list(shapes) == [(1,)]

    def read(self, outputs: Given, told: Told) -> Candidates:
        height, width = told.size
        scores = np.array([[outputs[0][0], 0.0]])
        return Candidates(np.array([[0.0, 0.0, width, height]]), told.activated(scores))


def test_a_layout_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [np.array([0.75])]
    with pytest.raises(ModelError, match="match no supported layout"):
        decoder()(outputs)
    monkeypatch.setitem(LAYOUTS, "whole", Whole())
    found = decoder()(outputs)
    assert (found.boxes.tolist(), found.scores.tolist()) == ([[0, 0, 24, 16]], [0.75])
    assert decoder().choose([outputs]).name == "whole"


def test_a_layout_stands_under_its_name() -> None:
    assert all(LAYOUTS[name].name == name and layout.title for name, layout in LAYOUTS.items())


def test_all_samples_must_fit() -> None:
    heads, one = [dfl(8, {(0, 1): ((1, 0, 1, 1), (2.0, -9.0))})], [table(*ROWS)]
    assert decoder().choose([heads, heads]).name == "dfl"
    assert decoder().choose([one, one]).name == "yolov8"
    with pytest.raises(ModelError, match="match no supported layout"):
        decoder().choose([one, heads])


@pytest.mark.parametrize(
    ("shapes", "classes", "named"),
    [
        ([(1, 4420, 4), (1, 4420, 2)], 2, "ultraface with 1 class,"),  # the background is none
        ([(1, 84, 8400)], 79, "yolov8 with 80 classes;"),
        ([(1, 25200, 85)], 77, "yolov5 with 80 classes, or yolov8 with 81 classes,"),
        ([(1, 56, 8400)], 1, "yolov8 with 1 class and 17 keypoints,"),
    ],
)
def test_other_numbers_of_classes_that_fit_are_named(
    shapes: list[tuple[int, ...]], classes: int, named: str
) -> None:
    with pytest.raises(ModelError) as caught:
        decoder(classes).choose([[np.zeros(shape, np.float32) for shape in shapes]])
    assert f"they fit {named}" in caught.value.remedy
