"""Boxes as corners, and what is said of boxes that are read in the wrong way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant import DetectionLimits, KycModel, ObjectDetection, Preprocess
from pytest_kycquant.errors import ModelError, SpecError
from pytest_kycquant.tasks.detection.task import BoxTask
from pytest_kycquant.tasks.registry import task_of

CORNERS = np.array([[10, 20, 500, 600], [50, 5, 620, 620], [100, 60, 630, 500]], float)
SIZES = CORNERS[:, 2:] - CORNERS[:, :2]
CENTRES = np.concatenate([(CORNERS[:, :2] + CORNERS[:, 2:]) / 2, SIZES], 1)


def task(size: int = 640, **options: Any) -> BoxTask[Any]:
    spec = ObjectDetection("scenes", "labels", ("face",), **options)
    model = KycModel("yolo.onnx", Preprocess((size, size)), task=spec)
    made = task_of(model, DetectionLimits(), lambda path, _: path)  # type: ignore[arg-type,return-value]
    assert isinstance(made, BoxTask)
    return made


def output(boxes: NDArray[np.float64], score: float = 0.9) -> list[NDArray[np.float32]]:
    rows = np.concatenate([boxes, np.full((len(boxes), 1), score)], 1)
    return [rows.astype(np.float32).T[None]]


@pytest.mark.parametrize(
    ("given", "boxes"), [("corners", CORNERS), ("centres", CENTRES), (None, CENTRES)]
)
def test_boxes_as_told(given: str | None, boxes: NDArray[np.float64]) -> None:
    made = task(boxes=given)
    assert made.look([output(boxes)]) == {"layout": "yolov8"}
    found = made.read(output(boxes))
    assert sorted(found[:, :4].tolist()) == CORNERS.tolist()
    assert made.reading().get("boxes", "usual") == (given or "usual")  # old goldens stay valid


def test_corners_read_as_centres_leave_the_picture() -> None:
    with pytest.raises(ModelError) as caught:
        task().look([output(CORNERS)])
    assert "2 of 2 confident boxes of FP32 have more than 20% of their area" in caught.value.problem
    assert 'boxes="corners"' in caught.value.remedy


def test_many_candidates_tell_corners_from_centres() -> None:
    """Boxes around the middle of the picture stay inside if they are read in the wrong way."""
    rng = np.random.default_rng(1)
    low, size = rng.uniform(200, 320, (40, 2)), rng.uniform(20, 200, (40, 2))
    corners, centres = np.concatenate([low, low + size], 1), np.concatenate([low, size], 1)
    with pytest.raises(ModelError, match=r'boxes="corners"'):
        task().look([output(corners, 0.01)])
    assert task(boxes="centres").look([output(corners, 0.01)])
    assert task().look([output(centres, 0.01)])


def test_centres_read_as_corners_have_no_area() -> None:
    with pytest.raises(ModelError, match=r'have no area.*boxes="centres"'):
        task(boxes="corners").look([output(np.array([[400.0, 400, 100, 100]]))])


def test_shares_of_the_input() -> None:
    with pytest.raises(ModelError, match="they are shares of the input"):
        task().look([output(CENTRES / 640)])


def test_a_minority_and_what_is_not_confident_say_nothing() -> None:
    assert task().look([output(CENTRES), output(CORNERS[:2])])
    assert task().look([output(CORNERS, 0.2)])
    with pytest.raises(ModelError):
        task(confidence=0.1).look([output(CORNERS, 0.2)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boxes": "corner"}, "ObjectDetection.boxes: 'corner' is unknown; did you mean 'corners'"),
        ({"boxes": 3}, "ObjectDetection.boxes: 3 is unknown"),
        ({"layout": "row"}, "ObjectDetection.layout: 'row' is unknown; did you mean 'rows'"),
        ({"layout": "x"}, "ObjectDetection.layout: 'x' is unknown; choose from yolov8, dfl,"),
        ({"layout": 3}, "ObjectDetection.layout: 3 is not a name"),
    ],
)
def test_what_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        task(**options)
    assert message in str(caught.value)


def test_the_layout_that_the_gate_file_names() -> None:
    rows = [np.array([[[100, 100, 300, 300, 0.9]]], np.float32)]
    with pytest.raises(ModelError, match="can be read in 2 ways"):
        task().look([rows])
    made = task(layout="rows-of-one-class")
    assert made.read(rows)[:, :4].tolist() == [[100, 100, 300, 300]]
    assert made.reading()["layout"] == "rows-of-one-class"
    made.adopt({})
    assert made.look([rows]) == {"layout": "rows-of-one-class"}


def test_the_report_names_the_layout() -> None:
    made = task()
    assert not made.reading_note
    made.adopt({"layout": "yolov8"})
    assert made.reading_note.startswith("outputs are read as YOLOv8 candidates: ")


def test_boxes_is_only_for_layouts_that_leave_it_open() -> None:
    rows = [np.array([[100, 100, 300, 300, 0.9, 0]], np.float32)]
    with pytest.raises(ModelError, match="where boxes= has no effect"):
        task(boxes="corners").look([rows])
    beyond = [rows[0] * np.float32([4, 4, 4, 4, 1, 1])]
    with pytest.raises(ModelError) as caught:
        task().look([beyond])
    assert "outside the input; outputs were read as suppressed rows" in caught.value.problem
    assert "boxes=" not in caught.value.remedy


def stacked(copies: int) -> list[NDArray[np.float32]]:
    """Rows x1, y1, x2, y2, score, class: `copies` of each box, a pixel apart, without padding."""
    boxes = np.repeat(CORNERS, copies, axis=0) + np.arange(3 * copies)[:, None] % copies
    scores = np.linspace(0.5, 0.95, len(boxes))[:, None]
    rows = np.concatenate([boxes, scores, np.zeros_like(scores)], 1)
    return [rows[None].astype(np.float32)]


def test_rows_that_nobody_has_suppressed_are_suppressed() -> None:
    """DeepStream's exports: the rows of suppressed boxes, but a row for every anchor."""
    made = task()
    learned = made.look([stacked(12)] * 2)
    assert learned == {"layout": "rows", "crowded": True}
    made.adopt(learned)
    assert made.reading_note.endswith("so they are suppressed by nms_iou, too")
    assert len(made.read(stacked(12))) == 3


def test_rows_that_the_model_has_suppressed_stay_as_they_are() -> None:
    made = task()
    learned = made.look([stacked(1)] * 2)
    assert learned == {"layout": "rows"}
    made.adopt(learned)
    assert "nms_iou" not in made.reading_note
    assert len(made.read(stacked(12))) == 36  # a variant is read as FP32 is


def test_a_detector_that_finds_everything_everywhere_is_refused() -> None:
    corner = np.stack(np.meshgrid(np.arange(0, 620, 20), np.arange(0, 400, 40)), -1).reshape(-1, 2)
    boxes = np.concatenate([corner + 8.0, np.full((len(corner), 2), 15.0)], 1)
    assert len(boxes) > 300
    with pytest.raises(ModelError, match=r"finds 300 objects.*score of 0\.25 or more in 2 of 2"):
        task().look([output(boxes)] * 2)
    task(confidence=0.95).look([output(boxes)] * 2)
    task().look([output(boxes), output(CENTRES)])
