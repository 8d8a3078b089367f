"""What a gate file may declare about groups."""

from collections.abc import Callable
from typing import Any

import pytest

from pytest_kycquant import (
    DetectionLimits,
    FaceLimits,
    FaceVerification,
    LivenessDetection,
    LivenessLimits,
    ObjectDetection,
)
from pytest_kycquant.errors import SpecError
from pytest_kycquant.spec.limits import Limits
from pytest_kycquant.spec.task import TaskSpec

Make = Callable[..., TaskSpec]


def detection(data: str, **options: Any) -> ObjectDetection:
    return ObjectDetection(data, "labels.json", ("face",), **options)


@pytest.mark.parametrize(
    ("make", "limits"),
    [
        (FaceVerification, FaceLimits(group_frr_degradation=0.02)),
        (FaceVerification, FaceLimits(group_far_degradation=0.002)),
        (LivenessDetection, LivenessLimits(group_bpcer_degradation=0.02)),
        (detection, DetectionLimits(group_recall_degradation=0.02)),
    ],
)
def test_a_limit_of_groups_wants_groups(make: Make, limits: Limits) -> None:
    """It would have no effect, and no one would notice."""
    task = type(make("data")).__name__
    with pytest.raises(SpecError, match=rf"group_\w+: has no effect.*{task}\(groups="):
        make("data").check_limits(limits)
    make("data", groups="groups.csv").check_limits(limits)
    make("data").check_limits(type(limits)())


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (FaceVerification, {"threshold": 0.5}),
        (LivenessDetection, {"threshold": 0.5}),
        (ObjectDetection, {"confidence": 0.5, "classes": ("face",)}),
    ],
)
def test_groups_need_labels(make: Make, options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"groups: needs labels"):
        make("data", labelled=False, groups="g.csv", **options)
