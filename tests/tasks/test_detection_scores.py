"""Matching, misses and agreement on cases worked out by hand; AP is compared with pycocotools."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_kycquant.errors import DataError
from pytest_kycquant.tasks.detection.likeness import agreement, distance
from pytest_kycquant.tasks.detection.matching import (
    IOUS,
    Matching,
    Objects,
    Predictions,
    select_confidence,
)
from tests.worlds.detections import found, in_order, objects, shifted, without


def reference(predictions: Predictions, truth: Objects) -> NDArray[np.float64]:
    """mAP at each of IOUS by pycocotools."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

    def bbox(box: NDArray[np.float64]) -> list[float]:
        return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]

    labels = [
        {
            "id": i + 1,
            "image_id": int(truth.image_index[i]),
            "category_id": int(truth.classes[i]),
            "bbox": bbox(box),
            "area": float(np.prod(box[2:] - box[:2])),
            "iscrowd": int(truth.crowd[i]),
        }
        for i, box in enumerate(truth.boxes)
    ]
    results = [
        {
            "image_id": int(predictions.image_index[i]),
            "category_id": int(predictions.classes[i]),
            "bbox": bbox(box),
            "score": float(predictions.scores[i]),
        }
        for i, box in enumerate(predictions.boxes)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(truth.images)],
            "annotations": labels,
            "categories": [{"id": i} for i in range(truth.kinds)],
        }
        coco.createIndex()
        detected = coco.loadRes(results) if results else COCO()
        evaluation = COCOeval(coco, detected, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # IoU, recall, class; all, 100
    known = (precision > -1).all(axis=(0, 1))
    return precision[:, :, known].mean(axis=(1, 2))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Predictions, Objects]:
    """A few images on a small grid, so that ties, exact thresholds and crowds are frequent."""
    images, kinds = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    counts = draw(st.integers(1, 12)), draw(st.integers(0, 25))
    grid = draw(st.sampled_from([4, 12]))

    def boxes(count: int) -> NDArray[np.float64]:
        corner = rng.integers(0, grid, (count, 2))
        return np.concatenate([corner, corner + rng.integers(1, grid, (count, 2))], 1).astype(float)

    crowd = rng.random(counts[0]) < draw(st.sampled_from([0.0, 0.3]))
    crowd[0] = False  # without any object the mean over classes is empty
    order = np.sort(rng.integers(0, images, counts[0]))
    truth = Objects(
        boxes(counts[0]), rng.integers(0, kinds, counts[0]), order, crowd, images, kinds
    )
    near = rng.integers(0, counts[0], counts[1])
    copied = rng.random(counts[1]) < 0.6
    guesses = np.where(copied[:, None], truth.boxes[near], boxes(counts[1]))
    where = np.where(copied, truth.image_index[near], rng.integers(0, images, counts[1]))
    which = np.where(copied, truth.classes[near], rng.integers(0, kinds, counts[1]))
    guesses[:, 2] += rng.integers(0, 2, counts[1])
    scores = rng.integers(1, 11, counts[1]) / 10
    return in_order(guesses, scores, which, where), truth


@settings(max_examples=300)
@given(cases())
def test_average_precision_is_that_of_pycocotools(case: tuple[Predictions, Objects]) -> None:
    predictions, truth = case
    mine = Matching(predictions, truth).average_precisions
    if len(predictions.scores):
        np.testing.assert_allclose(mine, reference(predictions, truth), atol=1e-6)
    else:
        assert not mine.any()


def test_at_most_a_hundred_detections_of_a_class_in_an_image() -> None:
    truth = objects(images=2)
    boxes = np.concatenate([np.tile([500.0, 500, 540, 540], (120, 1)), truth.boxes])
    scores = np.concatenate([np.linspace(0.9, 0.5, 120), [0.1, 0.1]])
    where = np.concatenate([np.zeros(120, np.int64), [0, 1]])
    predictions = in_order(boxes, scores, np.zeros(122, np.int64), where)
    mine = Matching(predictions, truth)
    np.testing.assert_allclose(mine.average_precisions, reference(predictions, truth), atol=1e-6)
    assert mine.acquired.tolist() == [-1.0, 0.1]  # the 121st detection of its image is ignored
    assert mine.false_positives(0.05) == 100


def test_leaving_out_an_image_is_evaluating_without_it() -> None:
    rng = np.random.default_rng(3)
    truth = objects(images=6, kinds=2, each=2)
    predictions = found(truth)
    noisy = replace(predictions, boxes=predictions.boxes + rng.normal(0, 5, (24, 4)))
    matching = Matching(noisy, truth)
    for image in range(6):
        kept, there = truth.image_index != image, noisy.image_index != image
        part = Objects(
            truth.boxes[kept], truth.classes[kept], truth.image_index[kept], truth.crowd[kept], 6, 2
        )
        alone = Matching(without(noisy, ~there), part).areas
        np.testing.assert_allclose(matching.leave_out[image], alone)


@given(cases())
def test_area_is_average_precision_but_for_its_rounding(
    case: tuple[Predictions, Objects],
) -> None:
    matching = Matching(*case)
    difference = matching.areas - matching.average_precisions
    assert np.abs(difference).max() <= 0.01 + 1e-9


def test_area_by_hand() -> None:
    """Right, wrong, right, of four objects: precisions 1 and 2/3 at recalls 1/4 and 1/2."""
    truth = objects(images=4)
    boxes = np.stack([truth.boxes[0], [900.0, 0, 940, 40], truth.boxes[1]])
    predictions = in_order(boxes, np.array([0.9, 0.8, 0.7]), np.zeros(3, int), np.array([0, 0, 1]))
    matching = Matching(predictions, truth)
    np.testing.assert_allclose(matching.areas, (1 + 2 / 3) / 4)
    np.testing.assert_allclose(matching.average_precisions, (26 + 25 * 2 / 3) / 101)


def test_many_images_are_left_out_in_groups() -> None:
    truth = objects(images=1000)
    assert Matching(found(truth), truth).leave_out.shape == (200, len(IOUS))


def test_each_object_is_found_once_by_the_best_score() -> None:
    truth = objects(images=1)
    box = truth.boxes[0]
    worse_fit = box + np.array([0.0, 0, 10, 0])
    predictions = in_order(
        np.stack([box, worse_fit]), np.array([0.5, 0.9]), np.zeros(2, np.int64), np.zeros(2, int)
    )
    matching = Matching(predictions, truth)
    assert matching.acquired.tolist() == [0.9]
    assert matching.false_positives(0.5) == 1
    assert matching.false_positives(0.6) == 0


def test_another_class_is_no_match() -> None:
    truth = objects(images=1, kinds=2)
    predictions = found(truth)
    swapped = replace(predictions, classes=1 - predictions.classes)
    assert Matching(swapped, truth).acquired.tolist() == [-1.0, -1.0]


def test_crowds_are_neither_missed_nor_wrong() -> None:
    truth = replace(objects(images=1, each=2), crowd=np.array([False, True]))
    box = truth.boxes[1]
    predictions = in_order(
        np.stack([truth.boxes[0], box, box]),
        np.array([0.9, 0.8, 0.7]),
        np.zeros(3, int),
        np.zeros(3, int),
    )
    matching = Matching(predictions, truth)
    assert matching.false_positives(0.1) == 0
    assert matching.miss_rate(0.5, 0).trials == 1
    assert matching.average_precisions[0] == 1.0


def test_misses_at_a_confidence() -> None:
    truth = objects(images=40)
    predictions = found(truth)
    predictions = replace(predictions, scores=np.linspace(0.9, 0.1, 40))
    matching = Matching(predictions, truth)
    assert matching.missed(0.5, 0).sum() == 20
    found_at = predictions.scores[10]
    assert matching.missed(found_at, 0).sum() == 29  # found if score >= confidence
    rate = matching.miss_rate(0.5, 0)
    assert (rate.errors, rate.trials, rate.subjects) == (20, 40, 40)


def test_objects_of_an_image_are_one_piece_of_evidence() -> None:
    """Ten objects in each of 40 images, all found: far fewer than 400 independent objects.

    The design effect lies half-way between that of the nearest misses and that of images whose
    objects are all lost together.
    """
    crowded, plain = objects(images=40, each=10), objects(images=40)
    many = Matching(found(crowded), crowded).miss_rate(0.5, 0)
    few = Matching(found(plain), plain).miss_rate(0.5, 0)
    assert (many.trials, few.trials) == (400, 40)
    assert many.deff == pytest.approx((1 + 10) / 2, rel=0.1)
    assert few.upper / 2 < many.upper < few.upper


def test_nothing_found() -> None:
    truth = objects(images=30)
    nothing = without(found(truth), np.ones(30, np.bool_))
    matching = Matching(nothing, truth)
    assert not matching.average_precisions.any()
    assert not matching.leave_out.any()
    assert matching.miss_rate(0.25, 0).value == 1.0
    assert matching.false_positives(0.0) == 0


def test_agreement() -> None:
    truth = objects(images=40)
    fp32 = found(truth)
    fewer = without(fp32, np.arange(40) < 10)
    moved = shifted(replace(fewer, scores=fewer.scores - 0.05), 4.0)
    result = agreement(fp32, moved, truth)
    assert (result.recall.errors, result.recall.trials) == (10, 40)
    assert (result.precision.errors, result.precision.trials) == (0, 30)
    np.testing.assert_allclose(result.drift, 0.05)
    assert result.overlap == pytest.approx(36 / 44, abs=0.02)
    more = agreement(fewer, fp32, truth)
    assert (more.recall.errors, more.precision.errors) == (0, 10)


def test_distance() -> None:
    truth = objects(images=8)
    fp32 = found(truth)
    half = without(fp32, np.arange(8) % 2 == 0)
    assert distance(fp32, fp32, 8, 1) == pytest.approx(0.0)
    assert distance(fp32, without(fp32, np.ones(8, np.bool_)), 8, 1) == 1.0
    lost = fp32.scores[::2].sum()
    assert distance(fp32, half, 8, 1) == pytest.approx(lost / (2 * fp32.scores.sum() - lost))
    assert distance(half, fp32, 8, 1) == pytest.approx(distance(fp32, half, 8, 1))
    worse = [distance(fp32, shifted(fp32, pixels), 8, 1) for pixels in (1, 4, 12, 60)]
    assert worse == sorted(worse)
    assert worse[-1] == 1.0


def test_the_highest_confidence_that_shows_the_miss_rate() -> None:
    truth = objects()
    predictions = replace(found(truth), scores=np.linspace(0.9, 0.1, 400))
    matching = Matching(predictions, truth)
    chosen = select_confidence(matching, 0.05)
    assert matching.miss_rate(chosen, 0).upper < 0.05
    above = float(
        np.sort(matching.acquired)[np.searchsorted(np.sort(matching.acquired), chosen) + 1]
    )
    assert matching.miss_rate(above, 0).upper >= 0.05


def test_the_worst_class_decides_on_the_confidence() -> None:
    truth = objects(kinds=2)
    predictions = found(truth)
    scores = np.where(predictions.classes == 1, predictions.scores - 0.5, predictions.scores)
    both = select_confidence(
        Matching(
            in_order(predictions.boxes, scores, predictions.classes, predictions.image_index), truth
        ),
        0.05,
    )
    assert 0.1 < both < 0.2


@pytest.mark.parametrize(("images", "lost"), [(30, 0), (400, 40), (400, 400), (15, 0)])
def test_no_confidence_is_low_enough(images: int, lost: int) -> None:
    truth = objects(images=images)
    matching = Matching(without(found(truth), np.arange(images) < lost), truth)
    with pytest.raises(
        DataError, match=f"{lost} of {images} objects in {images} images are missed"
    ):
        select_confidence(matching, 0.05)
