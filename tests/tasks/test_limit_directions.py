"""A limit's declared direction drives its verdict: reversed, every gate decides differently."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant.bench.sizes import judge_size
from pytest_kycquant.data.groups import Group
from pytest_kycquant.measure.latency import Latency
from pytest_kycquant.measure.latency import judge as judge_latency
from pytest_kycquant.measure.memory import Peak
from pytest_kycquant.pipeline import record
from pytest_kycquant.pipeline.agreement import Agreement
from pytest_kycquant.pipeline.timing import Timing
from pytest_kycquant.spec.limits import (
    CheckedLimits,
    CustomLimits,
    DetectionLimits,
    FaceLimits,
    Limits,
    LivenessLimits,
    PipelineLimits,
)
from pytest_kycquant.tasks.comparison import Comparison
from pytest_kycquant.tasks.custom.agreement import CustomAgreement
from pytest_kycquant.tasks.detection.agreement import DetectionAgreement
from pytest_kycquant.tasks.face.agreement import FaceAgreement
from pytest_kycquant.tasks.face.flips import pairs_of
from pytest_kycquant.tasks.liveness.agreement import LivenessAgreement
from pytest_kycquant.tasks.registry import TASKS
from pytest_kycquant.verdicts import Check, Kind, Verdict
from tests.worlds import detections, embeddings, measurements, scores
from tests.worlds import transactions as customers

Checks = Callable[[Any], Iterable[Check]]

# Limits so generous (low where a figure must be high) that sound models pass beyond doubt.
FACE = FaceLimits(
    far=0.9,
    frr=0.9,
    far_degradation=0.9,
    frr_degradation=0.9,
    group_far_degradation=0.9,
    group_frr_degradation=0.9,
    mean_cosine=0.1,
    p1_cosine=0.1,
    fp16_min_cosine=0.1,
    flips=0.9,
    certified=0.01,
)
LIVENESS = LivenessLimits(
    apcer=0.9,
    bpcer=0.9,
    apcer_degradation=0.9,
    bpcer_degradation=0.9,
    group_bpcer_degradation=0.9,
    flips=0.9,
    score_drift=0.9,
    fp16_max_drift=0.9,
)
DETECTION = DetectionLimits(
    recall=0.1,
    map50=0.1,
    recall_degradation=0.9,
    group_recall_degradation=0.9,
    map50_degradation=0.9,
    map_degradation=0.9,
    agreement=0.1,
    overlap=0.1,
    fp16_overlap=0.1,
    keypoint_error=0.9,
    keypoint_error_p95=0.9,
    fp16_keypoint_error=0.9,
    keypoint_degradation=0.9,
    keypoint_degradation_p95=0.9,
)


def asked(comparison: Comparison) -> Iterator[Check]:
    """All results that gates take from a comparison, also those for a float variant."""
    yield from (check for gate in comparison.accuracy() for check in gate.checks)
    for float_variant in (False, True):
        yield from comparison.against_fp32(float_variant=float_variant).checks
    yield from (increase.check for increase in comparison.groups())


def halves(count: int) -> tuple[Group, ...]:
    first: NDArray[np.bool_] = np.arange(count) < count // 2
    return Group("half first", first), Group("half second", ~first)


def faces(limits: FaceLimits) -> Iterator[Check]:
    found = embeddings.comparison(embeddings.embeddings() + np.float32(1e-3))
    grouped = replace(found.baseline, groups=halves(len(embeddings.NAMES)))
    yield from asked(replace(found, baseline=grouped, limits=limits))


def strangers(limits: FaceLimits) -> Iterator[Check]:
    found = embeddings.comparison(embeddings.embeddings() + np.float32(1e-3))
    baseline = replace(found.baseline, comparisons=pairs_of(len(embeddings.NAMES)))
    yield from asked(FaceAgreement(baseline, found.variant, limits))


def captures(limits: LivenessLimits) -> Iterator[Check]:
    seen = scores.captures()
    found = scores.comparison(scores.logits(seen) + np.float32(1e-3), seen)
    yield from asked(replace(found, limits=limits, group_table=halves(len(seen.images))))


def unlabelled_captures(limits: LivenessLimits) -> Iterator[Check]:
    seen = scores.captures()
    found = scores.comparison(scores.logits(seen) + np.float32(1e-3), seen)
    values = (found.fp32, found.variant, limits, found.finite_outputs)
    yield from asked(LivenessAgreement(*values))


def scenes(limits: DetectionLimits) -> Iterator[Check]:
    truth = detections.objects(kinds=2)
    truth = replace(truth, keypoints=truth.boxes[:, None, :2] + detections.FACE)
    fp32, variant = (
        detections.with_keypoints(detections.found(truth, seed=seed), 0.1, seed) for seed in (0, 1)
    )
    found = detections.comparison(variant, truth, fp32=fp32)
    yield from asked(replace(found, limits=limits, group_table=halves(truth.images)))


def unlabelled_scenes(limits: DetectionLimits) -> Iterator[Check]:
    truth = detections.objects(kinds=2)
    found = detections.comparison(detections.found(truth, seed=1), truth)
    values = (found.images, found.class_names, found.fp32, found.variant, limits)
    yield from asked(DetectionAgreement(*values))


def of_metric(metric: Callable[..., Any], *, higher: bool = False) -> Checks:
    """A custom metric, with labels."""

    def checks(limits: CustomLimits) -> Iterator[Check]:
        labels = np.arange(400.0)
        truth = measurements.labelled(labels)
        found = measurements.compared(metric, labels, labels, truth, higher=higher)
        yield from asked(replace(found, limits=limits))

    return checks


def of_unlabelled_metric(metric: Callable[..., Any], *, higher: bool = False) -> Checks:
    def checks(limits: CustomLimits) -> Iterator[Check]:
        labels = np.arange(400.0)
        truth = measurements.labelled(labels)
        found = measurements.compared(metric, labels, labels, truth, higher=higher)
        yield from asked(CustomAgreement(found.fp32, found.variant, limits))

    return checks


def costs(limits: Limits) -> Iterator[Check]:
    """Latency and size, which are the same for every task."""
    latency = Latency(0.5, 0.49, 0.51, 1.0, 60, 1.0, 2.0, 1.0, 1.2, 1.3)
    yield from judge_latency(latency, limits).checks
    size = judge_size(1_000_000, 4_000_000, {"Conv": 3}, limits)
    yield from (check for check in size.checks if check.limit and check.limit.kind is Kind.COST)


def pipelines(limits: PipelineLimits) -> Iterator[Check]:
    timing = Timing(59, 50.0, 60.0, 70.0, 70.0, {"detector": 40.0}, 100.0, 90.0)
    yield from record.judge_latency(timing, timing, 1.0, limits).checks
    yield from record.judge_memory(Peak(200, 100), Peak(150, 100), "", limits).checks
    people = customers.applicants(100)
    one = customers.transactions(people, *customers.sound(people))
    for gate in customers.decisions(one, one, limits).gates().values():
        yield from gate.checks
    documents, _ = customers.sound(people)
    seen = replace(documents, embeddings=documents.embeddings[:, None])
    agreement = Agreement(people.documents.names, seen, seen, customers.THRESHOLDS, limits)
    yield from agreement.gate().checks


ERRORS = CustomLimits(metric=0.9, degradation=0.9)
VALUES = CustomLimits(metric=1.0, degradation=1.0)
HIGHER = CustomLimits(metric=0.1, degradation=0.9)
COSTS = {"latency_ratio": 0.9, "latency_ms": 5.0, "size_ratio": 0.9, "size_mb": 2.0}

CASES: dict[str, tuple[CheckedLimits, Checks]] = {
    "faces": (FACE, faces),
    "faces without labels": (FACE, strangers),
    "captures": (LIVENESS, captures),
    "captures without labels": (LIVENESS, unlabelled_captures),
    "scenes": (DETECTION, scenes),
    "scenes without labels": (DETECTION, unlabelled_scenes),
    "errors": (ERRORS, of_metric(measurements.wrong)),
    "values": (VALUES, of_metric(measurements.apart)),
    "figure": (HIGHER, of_metric(measurements.correlation, higher=True)),
    "agreement": (CustomLimits(agreement=1.0), of_unlabelled_metric(measurements.apart)),
    "agreement of a figure": (
        CustomLimits(agreement=0.1),
        of_unlabelled_metric(measurements.correlation, higher=True),
    ),
    **{
        f"costs of {kind.__name__}": (kind(**COSTS), costs)
        for kind in (FaceLimits, LivenessLimits, DetectionLimits, CustomLimits)
    },
    "pipeline": (replace(customers.GENEROUS, memory_mb=1000.0), pipelines),
}


def judged_by(checks: Iterable[Check]) -> dict[str, list[Verdict]]:
    """Verdicts by the declared limit that gave them."""
    found: dict[str, list[Verdict]] = {}
    for check in checks:
        assert check.limit is not None, check
        found.setdefault(check.limit.name, []).append(check.verdict)
    return found


def turned(cls: type[CheckedLimits], name: str) -> Any:
    """The declaration of a limit with its direction reversed."""
    field = copy.copy(cls.__dataclass_fields__[name])
    direction = field.metadata["direction"].opposite
    field.metadata = MappingProxyType({**field.metadata, "direction": direction})
    return field


@pytest.mark.parametrize("case", CASES)
def test_a_direction_turned_round_turns_the_verdict(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, checks = CASES[case]
    cls = type(limits)
    before = judged_by(checks(limits))
    assert set(before) <= set(cls.__dataclass_fields__)
    for name, verdicts in before.items():
        assert set(verdicts) == {Verdict.PASS}, (name, verdicts)
        with monkeypatch.context() as patch:
            patch.setitem(cls.__dataclass_fields__, name, turned(cls, name))
            after = judged_by(checks(limits))
        assert set(after.pop(name)) == {Verdict.FAIL}, name
        # The other verdicts are unchanged.
        assert after == {other: before[other] for other in before if other != name}


def test_no_limit_is_left_out() -> None:
    """Each limit that a task or a pipeline declares judges something in one of the cases."""
    seen: dict[type[CheckedLimits], set[str]] = {}
    for limits, checks in CASES.values():
        seen.setdefault(type(limits), set()).update(judged_by(checks(limits)))
    for kind in {*(task.limits for task in TASKS), PipelineLimits}:
        assert seen[kind] == {field.name for field in fields(kind)}, kind.__name__
