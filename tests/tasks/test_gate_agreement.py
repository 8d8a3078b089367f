"""The gate "agreement": each of its checks passes and fails, for every task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant import (
    DetectionLimits,
    FaceLimits,
    FaceVerification,
    KycModel,
    LivenessDetection,
    LivenessLimits,
    ObjectDetection,
    Preprocess,
    Verdict,
)
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.errors import BaselineError
from pytest_kycquant.results import GateResult
from pytest_kycquant.tasks.base import Part, Task
from pytest_kycquant.tasks.detection.agreement import DetectionAgreement
from pytest_kycquant.tasks.detection.matching import Objects, Predictions
from pytest_kycquant.tasks.face.agreement import FaceAgreement
from pytest_kycquant.tasks.face.flips import pairs_of
from pytest_kycquant.tasks.outputs import Outputs
from pytest_kycquant.tasks.registry import task_of
from tests.worlds import detections as scenes
from tests.worlds import embeddings as faces
from tests.worlds import scores as liveness

Floats = NDArray[np.float32]
FLIPS, STORED = "decisions other than FP32's", "decisions other than FP32's, FP32 gallery"
MEAN, LOW, LEAST = "mean cosine to FP32", "1st percentile of cosine to FP32", "smallest cosine"


def of_faces(
    variant: Floats, limits: FaceLimits = faces.LIMITS, *, images: int = 2 * faces.PEOPLE
) -> FaceAgreement:
    """Compare a variant with `embeddings()` without knowing who is who."""
    found = faces.comparison(variant, comparisons=pairs_of(2 * faces.PEOPLE))
    fp32 = found.baseline.embeddings
    first = Outputs(fp32.values[:images], fp32.finite[:images])
    few = replace(found.baseline, embeddings=first, comparisons=pairs_of(images))
    return FaceAgreement(few, Outputs(variant[:images], found.variant.finite[:images]), limits)


def verdicts(result: GateResult) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in result.checks}


def turned(embeddings: Floats, rows: slice, tangent: float) -> Floats:
    """Turn some embeddings by the angle with the given tangent, each in its own direction."""
    away = np.random.default_rng(1).normal(size=embeddings.shape)
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / length
    away -= (away * unit).sum(axis=1, keepdims=True) * unit
    away *= tangent * length / np.linalg.norm(away, axis=1, keepdims=True)
    result = embeddings.copy()
    result[rows] += away[rows].astype(np.float32)
    return result


def test_faces_pass() -> None:
    same = faces.embeddings()
    result = of_faces(same, FaceLimits(certified=0.99)).against_fp32(float_variant=True)
    assert result.gate == "agreement"
    assert set(verdicts(result).values()) == {Verdict.PASS}
    assert list(verdicts(result))[:2] == [FLIPS, STORED]
    assert len(result.checks) == 7


def test_scores_that_rise_flip() -> None:
    found = verdicts(of_faces(faces.embeddings() + np.float32(0.75)).against_fp32())
    assert found[FLIPS] is Verdict.FAIL


def test_scores_that_fall_flip() -> None:
    """Only one pair in 659 is a match, but the share of all pairs still reveals lost matches."""
    comparison = of_faces(turned(faces.embeddings(), slice(None), 1.2))
    result = comparison.against_fp32()
    assert verdicts(result)[FLIPS] is Verdict.FAIL
    accepts, rejects = (
        len(ids) for ids in (comparison.flips[""].accepts, comparison.flips[""].rejects)
    )
    assert accepts < 10 < 300 < rejects
    words = f"{accepts} newly accepted, {rejects} of the 339 accepted by FP32 newly rejected"
    assert words in result.checks[0].detail


def test_stored_templates_flip_alone() -> None:
    """New templates agree among themselves, but each looks like its neighbour's old one."""
    found = verdicts(of_faces(np.roll(faces.embeddings(), 2, axis=0)).against_fp32())
    assert (found[FLIPS], found[STORED]) == (Verdict.PASS, Verdict.FAIL)


@pytest.mark.parametrize(
    ("rows", "tangent", "failing"),
    [
        (slice(None), 0.2, MEAN),  # cosine .98: no decision changes
        (slice(0, 30), 0.4, LOW),  # cosine .93
    ],
)
def test_drift_fails_alone(rows: slice, tangent: float, failing: str) -> None:
    found = verdicts(of_faces(turned(faces.embeddings(), rows, tangent)).against_fp32())
    assert [name for name, verdict in found.items() if verdict is Verdict.FAIL] == [failing]


def test_fp16_has_no_excuse_to_drift() -> None:
    comparison = of_faces(turned(faces.embeddings(), slice(0, 1), 0.08))  # cosine .997
    assert comparison.against_fp32().verdict is Verdict.PASS
    result = comparison.against_fp32(float_variant=True)
    assert [c.name for c in result.checks if c.verdict is Verdict.FAIL] == [f"{LEAST} to FP32"]


def test_a_certificate_can_be_demanded() -> None:
    comparison = of_faces(turned(faces.embeddings(), slice(None), 0.13))  # cosine .9917
    assert comparison.against_fp32().verdict is Verdict.PASS
    assert 0.9 < comparison.certified < 0.99
    demanding = replace(comparison, limits=FaceLimits(certified=0.99))
    result = demanding.against_fp32()
    (check,) = [c for c in result.checks if c.verdict is Verdict.FAIL]
    assert check.name == "decisions that cannot have flipped"
    assert check.value == comparison.certified
    content = replace(comparison, limits=FaceLimits(certified=0.9))
    assert content.against_fp32().verdict is Verdict.PASS


def test_broken_embeddings_flip() -> None:
    """``nan >= t`` is False, which is how FP32 decides most pairs."""
    broken = faces.embeddings()
    broken[-5:] = np.nan  # at the end, where they are compared with all others
    found = verdicts(of_faces(broken).against_fp32())
    assert found[FLIPS] is found[STORED] is Verdict.FAIL


@pytest.mark.parametrize(("images", "reason"), [(19, "at least 20 images"), (60, "would decide")])
def test_few_images_are_undecided(images: int, reason: str) -> None:
    result = of_faces(faces.embeddings(), images=images).against_fp32()
    assert result.verdict is Verdict.INCONCLUSIVE
    assert reason in result.describe()


def test_images_are_the_subjects_of_the_interval() -> None:
    """All flips of one image are one piece of evidence, not 659."""
    broken = faces.embeddings()
    broken[-1:] = np.nan
    comparison = of_faces(broken)
    rate = comparison.flips[""].rate(comparison.baseline.comparisons)
    assert rate.errors == 659
    assert rate.deff > 300
    assert rate.lower < FaceLimits().flips < rate.value
    assert verdicts(comparison.against_fp32())[FLIPS] is Verdict.INCONCLUSIVE


# Liveness and detection


def of_scenes(
    variant: Predictions,
    truth: Objects,
    limits: DetectionLimits = scenes.LIMITS,
    *,
    fp32: Predictions | None = None,
) -> DetectionAgreement:
    """Compare detections with those of FP32 without knowing the objects."""
    found = scenes.comparison(variant, truth, limits, fp32=fp32)
    return DetectionAgreement(
        found.images, found.class_names, found.fp32, found.variant, found.limits
    )


def task(name: str) -> Task:  # type: ignore[type-arg]
    """A task without labels; no files are read."""
    spec, limits = {
        "faces": (FaceVerification("d", labelled=False, threshold=0.5), FaceLimits()),
        "liveness": (LivenessDetection("d", labelled=False, threshold=0.5), LivenessLimits()),
        "detection": (
            ObjectDetection("d", classes=("a", "b"), labelled=False, confidence=0.5),
            DetectionLimits(),
        ),
    }[name]
    model = KycModel("m.onnx", Preprocess((16, 16)), spec)
    return task_of(model, limits, lambda path, attribute: Path(str(path)))


def images_of(count: int) -> ImageSet:
    return ImageSet.from_array(np.zeros((count, 16, 16, 3), np.uint8), Path("images.npz"))


def judged(values: Floats, fp32: Floats, *, fp16: bool = False) -> GateResult:
    """The agreement gate for liveness, from logits."""
    of = task("liveness")
    captures = replace(
        liveness.captures(species=()), images=images_of(len(fp32)), species=np.full(len(fp32), -1),
        subjects=np.arange(len(fp32)), subject_names=(),
    )  # fmt: skip
    part = Part(captures.images, captures, "", "captures")
    baseline = of.baseline(part, Outputs(fp32, np.isfinite(fp32).all(axis=1)), 0.5)
    variant = of.compare(baseline, Outputs(values, np.isfinite(values).all(axis=1)))
    assert variant.accuracy() == []
    return variant.against_fp32(float_variant=fp16)


LOGITS = liveness.logits(liveness.captures())  # two in three are attacks, but there are no labels


def test_liveness_passes() -> None:
    result = judged(LOGITS, LOGITS, fp16=True)
    assert (result.gate, result.verdict) == ("agreement", Verdict.PASS)
    assert [check.name for check in result.checks] == [
        FLIPS,
        "mean score difference to FP32",
        "largest score difference to FP32",
    ]


@pytest.mark.parametrize("kind", [1, 0])
def test_decisions_of_either_kind_flip(kind: int) -> None:
    """Flips cannot cancel: as many captures are newly live as newly rejected, and all count."""
    rows = np.flatnonzero(LOGITS.argmax(axis=1) == kind)[:60]
    result = judged(liveness.swapped(LOGITS, rows), LOGITS)
    assert verdicts(result)[FLIPS] is Verdict.FAIL
    words = "0 newly live and 60 newly rejected" if kind else "60 newly live and 0 newly rejected"
    assert words in result.checks[0].detail


def test_scores_drift() -> None:
    found = verdicts(judged(LOGITS * np.float32(0.3), LOGITS))
    assert found[FLIPS] is Verdict.PASS
    assert found["mean score difference to FP32"] is Verdict.FAIL


def test_one_score_of_fp16_drifts() -> None:
    values = LOGITS.copy()
    values[0] *= 0.5
    assert judged(values, LOGITS).verdict is Verdict.PASS
    found = verdicts(judged(values, LOGITS, fp16=True))
    assert found["largest score difference to FP32"] is Verdict.FAIL


def test_a_capture_without_a_score_has_flipped() -> None:
    """A broken capture counts even if FP32 rejects it, as a comparison with NaN does."""
    values = LOGITS.copy()
    values[np.flatnonzero(LOGITS.argmax(axis=1) != 1)[:60]] = np.nan
    assert verdicts(judged(values, LOGITS))[FLIPS] is Verdict.FAIL


def test_few_captures_are_undecided() -> None:
    assert judged(LOGITS[:19], LOGITS[:19]).verdict is Verdict.INCONCLUSIVE


def test_detection_passes_and_a_rare_class_that_is_lost_fails() -> None:
    """430 of 460 objects of both classes together are found, which would pass."""
    truth = scenes.objects(kinds=2)
    found = scenes.found(truth)
    rare = scenes.without(found, (found.classes == 1) & (found.image_index >= 60))
    limits = DetectionLimits(agreement=0.9)
    same = of_scenes(rare, truth, limits, fp32=rare).against_fp32()
    assert (same.gate, same.verdict) == ("agreement", Verdict.PASS)
    assert len(same.checks) == 6
    lost = scenes.without(rare, (rare.classes == 1) & (rare.image_index < 30))
    result = of_scenes(lost, truth, limits, fp32=rare).against_fp32()
    assert result.checks[0].name == "detections of FP32 that the variant has, kind1"
    assert result.checks[0].verdict is Verdict.FAIL
    assert "30 of 60" in result.checks[0].detail
    assert scenes.named(result, "detections of FP32 that the variant has, kind0").verdict is (
        Verdict.PASS
    )


def test_new_detections_and_shifted_boxes_fail() -> None:
    truth = scenes.objects()
    found = scenes.found(truth)
    less = scenes.without(found, found.image_index < 40)
    new = of_scenes(found, truth, fp32=less).against_fp32()
    assert scenes.named(new, "detections of the variant that FP32 has").verdict is Verdict.FAIL
    result = of_scenes(scenes.shifted(found, 8.0), truth).against_fp32()
    assert [c.name for c in result.checks if c.verdict is Verdict.FAIL] == [
        "5th percentile of the IoU with FP32"
    ]


# FP32 itself


def refused(name: str, values: Floats, rows: NDArray[np.int64] | None = None) -> str:
    """The error that refuses FP32 with the given outputs."""
    of = task(name)
    images = images_of(30)
    blank = pairs_of(30)
    if name == "liveness":
        blank = replace(liveness.captures(30, species=()), images=images)  # type: ignore[assignment]
    if name == "detection":
        blank = of._blank(images)  # type: ignore[attr-defined]
    outputs = Outputs(
        values, np.ones(30, np.bool_), (), rows if rows is not None else np.ones(30, np.int64)
    )
    with pytest.raises(BaselineError) as error:
        of.baseline(Part(images, blank, "", "30 images"), outputs, 0.5)
    return str(error.value)


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.5])
def test_an_embedder_that_takes_everybody_for_the_same(noise: float) -> None:
    values = 1 + noise * np.random.default_rng(0).normal(size=(30, 64))
    message = refused("faces", values.astype(np.float32))
    assert "m.onnx: FP32 itself accepts 100.0% of all pairs of 30 images" in message
    assert "check channel order" in message
    assert "landmarks" not in message  # the images are square


@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_scores_that_are_all_alike(noise: float) -> None:
    values = np.array([3.0, 0.0, 0.0]) + noise * np.random.default_rng(0).normal(size=(30, 3))
    assert "FP32 itself scores all 30 images alike" in refused(
        "liveness", values.astype(np.float32)
    )


@pytest.mark.parametrize("found", [0, 30])
def test_nothing_of_a_class_is_found(found: int) -> None:
    rows = np.tile(np.array([10, 10, 50, 50, 0.9, 0], np.float32), (found, 1))
    counts = np.full(30, found // 30, np.int64)
    message = refused("detection", rows.reshape(-1, 6), counts)
    assert f"FP32 itself finds no {'b' if found else 'a'} in 30 images at a confidence" in message
