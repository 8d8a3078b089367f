"""Limits of the gates, each with its direction and its unit.

The limits are frozen, pure descriptions, like those in `model.py`. A limit that can never be met,
such as 5 where 5 % is meant, is refused on construction with `SpecError`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import SpecError
from ..verdicts import Direction, Kind, Limit, Unit
from . import coerce

BELOW, AT_LEAST = Direction.BELOW, Direction.AT_LEAST

_REMEDIES = {
    Unit.RATE: "give a fraction between 0 and 1: 0.1 % is 0.001",
    Unit.PROBABILITY: "give a fraction between 0 and 1: 0.1 % is 0.001",
    Unit.SHARE: "give a fraction between 0 and 1: 95 % is 0.95",
    Unit.COSINE: "give a cosine below 1, such as 0.99",
}
_BEST = {Unit.RATE: 0.0, Unit.SHARE: 1.0, Unit.METRIC: 0.0}


def limit(default: float | None, direction: Direction, unit: Unit, kind: Kind = Kind.ERROR) -> Any:
    """Declare a limit. The `Limit` that judges figures is built from this declaration alone.

    Args:
        default: the value; None if the limit is off until the user sets it.
        direction: the side of the limit on which figures must lie.
        unit: the unit of the limit and of the figures.
        kind: what the limit guards against.
    """
    return field(default=default, metadata={"direction": direction, "unit": unit, "kind": kind})


@dataclass(frozen=True, kw_only=True)
class CheckedLimits:
    """Base of all limits: checks that each can be met, and turns it into a `Limit` that judges."""

    def __post_init__(self) -> None:
        for name, declared in self.__dataclass_fields__.items():
            value = getattr(self, name)
            where = f"{type(self).__name__}.{name}"
            if "unit" not in declared.metadata:
                raise SpecError(
                    where,
                    "is declared without a direction and a unit",
                    f"write limits = {type(self).__mro__[1].__name__}({name}=...), or declare it "
                    "with spec.limits.limit(value, direction, unit)",
                )
            if value is None:
                if declared.default is None:
                    continue
                raise SpecError(where, "cannot be switched off", "give a generous limit instead")
            unit = declared.metadata["unit"]
            plain = coerce.number(where, value, _REMEDIES.get(unit, "give a number"))
            object.__setattr__(self, name, plain)
            if unit in (Unit.RATE, Unit.PROBABILITY) and not 0 < plain < 1:
                raise SpecError(where, f"{coerce.shown(value)} is not a rate", _REMEDIES[unit])
            if unit is Unit.SHARE and not 0 < plain < 1:
                raise SpecError(where, f"{coerce.shown(value)} is not a share", _REMEDIES[unit])
            if unit is Unit.COSINE and not -1 <= plain < 1:
                raise SpecError(where, f"{coerce.shown(value)} can never be met", _REMEDIES[unit])
            if unit in (Unit.RATIO, Unit.MS, Unit.MB) and plain <= 0:
                raise SpecError(
                    where, f"{coerce.shown(value)} can never be met", "give a positive number"
                )

    def __getitem__(self, name: str) -> Limit:
        """Return the limit of that name, ready to judge.

        Raises:
            SpecError: the limit was not set and has no default.
        """
        found = self.given(name)
        if found is None:
            raise SpecError(f"{type(self).__name__}.{name}", "is not set", f"give {name}=...")
        return found

    def given(self, name: str) -> Limit | None:
        """Return the limit of that name; None if it is off."""
        value = getattr(self, name)
        if value is None:
            return None
        declared = self.__dataclass_fields__[name].metadata
        unit = declared["unit"]
        return Limit(
            name, value, declared["direction"], unit, declared["kind"], best=_BEST.get(unit)
        )


@dataclass(frozen=True, kw_only=True)
class Limits(CheckedLimits):
    """Limits that every task shares: latency and size.

    Args:
        latency_ratio: upper bound of the paired latency ratio to FP32.
        latency_ms: upper bound of the 95th percentile of the latency of one image in milliseconds,
            off by default. It is absolute, so use it only on a machine that you know.
        size_ratio: file size relative to FP32.
        size_mb: file size in megabytes (10^6 bytes), off by default.
    """

    latency_ratio: float = limit(1.05, BELOW, Unit.RATIO, Kind.COST)
    latency_ms: float | None = limit(None, BELOW, Unit.MS, Kind.COST)
    size_ratio: float = limit(0.75, BELOW, Unit.RATIO, Kind.COST)
    size_mb: float | None = limit(None, BELOW, Unit.MB, Kind.COST)


@coerce.arguments
@dataclass(frozen=True, kw_only=True)
class FaceLimits(Limits):
    """Limits of the face gates. Rates, ratios and sizes must stay below; cosines must reach theirs.

    Args:
        far: upper confidence bound of the false accept rate (NIST SP 800-63B rev 3: 0.1 %).
        frr: upper confidence bound of the false reject rate.
        far_degradation: upper bound of the paired increase of FAR over golden FP32.
        frr_degradation: the same for FRR.
        group_far_degradation: with groups of people, upper bound of the increase of FAR among
            pairs within one group, for every group. The default is twice the budget for all pairs,
            since a group has fewer pairs.
        group_frr_degradation: the same for FRR. The default is three times the budget for all
            pairs, which about 100 people in each group can show.
        mean_cosine: lower bound of the mean cosine between embeddings and their FP32 embeddings.
        p1_cosine: lower bound of the first percentile of that cosine.
        fp16_min_cosine: smallest such cosine of an "fp16" variant, which has no reason to drift.
        flips: without labels, upper confidence bound of the share of pairs that the variant decides
            differently from FP32. If FAR rises by some amount, at least that share of the pairs of
            different people has flipped.
        certified: without labels, lower limit of the share of pairs whose decision provably cannot
            have flipped. Off by default; the share is reported in any case.
        latency_ratio: see `Limits`, also for `latency_ms`, `size_ratio` and `size_mb`.
    """

    far: float = limit(0.001, BELOW, Unit.RATE)
    frr: float = limit(0.05, BELOW, Unit.RATE)
    far_degradation: float = limit(0.0005, BELOW, Unit.RATE)
    frr_degradation: float = limit(0.01, BELOW, Unit.RATE)
    group_far_degradation: float = limit(0.001, BELOW, Unit.RATE)
    group_frr_degradation: float = limit(0.03, BELOW, Unit.RATE)
    mean_cosine: float = limit(0.99, AT_LEAST, Unit.COSINE, Kind.DRIFT)
    p1_cosine: float = limit(0.97, AT_LEAST, Unit.COSINE, Kind.DRIFT)
    fp16_min_cosine: float = limit(0.999, AT_LEAST, Unit.COSINE, Kind.DRIFT)
    flips: float = limit(0.0005, BELOW, Unit.RATE, Kind.DRIFT)
    certified: float | None = limit(None, AT_LEAST, Unit.SHARE, Kind.DRIFT)


@coerce.arguments
@dataclass(frozen=True, kw_only=True)
class DetectionLimits(Limits):
    """Limits of the detection gates. Drops must stay below; everything else must reach its limit.

    Args:
        recall: lower confidence bound of the recall at the frozen confidence, for every class. An
            object that is missed cannot be verified, which is a failure to acquire and raises FRR.
        map50: lower confidence bound of COCO's mean average precision at an IoU of 0.5.
        recall_degradation: upper bound of the paired increase of misses over golden FP32, for
            every class.
        group_recall_degradation: with groups of images, the same for every group. The default is
            three times the budget for all images, which about 100 images in each group can show.
        map50_degradation: upper bound of the paired drop of mAP50 from golden FP32.
        map_degradation: the same for mAP50-95.
        agreement: lower confidence bound of two shares: FP32's detections that the variant also
            has, and the variant's that FP32 also has (same class, IoU of at least 0.5).
        overlap: lower bound of the 5th percentile of the IoU of such pairs.
        fp16_overlap: the same for an "fp16" variant, which has no reason to move boxes.
        keypoint_error: with keypoints, upper bound of the mean distance of the keypoints of such
            pairs, relative to the distance of the eyes or to the root of the area of the box, see
            `ObjectDetection.keypoint_scale`. An aligned face that is off by .03 of the distance of
            the eyes has an embedding with a cosine of about .98 to the one that it should have.
        keypoint_error_p95: upper bound of the 95th percentile of the same.
        fp16_keypoint_error: upper bound of the mean for an "fp16" variant.
        keypoint_degradation: with labelled keypoints, upper bound of the mean of the paired
            increase of their distance from the labels over golden FP32.
        keypoint_degradation_p95: upper bound of the 95th percentile of the same.
        latency_ratio: see `Limits`, also for `latency_ms`, `size_ratio` and `size_mb`.
    """

    recall: float = limit(0.95, AT_LEAST, Unit.SHARE)
    map50: float = limit(0.9, AT_LEAST, Unit.SHARE)
    recall_degradation: float = limit(0.01, BELOW, Unit.RATE)
    group_recall_degradation: float = limit(0.03, BELOW, Unit.RATE)
    map50_degradation: float = limit(0.01, BELOW, Unit.RATE)
    map_degradation: float = limit(0.02, BELOW, Unit.RATE)
    agreement: float = limit(0.98, AT_LEAST, Unit.SHARE, Kind.DRIFT)
    overlap: float = limit(0.85, AT_LEAST, Unit.SHARE, Kind.DRIFT)
    fp16_overlap: float = limit(0.95, AT_LEAST, Unit.SHARE, Kind.DRIFT)
    keypoint_error: float = limit(0.05, BELOW, Unit.RATE, Kind.DRIFT)
    keypoint_error_p95: float = limit(0.1, BELOW, Unit.RATE, Kind.DRIFT)
    fp16_keypoint_error: float = limit(0.01, BELOW, Unit.RATE, Kind.DRIFT)
    keypoint_degradation: float = limit(0.02, BELOW, Unit.RATE)
    keypoint_degradation_p95: float = limit(0.1, BELOW, Unit.RATE)


@coerce.arguments
@dataclass(frozen=True, kw_only=True)
class LivenessLimits(Limits):
    """Limits of the liveness gates. All must stay below.

    Args:
        apcer: upper confidence bound of APCER, for every attack species (ISO/IEC 30107-3).
        bpcer: upper confidence bound of BPCER.
        apcer_degradation: upper bound of the paired increase of APCER over golden FP32, for
            every species.
        bpcer_degradation: the same for BPCER.
        group_bpcer_degradation: with groups of people, the same for every group. The default is
            three times the budget for all people, which about 100 people in each group can show.
        flips: upper confidence bound of the share of decisions that differ from FP32's.
        score_drift: upper bound of the mean absolute difference between scores (probabilities of
            a live face) and their FP32 scores.
        fp16_max_drift: largest such difference of an "fp16" variant, which has no reason to drift.
        latency_ratio: see `Limits`, also for `latency_ms`, `size_ratio` and `size_mb`.
    """

    apcer: float = limit(0.05, BELOW, Unit.RATE)
    bpcer: float = limit(0.05, BELOW, Unit.RATE)
    apcer_degradation: float = limit(0.01, BELOW, Unit.RATE)
    bpcer_degradation: float = limit(0.01, BELOW, Unit.RATE)
    group_bpcer_degradation: float = limit(0.03, BELOW, Unit.RATE)
    flips: float = limit(0.02, BELOW, Unit.RATE, Kind.DRIFT)
    score_drift: float = limit(0.03, BELOW, Unit.PROBABILITY, Kind.DRIFT)
    fp16_max_drift: float = limit(0.01, BELOW, Unit.PROBABILITY, Kind.DRIFT)


@coerce.arguments
@dataclass(frozen=True, kw_only=True)
class CustomLimits(Limits):
    """Limits of the gates of a custom task, in the unit of its metric. There are no defaults.

    Args:
        metric: limit that the confidence bound of the metric must stay below, or reach if higher
            is better. For errors it is a fraction, so 2 % is 0.02.
        degradation: upper bound of how much worse than golden FP32 the metric may be on the same
            images, in either direction.
        agreement: without labels, used instead of the other two: limit that the bound of a metric
            comparing outputs with FP32's must stay below, or reach.
        latency_ratio: see `Limits`, also for `latency_ms`, `size_ratio` and `size_mb`.
    """

    metric: float | None = limit(None, BELOW, Unit.METRIC)
    degradation: float | None = limit(None, BELOW, Unit.METRIC)
    agreement: float | None = limit(None, BELOW, Unit.METRIC, Kind.DRIFT)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.degradation is not None and self.degradation <= 0:
            raise SpecError(
                "CustomLimits.degradation",
                f"{self.degradation!r} can never be met",
                "give a positive number: how much worse the metric may be, in either direction",
            )

    def require(self, *names: str) -> None:
        """Make sure that these limits of a metric are given, and no others.

        Raises:
            SpecError: one of these is missing, or another one is given.
        """
        wanted = ", ".join(f"{name}=..." for name in names)
        for name in ("metric", "degradation", "agreement"):
            if name in names and getattr(self, name) is None:
                raise SpecError(
                    f"CustomLimits.{name}",
                    "has no default, because it depends on the metric",
                    f"give limits = CustomLimits({wanted})",
                )
            if name not in names and getattr(self, name) is not None:
                raise SpecError(
                    f"CustomLimits.{name}",
                    "has no meaning for a task with labels"
                    if name == "agreement"
                    else "needs labels, but labelled=False says that there are none",
                    f"give limits = CustomLimits({wanted})",
                )


@coerce.arguments
@dataclass(frozen=True, kw_only=True)
class PipelineLimits(CheckedLimits):
    """Limits of a whole pipeline. All must stay below.

    Rates are those of transactions, in which everything must hold: a document and a selfie are
    found, the selfie is live, and the two match.

    Args:
        far: upper confidence bound of the system's false accept rate: bona fide selfies of other
            people that are accepted.
        frr: upper confidence bound of its false reject rate: customers who are turned away, for
            whatever reason.
        iapar: upper confidence bound of the impostor attack presentation accept rate, for every
            attack species (ISO/IEC 30107-3: attacks accepted as the person that they imitate).
        fta: upper confidence bound of the failure-to-acquire rate: transactions of customers
            without a usable face on the document or on the selfie. They count in `frr`, too.
        far_degradation: upper bound of the paired increase of the false accept rate over the FP32
            pipeline.
        frr_degradation: the same for the false reject rate. The default is twice that of one
            model, since errors of several models add up.
        iapar_degradation: the same for attacks, for every species.
        group_frr_degradation: with groups of people, the same as `frr_degradation` for every group.
        flips: without labels, upper confidence bound of the share of images that the pipeline
            decides differently from FP32's.
        pair_flips: without labels, the same for pairs of images that are taken for one person. The
            default needs no more images than `flips` does.
        wall_ms: upper bound of the 95th percentile of the wall-clock time of one image, or of one
            attempt of an applicant (document and selfie), from the bytes to the last output, in
            milliseconds. It is absolute: it holds for one machine.
        memory_ratio: peak resident memory of the process relative to that of the FP32 pipeline.
        memory_mb: peak resident memory of the process in megabytes (10^6 bytes), off by default.
    """

    far: float = limit(0.001, BELOW, Unit.RATE)
    frr: float = limit(0.05, BELOW, Unit.RATE)
    iapar: float = limit(0.07, BELOW, Unit.RATE)
    fta: float = limit(0.03, BELOW, Unit.RATE)
    far_degradation: float = limit(0.0005, BELOW, Unit.RATE)
    frr_degradation: float = limit(0.02, BELOW, Unit.RATE)
    iapar_degradation: float = limit(0.02, BELOW, Unit.RATE)
    group_frr_degradation: float = limit(0.05, BELOW, Unit.RATE)
    flips: float = limit(0.02, BELOW, Unit.RATE, Kind.DRIFT)
    pair_flips: float = limit(0.005, BELOW, Unit.RATE, Kind.DRIFT)
    wall_ms: float = limit(8000.0, BELOW, Unit.MS, Kind.COST)
    memory_ratio: float = limit(1.1, BELOW, Unit.RATIO, Kind.COST)
    memory_mb: float | None = limit(None, BELOW, Unit.MB, Kind.COST)
