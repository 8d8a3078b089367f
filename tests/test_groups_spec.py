"""What a gate file may say of groups."""

import pytest

from pytest_kycquant import (
    FaceLimits,
    FaceVerification,
    LivenessDetection,
    LivenessLimits,
)
from pytest_kycquant.errors import SpecError
from pytest_kycquant.limits import Limits
from pytest_kycquant.task_spec import TaskSpec


@pytest.mark.parametrize(
    ("task", "limits"),
    [
        (FaceVerification, FaceLimits(group_frr_degradation=0.02)),
        (FaceVerification, FaceLimits(group_far_degradation=0.002)),
        (LivenessDetection, LivenessLimits(group_bpcer_degradation=0.02)),
    ],
)
def test_a_limit_of_groups_wants_groups(task: type[TaskSpec], limits: Limits) -> None:
    """It would not limit anything, and nobody would notice."""
    with pytest.raises(SpecError, match=rf"group_\w+: limits nothing.*{task.__name__}\(groups="):
        task("data").check_limits(limits)  # type: ignore[call-arg]
    task("data", groups="groups.csv").check_limits(limits)  # type: ignore[call-arg]
    task("data").check_limits(type(limits)())  # type: ignore[call-arg]


@pytest.mark.parametrize("task", [FaceVerification, LivenessDetection])
def test_groups_need_labels(task: type[TaskSpec]) -> None:
    with pytest.raises(SpecError, match=r"groups: needs labels"):
        task("data", threshold=0.5, labelled=False, groups="g.csv")  # type: ignore[call-arg]
