"""Keypoints are judged: a face that is aligned by wrong ones is another face to the embedder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant import DetectionLimits, Verdict
from pytest_kycquant.data.placement import Placement
from pytest_kycquant.errors import ModelError, SpecError
from pytest_kycquant.spec.tasks import ObjectDetection
from pytest_kycquant.statistics import upper_rank
from pytest_kycquant.tasks.detection.comparison import DetectionComparison
from pytest_kycquant.tasks.detection.keypoints import errors_of, judge_errors, usual_scale
from pytest_kycquant.tasks.detection.matching import Predictions
from pytest_kycquant.tasks.detection.task import rows_of
from pytest_kycquant.tasks.outputs import Outputs
from tests.tasks.test_detection_boxes import task
from tests.worlds.detections import FACE, comparison, found, named, objects, with_keypoints

LIMITS = DetectionLimits()


def judged(off: float, *, scale: str = "eyes", share: float = 1.0) -> DetectionComparison:
    """The same boxes, and keypoints that are off in a share of the images."""
    truth = objects()
    fp32 = with_keypoints(found(truth))
    variant = with_keypoints(found(truth), off)
    assert variant.keypoints is not None
    assert fp32.keypoints is not None
    rng = np.random.default_rng(2)
    spared = rng.random(len(variant.scores)) >= share
    variant.keypoints[spared] = fp32.keypoints[spared]
    return comparison(variant, truth, fp32=fp32, scale=scale)  # type: ignore[arg-type]


def test_by_hand() -> None:
    box = np.array([[0, 0, 40, 40]], float)
    moved = FACE + np.array([3.0, 4.0])  # by 5 pixels
    assert errors_of(moved[None], FACE[None], box, "eyes") == pytest.approx([5 / 16])
    assert errors_of(moved[None], FACE[None], box, "box") == pytest.approx([5 / 40])
    one = FACE.copy()
    one[4] += [0, 8]
    assert errors_of(one[None], FACE[None], box, "eyes") == pytest.approx([8 / 16 / 5])


def test_a_face_in_profile() -> None:
    """Its eyes coincide, and its error is neither infinite nor that of a tiny face."""
    side = FACE.copy()
    side[:, 0] = 20
    box = np.array([[0, 0, 40, 40]], float)
    assert errors_of(side[None] + 0.6, side[None], box, "eyes") == pytest.approx(
        [0.6 * np.sqrt(2) / (0.15 * 40)]
    )


def test_what_is_not_finite_is_the_worst() -> None:
    box = np.array([[0, 0, 40, 40]] * 2, float)
    bad = np.stack([FACE, FACE])
    bad[1, 2, 0] = np.nan
    assert errors_of(bad, np.stack([FACE, FACE]), box, "eyes").tolist() == [0.0, np.inf]
    assert errors_of(FACE[None], FACE[None], np.zeros((1, 4)), "box").tolist() == [np.inf]


def test_keypoints_in_their_place_pass() -> None:
    for scale in ("eyes", "box"):
        result = judged(0.0, scale=scale).against_fp32(float_variant=True)
        assert result.verdict is Verdict.PASS, result.describe()
        assert named(result, "mean keypoint error").value == 0.0
    # By 2 % of the distance of the eyes, as a good INT8 detector: not for a float one.
    found = judged(0.32)
    assert found.against_fp32().verdict is Verdict.PASS
    result = found.against_fp32(float_variant=True)
    assert named(result, "mean keypoint error").verdict is Verdict.FAIL
    assert found.figures()["keypoint_error"] == pytest.approx(0.02)


def test_keypoints_that_are_off_fail_although_all_boxes_agree() -> None:
    """By 22 % of the distance of the eyes, with an agreement of 100 %."""
    result = judged(3.52).against_fp32()
    agreeing = [check for check in result.checks if "detections of" in check.name]
    assert [check.value for check in agreeing] == [1.0, 1.0]
    mean, high = (check for check in result.checks if "keypoint" in check.name)
    assert mean.verdict is high.verdict is Verdict.FAIL
    assert mean.value == pytest.approx(0.22)
    assert mean.name == "mean keypoint error to FP32, of the distance of the eyes"


def test_the_mean_does_not_hide_some_faces() -> None:
    result = judged(4.8, share=0.08).against_fp32()
    mean, high = (check for check in result.checks if "keypoint" in check.name)
    assert (mean.verdict, high.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert high.value == pytest.approx(0.3)


def test_swapped_eyes_fail() -> None:
    truth = objects()
    fp32 = with_keypoints(found(truth))
    assert fp32.keypoints is not None
    swapped = replace(fp32, keypoints=fp32.keypoints[:, [1, 0, 2, 4, 3]])
    result = comparison(swapped, truth, fp32=fp32, scale="eyes").against_fp32()
    assert named(result, "mean keypoint error").value == pytest.approx((16 * 2 + 12 * 2) / 5 / 16)
    assert result.verdict is Verdict.FAIL


def test_no_detection_in_common_is_no_pass() -> None:
    truth = objects()
    fp32 = with_keypoints(found(truth))
    elsewhere = replace(fp32, boxes=fp32.boxes + 1000)
    result = comparison(elsewhere, truth, fp32=fp32).against_fp32()
    for name in ("mean keypoint", "95th percentile of the keypoint"):
        check = named(result, name)
        assert check.verdict is Verdict.FAIL
        assert "no detection in common" in check.detail


def test_one_keypoint_that_is_not_finite() -> None:
    truth = objects()
    fp32 = with_keypoints(found(truth))
    variant = with_keypoints(found(truth))
    assert variant.keypoints is not None
    variant.keypoints[7, 2] = np.nan
    result = comparison(variant, truth, fp32=fp32).against_fp32()
    assert named(result, "mean keypoint error").verdict is Verdict.FAIL
    assert "keypoint_error" not in comparison(variant, truth, fp32=fp32).figures()


def test_few_detections_cannot_pass_by_luck() -> None:
    values = np.full(20, 0.01)
    assert upper_rank(20, 0.95, 0.95) is None
    mean, high = judge_errors(
        LIMITS["keypoint_error"], LIMITS["keypoint_error_p95"], values, np.arange(20), "error"
    )
    assert "too few for a confidence bound, so the largest is used" in high.detail
    assert (mean.verdict, high.upper) == (Verdict.PASS, 0.01)


@pytest.mark.parametrize("limit", ["keypoint_error", "keypoint_error_p95"])
def test_without_keypoints_nothing_is_said(limit: str) -> None:
    truth = objects()
    itself = comparison(found(truth), truth, replace(LIMITS, **{limit: 1e-9}))
    assert not [check for check in itself.against_fp32().checks if "keypoint" in check.name]
    assert "keypoint_error" not in itself.figures()


# With labels


def labelled(off: float, *, fp32_off: float = 0.0, hidden: float = 0.0) -> DetectionComparison:
    """Labels of a share of the keypoints, from which FP32 and the variant are off."""
    truth = objects()
    points = truth.boxes[:, None, :2] + FACE
    rng = np.random.default_rng(4)
    points[rng.random(points.shape[:2]) < hidden] = np.nan
    truth = replace(truth, keypoints=points)

    def detections(pixels: float, seed: int) -> Predictions:
        predictions = found(truth)
        numbers = np.argsort(predictions.image_index)  # one face in each image
        angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, (len(numbers), 5))
        moved = pixels * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        return replace(predictions, keypoints=(truth.boxes[:, None, :2] + FACE + moved)[numbers])

    limits = replace(LIMITS, keypoint_error=0.9, keypoint_error_p95=0.9)
    fp32, variant = detections(fp32_off, 1), detections(off, 2)
    return comparison(variant, truth, limits, fp32=fp32, scale="eyes")


def test_farther_from_labels_than_fp32() -> None:
    """FP32 is off by 5 % of the distance of the eyes, and the variant by 12 %."""
    result = labelled(1.92, fp32_off=0.8).against_fp32()
    mean, high = (check for check in result.checks if "from labels" in check.name)
    assert (mean.verdict, high.verdict) == (Verdict.FAIL, Verdict.PASS)
    assert mean.value == pytest.approx(0.07)
    assert mean.name == (
        "mean increase of the keypoint error from labels, of the distance of the eyes"
    )
    assert labelled(0.8, fp32_off=0.8).against_fp32().verdict is Verdict.PASS
    assert labelled(0.0, fp32_off=0.8).against_fp32().verdict is Verdict.PASS  # nearer


def test_only_what_is_labelled_counts() -> None:
    found_ = labelled(1.92, fp32_off=0.8, hidden=0.4).against_fp32()
    mean = named(found_, "mean increase of the keypoint error from labels")
    assert mean.value == pytest.approx(0.05, abs=0.02)  # where an eye is hidden, of the box
    nothing = labelled(5.0, hidden=1.0).against_fp32()
    check = named(nothing, "mean increase of the keypoint error from labels")
    assert check.verdict is Verdict.FAIL  # labels without a point say so when they are read


def test_labels_by_hand() -> None:
    box = np.array([[0, 0, 40, 40]], float)
    labels, moved = FACE.copy(), FACE + np.array([3.0, 4.0])
    labels[2:] = np.nan
    assert errors_of(moved[None], labels[None], box, "eyes") == pytest.approx([5 / 16])
    labels[0] = np.nan  # one eye
    assert errors_of(moved[None], labels[None], box, "eyes") == pytest.approx([5 / 40])
    labels[1] = np.nan
    assert np.isnan(errors_of(moved[None], labels[None], box, "eyes")).all()


# From the outputs of the model


def row(*points: float) -> NDArray[np.float32]:
    """One candidate of YOLOv8, with a keypoint (x, y, visibility) for each pair."""
    points3 = [value for x, y in zip(points[::2], points[1::2], strict=True) for value in (x, y, 1)]
    return np.array([[320, 320, 200, 200, 0.9, *points3]], np.float32).T[None]


def test_they_follow_the_box_into_the_picture() -> None:
    """Letterboxed: the picture is half as large, and lies below 80 rows of padding."""
    made = task(keypoints=2)
    made.look([[row(300, 300, 400, 340)]])
    rows = made.read([row(300, 300, 400, 700)])
    assert rows[0, 6:].tolist() == [300, 300, 400, 700]
    placement = Placement((960, 1280), (480, 640), 80, 0)
    points = rows[:, 6:].reshape(-1, 2, 2).astype(float)
    assert placement.points_to_image(points).tolist() == [[[600, 440], [800, 1240]]]  # outside, too


def test_of_a_function_of_the_users() -> None:
    def decode(outputs: tuple[NDArray[np.float32], ...]) -> tuple[object, ...]:
        number = int(outputs[0].ravel()[5]) or 3
        boxes = np.array([[220.0, 220, 420, 420]])
        return boxes, np.array([0.9]), np.array([0]), np.full((1, number, 2), 300.0)

    made = task(decode=decode)
    learned = made.look([[row(3, 1)]])
    assert learned["keypoints"] == 3
    made.adopt(learned)
    assert made.read([row(3, 1)]).shape == (1, 6 + 6)
    with pytest.raises(ModelError, match="5 keypoints were read for an image, and 3 for others"):
        made.read([row(5, 1)])


def test_what_errors_are_relative_to() -> None:
    assert [usual_scale(number) for number in (5, 4, 17)] == ["eyes", "box", "box"]
    assert ObjectDetection("data", "labels", ("face",), keypoint_scale="eyes")  # of the outputs
    for number in (0, 1):
        options = {"keypoint_scale": "eyes", "keypoints": number}
        with pytest.raises(SpecError, match="keypoint_scale: is 'eyes', and there are"):
            ObjectDetection("data", "labels", ("face",), **options)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="keypoint_scale"):
        ObjectDetection("data", "labels", ("face",), keypoints=5, keypoint_scale="nose")  # type: ignore[arg-type]
    assert ObjectDetection("data", "labels", ("face",), keypoints=5, keypoint_scale="box")


def test_landmarks_that_come_late_are_not_passed_over() -> None:
    """Nothing was found in the first images, so nobody knew that there are landmarks to judge."""

    def decode(outputs: tuple[NDArray[np.float32], ...]) -> tuple[object, ...]:
        if outputs[0].ravel()[5] == 0:
            return np.empty((0, 4)), np.empty(0), np.empty(0)
        boxes = np.array([[220.0, 220, 420, 420]])
        return boxes, np.array([0.9]), np.array([0]), np.full((1, 5, 2), 300.0)

    made = task(decode=decode)
    made.adopt(made.look([[row(0, 1)]]))
    assert len(made.read([row(0, 1)])) == 0
    with pytest.raises(ModelError, match="returned landmarks for an image, and none for the first"):
        made.read([row(5, 1)])


def test_a_variant_that_finds_nothing_at_all() -> None:
    """Its rows have keypoints all the same, none of them."""
    outputs = Outputs(np.empty((0, 16), np.float32), np.ones(3, np.bool_), rows=np.zeros(3, int))
    found_ = rows_of(outputs)
    assert found_.keypoints is not None
    assert found_.keypoints.shape == (0, 5, 2)
    truth = objects()
    fp32 = with_keypoints(found(truth))
    nothing = fp32.only(np.zeros(len(fp32.scores), np.bool_))
    result = comparison(nothing, truth, fp32=fp32, scale="eyes").against_fp32()
    assert named(result, "mean keypoint error").verdict is Verdict.FAIL


def test_bounds_of_the_percentile() -> None:
    """An estimate beyond the limit does not fail before its lower bound is beyond it, too."""
    values = np.where(np.arange(100) < 94, 0.01, 0.3)
    _, high = judge_errors(
        LIMITS["keypoint_error"], LIMITS["keypoint_error_p95"], values, np.arange(100), "error"
    )
    assert (high.value, high.lower, high.upper) == (0.3, 0.01, 0.3)
    assert high.verdict is Verdict.INCONCLUSIVE
