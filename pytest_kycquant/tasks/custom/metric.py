"""A custom metric: its calls, the checks of its results, and their bounds.

The result decides how it is used: bools, one for each image, mark errors; numbers, one for each
image, are averaged; a single number is a figure of all images together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...context.function_digest import function_digest
from ...data.labelled import LabelledSet
from ...errors import MetricError, SpecError
from ...spec.coerce import shown
from ...spec.functions import describe_raised
from ...statistics import Rate, clopper_pearson, jackknife_bounds
from ..outputs import Tensor
from ..rates import rate_of

Labels = NDArray[Any] | tuple[Tensor, ...]
"""Labels, or the outputs of FP32 in their place."""
Form = Literal["errors", "values", "figure"]
# A figure is computed again without each group of subjects; more groups would only take longer.
_GROUPS = 200
_WORDS = {
    "errors": "a bool for each image",
    "values": "a number for each image",
    "figure": "one number",
}
_REMEDY = (
    "return a bool array (N,) of errors, an array (N,) of numbers or one number, given the outputs "
    "and labels of N images"
)


@dataclass(frozen=True, eq=False)
class Metric:
    """The metric function of a gate file.

    Args:
        function: the function, which takes (outputs, labels), or FP32's outputs in place of labels.
        name: the name for messages and reports.
        higher: whether higher is better.
    """

    function: Callable[..., Any]
    name: str
    higher: bool

    @property
    def where(self) -> str:
        """The subject of error messages."""
        return f"metric {self.name}"

    def identity(self) -> dict[str, str]:
        """Plain values that change with the metric: its name and a digest of all that it uses.

        Raises:
            MetricError: it uses something whose changes would go unnoticed.
        """
        try:
            digest = function_digest(self.function, self.where)
        except SpecError as error:
            raise MetricError(self.where, error.problem, error.remedy) from error
        return {"metric": self.function.__qualname__, "metric source": digest}

    def __call__(self, outputs: tuple[Tensor, ...], labels: Labels) -> NDArray[Any]:
        """Call the function twice for some images.

        Args:
            outputs: the outputs of the model, each (N, ...).
            labels: the labels, (N, ...), or a tuple of FP32's outputs, each (N, ...).

        Returns:
            (N,) bool, (N,) float64 or () float64.

        Raises:
            MetricError: the function raises, returns something else, or returns two different
                results.
        """
        found, again = self.once(outputs, labels), self.once(outputs, labels)
        if found.shape != again.shape or found.tobytes() != again.tobytes():
            raise MetricError(
                self.where,
                "does not return the same result for the same outputs and labels",
                "fix its seed, or remove the randomness",
            )
        return found

    def once(self, outputs: tuple[Tensor, ...], labels: Labels) -> NDArray[Any]:
        """Call the function once; see `__call__`.

        Raises:
            MetricError: the function raises, or returns something else.
        """
        # Copies: the function may work in place.
        given, count = _copied(outputs), len(outputs[0])
        truth = _copied(labels) if isinstance(labels, tuple) else labels.copy()
        try:
            answer = self.function(given, truth)
            found = _unmasked(answer)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a user's function may raise anything, a skip too
            if isinstance(labels, tuple):
                against = f"FP32's of shape {_shapes(labels)}"
            else:
                against = f"labels of shape {labels.shape}, {labels.dtype}"
            raise MetricError(
                self.where,
                describe_raised(error, self.function),
                f"it was given outputs of shape {_shapes(outputs)} and {against}",
            ) from error
        if found.dtype.kind not in "biuf" or found.shape not in ((), (count,)):
            what = f"{found.dtype} of shape {found.shape}" if found.ndim else shown(answer)
            raise MetricError(self.where, f"returned {what} for {count} images", _REMEDY)
        if found.dtype == np.bool_:
            if not found.ndim:
                raise MetricError(self.where, "returned a single bool", _REMEDY)
            if self.higher:
                raise MetricError(
                    self.where,
                    'returned bools, which mark errors, although direction="higher"',
                    'return True for each error and remove direction="higher"',
                )
            return found
        return found.astype(np.float64)


def _copied(outputs: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """Copies of several outputs as a tuple, of one as it is."""
    copies = tuple(output.copy() for output in outputs)
    return copies if len(copies) > 1 else copies[0]


def _shapes(arrays: tuple[NDArray[Any], ...]) -> str:
    return ", ".join(str(array.shape) for array in arrays)


def _unmasked(answer: Any) -> NDArray[Any]:
    """The answer of a metric, where what is masked is wrong or NaN: it could not be measured.

    numpy's own conversion takes whatever value lies under the mask.
    """
    found = np.asarray(answer)
    masked: Any = np.ma.asarray(answer)
    if not np.ma.is_masked(masked):
        return found
    if masked.dtype == np.bool_:
        return np.asarray(masked.filled(True))
    return np.asarray(masked.astype(np.float64).filled(np.nan))


def form_of(found: NDArray[Any]) -> Form:
    """The form of a result of `Metric`."""
    if not found.ndim:
        return "figure"
    return "errors" if found.dtype == np.bool_ else "values"


@dataclass(frozen=True, eq=False)
class Measurement:
    """The results of a metric for the outputs of one model.

    The metric never sees an image whose outputs are not finite. Such an image counts as an error,
    and makes a mean or a figure NaN.

    Args:
        metric: the metric of the gate file.
        outputs: the outputs of the model, each (N, ...), float32.
        finite: (N,) bool, whether *all* outputs of each image were finite.
        truth: the images with their labels.
        expected: the form of the metric's result for FP32; None for FP32 itself.
        against: the outputs of FP32, which the metric gets in place of labels; None if there are
            labels.
    """

    metric: Metric
    outputs: tuple[Tensor, ...]
    finite: NDArray[np.bool_]
    truth: LabelledSet
    expected: Form | None = None
    against: tuple[Tensor, ...] | None = None

    @cached_property
    def _answer(self) -> NDArray[Any] | None:
        """The result of the metric for the finite images; None if it is not called."""
        if not self.finite.any() or (self.expected == "figure" and not self.finite.all()):
            return None
        found = self.metric(*self._of(self.finite))
        if self.expected is not None and form_of(found) != self.expected:
            raise MetricError(
                self.metric.where,
                f"returned {_WORDS[form_of(found)]} for a variant and {_WORDS[self.expected]} "
                "for FP32",
                "always return the same kind of result",
            )
        return found

    @property
    def form(self) -> Form:
        """The form of the metric's result."""
        return self.expected or ("figure" if self._answer is None else form_of(self._answer))

    @cached_property
    def errors(self) -> NDArray[np.bool_]:
        """(N,) whether each image is wrong, for a metric that returns errors."""
        wrong: NDArray[np.bool_] = ~self.finite
        if self._answer is not None:
            wrong[self.finite] = self._answer
        return wrong

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """(N,) value of each image, NaN where its outputs are not finite."""
        found = np.full(len(self.finite), np.nan)
        if self._answer is not None:
            found[self.finite] = self._answer
        return found

    def rate(self, only: NDArray[np.bool_] | None = None) -> Rate:
        """Error rate, or the rate of only some of the errors."""
        return rate_of(self.errors if only is None else only, self.truth.subjects)

    @cached_property
    def value(self) -> float:
        """The mean of the values, or the figure; NaN if an image is not finite."""
        if self.form == "values":
            return float(self.values.mean())
        if self._answer is None or not self.finite.all():
            return math.nan
        return float(self._answer)

    @cached_property
    def without(self) -> NDArray[np.float64]:
        """(G,) `value` without each subject; a figure without each of up to 200 groups by name."""
        subjects = self.truth.subjects
        count = int(subjects.max()) + 1
        if count < 2 or not math.isfinite(self.value):
            return np.empty(0)
        if self.form == "values":
            sums, sizes = np.bincount(subjects, weights=self.values), np.bincount(subjects)
            means: NDArray[np.float64] = (sums.sum() - sums) / (len(subjects) - sizes)
            return means
        groups = min(count, _GROUPS)
        group_of = subjects * groups // count
        return np.array([self._figure(group_of != group) for group in range(groups)])

    @property
    def may_be_share(self) -> bool:
        """Whether all known values lie between 0 and 1, so that the metric may be a share."""
        known = self.values if self.form == "values" else np.array(self.value)
        return bool(((known >= 0) & (known <= 1)).all())

    def broken(self) -> list[str]:
        """Names of the images without a finite value."""
        good = self.finite
        if self.form == "values":
            good = np.isfinite(self.values)
        return [name for name, ok in zip(self.truth.images.names, good, strict=True) if not ok]

    def _figure(self, kept: NDArray[np.bool_]) -> float:
        found = self.metric.once(*self._of(kept))
        if form_of(found) != "figure":
            raise MetricError(
                self.metric.where,
                f"returned one number for all images but {_WORDS[form_of(found)]} for some of them",
                "always return the same kind of result",
            )
        return float(found)

    def _of(self, kept: NDArray[np.bool_]) -> tuple[tuple[Tensor, ...], Labels]:
        outputs = tuple(output[kept] for output in self.outputs)
        if self.against is None:
            return outputs, self.truth.labels[kept]
        return outputs, tuple(output[kept] for output in self.against)


def bounds(value: float, without: NDArray[np.float64], *, share: bool) -> tuple[float, float]:
    """Bound a figure of unknown nature from below and from above, each at 95 %.

    The bounds are those of the jackknife. It is blind if no subject makes a difference, as with an
    F1 of 1. The width then is that of an error rate without errors in that many subjects (Clopper
    and Pearson).

    Args:
        value: the figure.
        without: (G,) the figure without each subject.
        share: whether the figure may be a share, between 0 and 1 by nature. Its distribution is
            then skewed, so the wider of the bounds on the plain and on the logit scale are used.
    """
    lower, upper = jackknife_bounds(value, without)
    if not math.isfinite(upper - lower):
        return lower, upper
    if np.ptp(without) <= 1e-12 * max(1.0, abs(value)):
        _, width = clopper_pearson(0, len(without))
        return value - width, value + width
    if share and 0 < value < 1:
        low, high = jackknife_bounds(value, without, share=True)
        return min(lower, low), max(upper, high)
    return lower, upper
