"""Without labels, a metric of several outputs gets FP32's as a tuple, image by image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant import CustomLimits, CustomTask, KycModel, Preprocess, Verdict
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.labelled import LabelledSet
from pytest_kycquant.errors import MetricError
from pytest_kycquant.tasks.base import Part
from pytest_kycquant.tasks.custom.agreement import CustomAgreement, UnlabelledCustomTask
from pytest_kycquant.tasks.outputs import Outputs

COUNT = 60
SHAPES = ((1, 5, 1), (7, 2))  # with an axis of the batch, and without
RNG = np.random.default_rng(0)
FP32 = RNG.normal(3, 1, (COUNT, 5 + 14)).astype(np.float32)
Metric = Callable[[Any, Any], Any]


def outputs(values: np.ndarray) -> Outputs:
    return Outputs(values, np.isfinite(values).all(axis=1), shapes=SHAPES)


def judged(metric: Metric, values: np.ndarray, limit: float = 0.1, **options: Any) -> Any:
    """The comparison of a variant with FP32."""
    spec = CustomTask("data", metric=metric, labelled=False, outputs=("a", "b"), **options)
    model = KycModel("m.onnx", Preprocess(size=(4, 4)), spec)
    task = UnlabelledCustomTask(model, CustomLimits(agreement=limit), lambda p, _: Path(str(p)))
    images = ImageSet.from_array(np.zeros((COUNT, 1, 1, 3), np.uint8), Path("data.npz"))
    truth = LabelledSet(images, np.zeros(COUNT), np.arange(COUNT), ())
    part = Part(images, truth, "digest", f"{COUNT} images")
    baseline = task.baseline(part, outputs(FP32))
    return task.compare(baseline, outputs(values))


def peaks(outputs: Any, fp32: Any) -> Any:
    """A bool for each image; it also checks what it is given."""
    for one in (outputs, fp32):
        assert isinstance(one, tuple)
        assert [array.shape[1:] for array in one] == [(5, 1), (7, 2)]
    apart = [
        np.abs(x - y).reshape(len(x), -1).max(axis=1) for x, y in zip(outputs, fp32, strict=True)
    ]
    return np.max(apart, axis=0) > 0.5


def mean_distance(outputs: Any, fp32: Any) -> Any:
    """A number for each image."""
    return sum(
        np.abs(x - y).reshape(len(x), -1).mean(axis=1) for x, y in zip(outputs, fp32, strict=True)
    )


def correlation(outputs: Any, fp32: Any) -> float:
    """A figure of all images."""
    x, y = (
        np.concatenate([one.reshape(len(one), -1) for one in side], axis=1)
        for side in (outputs, fp32)
    )
    return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])


def moved(images: list[int], by: float, column: int) -> np.ndarray:
    values = FP32.copy()
    values[images, column] += np.float32(by)
    return values


@pytest.mark.parametrize("column", [0, 18])  # of the first output and of the second
def test_errors(column: int) -> None:
    found = judged(peaks, moved([3, 41], 0.6, column))
    (check,) = found.against_fp32().checks
    assert (check.value, check.verdict) == (pytest.approx(2 / COUNT), Verdict.INCONCLUSIVE)
    assert [one.images for one in found.offenders(found.against_fp32())] == [
        ("data.npz[3]",),
        ("data.npz[41]",),
    ]
    assert judged(peaks, FP32).against_fp32().verdict is Verdict.PASS


def test_values_and_their_interval() -> None:
    values = FP32 + RNG.normal(0, 0.02, FP32.shape).astype(np.float32)
    values[7] += 1
    found = judged(mean_distance, values)
    apart = np.abs(values - FP32).astype(np.float64)
    each = apart[:, :5].mean(axis=1) + apart[:, 5:].mean(axis=1)
    (check,) = found.against_fp32().checks
    assert check.value == pytest.approx(each.mean(), rel=1e-5)
    assert check.lower < each.mean() < check.upper
    worst = found.offenders(found.against_fp32())[0]
    assert worst.images == ("data.npz[7]",)
    assert worst.score == pytest.approx(each[7], rel=1e-5)
    assert worst.fp32_score == 0


def test_a_figure_without_each_subject() -> None:
    values = FP32 + RNG.normal(0, 0.1, FP32.shape).astype(np.float32)
    found = judged(correlation, values, limit=0.9, direction="higher")
    without = [
        np.corrcoef(np.delete(values, i, axis=0).ravel(), np.delete(FP32, i, axis=0).ravel())[0, 1]
        for i in range(COUNT)
    ]
    assert found.variant.without == pytest.approx(without, abs=1e-6)
    assert found.against_fp32().verdict is Verdict.PASS


def test_what_is_not_finite_is_not_shown_and_does_not_pass() -> None:
    values = moved([5], np.nan, 6)
    errors = judged(peaks, values)
    assert np.flatnonzero(errors.variant.errors).tolist() == [5]
    assert judged(mean_distance, values).against_fp32().verdict is Verdict.FAIL
    assert errors.finite().verdict is Verdict.FAIL


def test_the_metric_cannot_change_what_it_is_given() -> None:
    def careless(outputs: Any, fp32: Any) -> Any:
        for one in (*outputs, *fp32):
            one[:] = 0
        return np.zeros(len(outputs[0]), bool)

    found = judged(careless, FP32)
    assert found.against_fp32().verdict is Verdict.PASS
    assert np.array_equal(found.variant.against[0].reshape(COUNT, -1), FP32[:, :5])


def test_the_golden_has_figures_of_each_output() -> None:
    found: CustomAgreement = judged(peaks, FP32)
    wanted = {}
    for name, part in (("a", FP32[:, :5]), ("b", FP32[:, 5:])):
        wanted[f"mean of {name}"] = float(part.astype(np.float64).mean())
        wanted[f"spread of {name}"] = float(part.astype(np.float64).std())
    assert found.golden_figures() == pytest.approx(wanted)


def test_what_it_was_given_is_said_if_it_raises() -> None:
    def confused(outputs: Any, fp32: Any) -> Any:
        return outputs - fp32

    message = r"raised TypeError .* given outputs of shape \(60, 5, 1\), \(60, 7, 2\) and FP32's of"
    with pytest.raises(MetricError, match=message):
        judged(confused, FP32)
