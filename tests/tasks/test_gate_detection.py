"""The detection gates: each passes for a good detector and fails for the damage it targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import DetectionLimits, Verdict
from pytest_kycquant.results import GateResult
from pytest_kycquant.tasks.detection.comparison import DetectionComparison
from pytest_kycquant.tasks.detection.matching import Objects, Predictions
from tests.worlds.detections import (
    IMAGES,
    comparison,
    found,
    in_order,
    named,
    objects,
    shifted,
    without,
)


def recall(of: DetectionComparison) -> GateResult:
    result, _ = of.accuracy()
    return result


def precision(of: DetectionComparison) -> GateResult:
    _, result = of.accuracy()
    return result


def lost(predictions: Predictions, share: float, seed: int = 1) -> Predictions:
    """The detections without some, drawn at random."""
    rng = np.random.default_rng(seed)
    return without(predictions, rng.random(len(predictions.scores)) < share)


def with_false(predictions: Predictions, truth: Objects, score: float, every: int) -> Predictions:
    """One false positive more in some images."""
    where = np.arange(0, truth.images, every)
    nothing = np.tile([5000.0, 5000, 5040, 5040], (len(where), 1))
    return in_order(
        np.concatenate([predictions.boxes, nothing]),
        np.concatenate([predictions.scores, np.full(len(where), score)]),
        np.concatenate([predictions.classes, np.zeros(len(where), np.int64)]),
        np.concatenate([predictions.image_index, where]),
    )


def test_fp32_itself_passes_everything() -> None:
    truth = objects(kinds=2)
    itself = comparison(found(truth), truth)
    for result in (
        itself.finite(),
        recall(itself),
        precision(itself),
        itself.against_fp32(),
        itself.against_fp32(float_variant=True),
    ):
        assert result.verdict is Verdict.PASS, result.describe()


def test_a_little_noise_passes_everything() -> None:
    truth = objects(kinds=2)
    other = comparison(found(truth, seed=1), truth)
    assert other.against_fp32().verdict is Verdict.PASS


def test_broken_images_and_edges_are_named() -> None:
    truth = objects()
    bad = comparison(found(truth), truth, broken=("a.jpg", "b.jpg"), broken_edges=("white",))
    result = bad.finite()
    assert named(result, "images").verdict is Verdict.FAIL
    assert named(result, "images").detail == "a.jpg, b.jpg"
    assert named(result, "edge").detail == "white"


def test_two_score_values_are_a_collapse() -> None:
    """The INT8 scores that remain when scores share their scale with coordinates."""
    truth = objects()
    variant = found(truth)
    coarse = comparison(replace(variant, scores=2.5 * np.round(variant.scores / 2.5 + 0.3)), truth)
    result = coarse.finite()
    assert named(result, "distinct").verdict is Verdict.FAIL
    assert "leave the operators after the head in FP32" in named(result, "distinct").detail


def test_eight_bits_are_no_collapse() -> None:
    truth = objects()
    variant = found(truth)
    eight_bits = replace(variant, scores=np.round(variant.scores * 100) / 100)
    assert comparison(eight_bits, truth).finite().verdict is Verdict.PASS


def test_missed_objects_fail_recall() -> None:
    truth = objects()
    result = recall(comparison(lost(found(truth), 0.1), truth))
    check = result.worst_check()
    assert check.verdict is Verdict.FAIL
    assert check.value == pytest.approx(0.9, abs=0.03)
    assert "objects in 400 images missed at a confidence of 0.5" in check.detail


def test_the_worst_class_is_the_headline() -> None:
    """3 % of one class and 15 % of the other are 9 % pooled: only the second one fails."""
    truth = objects(images=600, kinds=2)
    variant = found(truth)
    rng = np.random.default_rng(1)
    share = np.where(variant.classes == 1, 0.15, 0.03)
    result = recall(comparison(without(variant, rng.random(len(share)) < share), truth))
    assert [check.name for check in result.checks] == ["recall, kind1", "recall, kind0"]
    assert [check.verdict for check in result.checks] == [Verdict.FAIL, Verdict.PASS]


def test_a_low_score_is_a_miss() -> None:
    truth = objects()
    shy = replace(found(truth), scores=found(truth).scores - 0.3)
    assert recall(comparison(shy, truth)).verdict is Verdict.FAIL


def test_few_misses_near_the_limit_are_undecided() -> None:
    truth = objects()
    result = recall(comparison(lost(found(truth), 0.045), truth))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "images would decide" in result.worst_check().detail


@pytest.mark.parametrize("images", [10, IMAGES])
def test_nothing_found_fails_however_few_the_images(images: int) -> None:
    truth = objects(images=images)
    nothing = comparison(without(found(truth), np.ones(images, np.bool_)), truth)
    for result in (
        nothing.finite(),
        recall(nothing),
        precision(nothing),
        nothing.against_fp32(),
    ):
        assert result.verdict is Verdict.FAIL
    assert "not a single detection" in recall(nothing).describe()
    assert "the variant has none" in nothing.against_fp32().describe()
    assert all(np.isfinite(list(nothing.figures().values())))


def test_one_image_has_finite_bounds() -> None:
    """The bounds end up in JSON, which has no infinity."""
    truth = objects(images=1)
    itself = comparison(found(truth), truth)
    for result in (precision(itself), itself.against_fp32()):
        assert result.verdict is Verdict.INCONCLUSIVE
        for check in result.checks:
            assert np.isfinite([check.value, check.lower, check.upper]).all()


def test_too_few_images_decide_nothing() -> None:
    truth = objects(images=19)
    itself = comparison(found(truth), truth)
    for result in (recall(itself), precision(itself)):
        assert result.verdict is Verdict.INCONCLUSIVE
        assert "at least 20 images" in result.describe()
    result = itself.against_fp32()
    assert {check.verdict for check in result.checks[:-1]} == {Verdict.INCONCLUSIVE}


def test_false_positives_lower_map_and_are_told() -> None:
    """Recall does not depend on false positives."""
    truth = objects()
    noisy = comparison(with_false(found(truth), truth, 0.97, every=4), truth)
    assert recall(noisy).verdict is Verdict.PASS
    assert "0.25 false positives per image" in recall(noisy).describe()
    assert noisy.figures()["false_positives_per_image"] == 0.25
    assert noisy.figures()["false_positives_per_image_fp32"] == 0.0
    assert precision(noisy).verdict is Verdict.FAIL


def test_map_near_its_limit_is_undecided() -> None:
    truth = objects()
    noisy = comparison(with_false(found(truth), truth, 0.97, every=11), truth)
    value = precision(noisy).checks[0].value
    assert value is not None
    result = precision(replace(noisy, limits=DetectionLimits(map50=value - 1e-4)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "such images would decide" in result.describe()


def test_newly_missed_objects_fail() -> None:
    truth = objects()
    result = comparison(lost(found(truth), 0.05), truth).against_fp32()
    check = named(result, "increase of misses of kind0 over FP32")
    assert check.verdict is Verdict.FAIL
    assert "objects newly missed, 0 newly found" in check.detail


def test_fewer_misses_are_no_degradation() -> None:
    """The sign of the budget."""
    truth = objects()
    result = comparison(found(truth), truth, fp32=lost(found(truth), 0.05)).against_fp32()
    for name in ("increase of misses", "drop of mAP50", "drop of mAP50-95"):
        check = named(result, name)
        assert check.verdict is Verdict.PASS
        assert (check.value or 0) < -0.01


def test_lower_scores_of_right_boxes_drop_map50() -> None:
    """No object is missed: false positives now come before them."""
    truth = objects()
    fp32 = with_false(found(truth), truth, 0.55, every=4)
    variant = with_false(found(truth), truth, 0.96, every=4)
    result = comparison(variant, truth, fp32=fp32).against_fp32()
    assert named(result, "increase of misses").verdict is Verdict.PASS
    assert named(result, "drop of mAP50").verdict is Verdict.FAIL


def test_looser_boxes_drop_map_at_stricter_overlaps_only() -> None:
    truth = objects()
    result = comparison(shifted(found(truth), 4), truth).against_fp32()
    assert named(result, "drop of mAP50 ").verdict is Verdict.PASS
    assert named(result, "drop of mAP50-95").verdict is Verdict.FAIL
    assert named(result, "5th percentile").verdict is Verdict.FAIL


def test_lost_detections_are_seen_without_labels() -> None:
    truth = objects()
    result = comparison(lost(found(truth), 0.06), truth).against_fp32()
    assert named(result, "detections of FP32").verdict is Verdict.FAIL
    assert named(result, "detections of the variant").verdict is Verdict.PASS


def test_new_detections_are_seen_without_labels() -> None:
    truth = objects()
    variant = with_false(found(truth), truth, 0.55, every=10)
    result = comparison(variant, truth).against_fp32()
    assert named(result, "detections of FP32").verdict is Verdict.PASS
    assert named(result, "detections of the variant").verdict is Verdict.FAIL


def test_equal_map_with_swapped_detections_fails() -> None:
    """As many objects are found as before, but different ones."""
    truth = objects()
    fp32, variant = lost(found(truth), 0.05, seed=1), lost(found(truth), 0.05, seed=2)
    result = comparison(variant, truth, fp32=fp32).against_fp32()
    drop = named(result, "drop of mAP50 ").value
    assert drop is not None
    assert abs(drop) < 0.03
    assert named(result, "detections of FP32").verdict is Verdict.FAIL


def test_nothing_in_common() -> None:
    truth = objects()
    result = comparison(shifted(found(truth), 2000), truth).against_fp32()
    check = named(result, "5th percentile")
    assert (check.verdict, check.value) == (Verdict.FAIL, 0.0)
    assert check.detail == "no detection in common"


def test_fp16_has_no_excuse() -> None:
    truth = objects()
    moved = comparison(shifted(found(truth), 2), truth)
    assert named(moved.against_fp32(), "5th").verdict is Verdict.PASS
    assert named(moved.against_fp32(float_variant=True), "5th").verdict is Verdict.FAIL


def test_agreement_of_few_detections_is_undecided() -> None:
    truth = objects(images=60)
    result = comparison(found(truth), truth).against_fp32()
    check = named(result, "detections of FP32")
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "images would decide" in check.detail


def test_figures() -> None:
    truth = objects()
    drifted = found(truth)
    drifted = replace(drifted, scores=drifted.scores - 0.02)
    found_figures = comparison(drifted, truth).figures()
    assert found_figures["confidence_drift"] == pytest.approx(0.02)
    assert found_figures["agreement_recall"] == found_figures["agreement_precision"] == 1.0
    assert found_figures["map50"] == 1.0
    assert 0.9 < found_figures["map50_95"] < 1.0
