"""Outputs and labels of an imaginary model, measured by the metric of a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.labelled import LabelledSet
from pytest_kycquant.spec.limits import CustomLimits
from pytest_kycquant.tasks.custom.comparison import CustomComparison
from pytest_kycquant.tasks.custom.metric import Measurement, Metric

LIMITS = CustomLimits()  # no limit is given


def labelled(labels: Any, subjects: Any = None) -> LabelledSet:
    """Blank images with these labels; without subjects, each image is a separate one."""
    labels = np.asarray(labels)
    images = ImageSet.from_array(np.zeros((len(labels), 1, 1, 3), np.uint8), Path("data.npz"))
    if subjects is None:
        return LabelledSet(images, labels, np.arange(len(labels)), ())
    names, indices = np.unique(subjects, return_inverse=True)
    return LabelledSet(images, labels, indices, tuple(map(str, names)))


def measured(
    function: Callable[..., Any],
    outputs: Any,
    truth: LabelledSet,
    *,
    higher: bool = False,
) -> Measurement:
    """Outputs from one array (N, ...); an image is broken if any of its numbers is not finite."""
    values = np.asarray(outputs, np.float32)
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    name = getattr(function, "__name__", "metric")
    return Measurement(Metric(function, name, higher), (values,), finite, truth)


def compared(
    function: Callable[..., Any],
    fp32: Any,
    variant: Any,
    truth: LabelledSet,
    limits: CustomLimits = LIMITS,
    *,
    higher: bool = False,
) -> CustomComparison:
    """Compare the outputs of a variant with those of FP32."""
    baseline = measured(function, fp32, truth, higher=higher)
    found = measured(function, variant, truth, higher=higher)
    expected = baseline.form
    mine = Measurement(found.metric, found.outputs, found.finite, truth, expected)
    return CustomComparison(baseline, mine, limits)


def wrong(outputs: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.bool_]:
    """A bool for each image: whether its output (N,) differs from the label."""
    return outputs != labels


def apart(outputs: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.float32]:
    """A number for each image: how far the output (N,) is from the label."""
    return np.abs(outputs - labels)


def correlation(outputs: NDArray[np.float32], labels: NDArray[Any]) -> float:
    """One number: Pearson's correlation of outputs (N,) and labels."""
    return float(np.corrcoef(outputs, labels)[0, 1])
