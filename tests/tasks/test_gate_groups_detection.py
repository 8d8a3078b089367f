"""Groups of images in the degradation gate of detectors, such as kinds of documents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import DetectionLimits, Verdict
from pytest_kycquant.data.groups import Group
from pytest_kycquant.results import GroupIncrease
from pytest_kycquant.tasks.detection.comparison import DetectionComparison
from pytest_kycquant.tasks.detection.matching import Objects
from tests.worlds.detections import IMAGES, comparison, found, named, objects, without

LIMITS = DetectionLimits(
    map50_degradation=0.9, map_degradation=0.9, agreement=0.1, recall_degradation=0.06
)
PASSPORTS = 120  # images
WORST = "increase of misses of kind0 over FP32, worst of 2 groups"


def two_groups(
    truth: Objects, lost: range, limits: DetectionLimits = LIMITS, *, which: int = 0
) -> DetectionComparison:
    """A variant that loses the objects of a class in some images."""
    predictions = found(truth)
    dropped = np.isin(predictions.image_index, list(lost)) & (predictions.classes == which)
    passport = np.arange(truth.images) < PASSPORTS
    groups = (Group("kind passport", passport), Group("kind card", ~passport))
    return replace(comparison(without(predictions, dropped), truth, limits), group_table=groups)


def of(increases: list[GroupIncrease], group: str, measure: str) -> GroupIncrease:
    (one,) = (each for each in increases if (each.group, each.measure) == (group, measure))
    return one


def test_without_groups_nothing_changes() -> None:
    truth = objects()
    itself = comparison(found(truth), truth, LIMITS)
    assert itself.groups() == []
    assert not any("group" in check.name for check in itself.against_fp32().checks)


def test_fp32_itself_passes() -> None:
    result = two_groups(objects(kinds=2), range(0), DetectionLimits()).against_fp32()
    assert result.verdict is Verdict.PASS
    assert named(result, WORST).verdict is Verdict.PASS


def test_what_is_lost_of_one_group_passes_pooled_and_fails() -> None:
    """The same budget for all and for each group: 14 of 400 are inside it, 14 of 120 are not."""
    limits = replace(LIMITS, group_recall_degradation=0.06)
    hurt = two_groups(objects(kinds=2), range(14), limits)
    result = hurt.against_fp32()
    assert result.verdict is Verdict.FAIL
    assert [c.name for c in result.checks if c.verdict is not Verdict.PASS] == [WORST]
    worst = named(result, WORST)
    assert worst.value == pytest.approx(14 / PASSPORTS)
    assert worst.lower is not None
    assert worst.lower >= 0.06
    assert worst.detail.startswith("kind passport: 14 objects newly missed, 0 newly found")
    increases = hurt.groups()
    passports = of(increases, "kind passport", "misses of kind0")
    assert (passports.fp32["errors"], passports.variant["errors"]) == (0, 14)
    assert passports.variant["trials"] == PASSPORTS
    assert of(increases, "kind card", "misses of kind0").variant["errors"] == 0
    assert of(increases, "kind passport", "misses of kind1").variant["errors"] == 0


def test_a_small_group_is_undecided() -> None:
    truth = objects()
    few = np.arange(IMAGES) < 15
    groups = (Group("country A", few), Group("country B", ~few))
    result = replace(comparison(found(truth), truth, LIMITS), group_table=groups).against_fp32()
    worst = named(result, WORST)
    assert worst.verdict is Verdict.INCONCLUSIVE
    assert "a claim about the group needs such objects from at least 20 images; it has 15" in (
        worst.detail
    )


def test_a_group_without_images_is_not_lost() -> None:
    """For example, all images of a group may be in the selection split."""
    truth = objects()
    everything = np.ones(IMAGES, np.bool_)
    groups = (Group("country A", ~everything), Group("country B", everything))
    result = replace(comparison(found(truth), truth, LIMITS), group_table=groups).against_fp32()
    assert named(result, WORST).verdict is Verdict.INCONCLUSIVE
    assert named(result, WORST).detail.startswith("country A: ")


def test_a_class_that_a_group_does_not_show_says_nothing() -> None:
    """Backs of cards have no portrait."""
    truth = objects(kinds=2)
    back = np.arange(IMAGES) < PASSPORTS
    kept = ~(back[truth.image_index] & (truth.classes == 1))
    truth = replace(
        truth,
        boxes=truth.boxes[kept],
        classes=truth.classes[kept],
        image_index=truth.image_index[kept],
        crowd=truth.crowd[kept],
    )
    groups = (Group("side back", back), Group("side front", ~back))
    sides = replace(comparison(found(truth), truth, LIMITS), group_table=groups)
    assert {(each.group, each.measure) for each in sides.groups()} == {
        ("side back", "misses of kind0"),
        ("side front", "misses of kind0"),
        ("side front", "misses of kind1"),
    }
    result = sides.against_fp32()
    assert result.verdict is Verdict.PASS
    names = [check.name for check in result.checks]
    assert "increase of misses of kind1 over FP32, worst of 1 groups" in names


def test_regions_to_ignore_are_no_objects() -> None:
    truth = objects()
    crowd = truth.image_index < PASSPORTS
    ignored = two_groups(replace(truth, crowd=crowd), range(0))
    assert [each.group for each in ignored.groups()] == ["kind card"]
