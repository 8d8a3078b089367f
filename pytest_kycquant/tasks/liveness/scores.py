"""Liveness scores: the probability of a live face, errors at a threshold, and its choice.

One convention everywhere: a capture is accepted as live iff score >= threshold. In the terms of
ISO/IEC 30107-3, an accepted attack is an attack presentation classification error (APCER, for each
species), and a rejected live capture is a bona fide one (BPCER). A capture without a finite score
counts as the worst case: an attack is accepted, a live face rejected (``nan >= t`` is False and
would *lower* APCER; ``argmax([.1, nan, .2])`` is 1, which is MiniFASNet's "live").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.liveness import LIVE, LivenessSet
from ...errors import DataError, ModelError
from ...statistics import (
    MIN_SUBJECTS,
    RULE_OF_30,
    Rate,
    subjects_to_decide,
)
from ..outputs import Outputs
from ..rates import chosen_for, last_that_holds, rate_of

Scores = NDArray[np.float64]
_LEAST = 0.5  # lowest threshold that is chosen
_MANY = 20  # captures: without a verdict below, since so few support no claim
_SUM_TOLERANCE = 1e-3  # of the sum of probabilities in float32, far more than rounding


def live_scores(
    outputs: Outputs, live_class: int, *, probabilities: bool, classes: int | None = None
) -> Scores:
    """Turn outputs into the probability of a live face.

    Args:
        outputs: the outputs, with values of shape (N, C): one for each class, or a single one
            (C = 1) for live.
        live_class: the index of the live class; 1 for a single value that is named as an attack.
        probabilities: whether the values are already probabilities; otherwise they are logits, and
            softmax (the logistic function for a single one) is applied.
        classes: the number of classes that the gate file names; None if it names none.

    Returns:
        (N,) float64 in 0..1, NaN where any output of the model was not finite.

    Raises:
        ModelError: there is no such class.
    """
    values = outputs.values.astype(np.float64)
    count = values.shape[1]
    if classes is not None and classes != count:
        raise ModelError(
            "output",
            f"has {_values(count)}, but LivenessDetection(classes=...) names {classes}",
            "name a class for each value, in the order of the output",
        )
    if live_class >= count and classes is None:
        raise ModelError(
            "output",
            f"has {_values(count)}, so there is no class {live_class}",
            "set LivenessDetection(live_class=...) to the index of the live class; a single value "
            'is classes=("live",) or classes=("attack",)',
        )
    if probabilities:
        both = values if count > 1 else np.hstack([values, 1.0 - values])
        scores = both[:, live_class].copy()
    else:
        # A single logit is relative to zero, the logit of the other class.
        logits = values if count > 1 else np.hstack([values, np.zeros_like(values)])
        with np.errstate(invalid="ignore", over="ignore"):
            # Subtract the maximum first: exp of a large logit overflows.
            shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
            scores = shifted[:, live_class] / shifted.sum(axis=1)
    scores[~outputs.finite] = np.nan
    return scores


def _values(count: int) -> str:
    return f"{count} values" if count != 1 else "a single value"


def pooled(value: NDArray[Any], classes: int, *, probabilities: bool) -> NDArray[np.float32]:
    """Turn a map of values for one image into the mean probability of each class over its places.

    Args:
        value: the map, float32: (1, C, H, W), (1, H, W, C), or (1, H, W) if there is one class.
        classes: the number of classes, C.
        probabilities: whether the values are probabilities; otherwise they are logits.

    Returns:
        (C,) float32.

    Raises:
        ModelError: it is not such a map.
    """
    planes = value.reshape(value.shape[1:]) if value.ndim > 2 and value.shape[0] == 1 else value
    if planes.ndim == 2 and (value.ndim > 2 or value.shape[0] > 1):  # (1, C) is not a map
        planes = planes[np.newaxis]
    if planes.ndim == 3 and planes.shape[0] != classes and planes.shape[2] == classes:
        planes = np.moveaxis(planes, 2, 0)
    if value.dtype != np.float32 or planes.ndim != 3 or planes.shape[0] != classes:
        raise ModelError(
            "output",
            f"{value.dtype} of shape {value.shape} is not a map of {classes} classes for one image",
            "name the output with the map in LivenessDetection(output=...) and the classes of its "
            "channels in classes=, or leave out pool=",
        )
    if not value.size:
        raise ModelError("output", "is an empty map", "name the right output")
    cells = planes.reshape(classes, -1).astype(np.float64)
    if not probabilities:
        others = cells if classes > 1 else np.vstack([cells, np.zeros_like(cells)])
        with np.errstate(invalid="ignore", over="ignore"):
            shifted = np.exp(others - others.max(axis=0))
            cells = (shifted / shifted.sum(axis=0))[:classes]
    mean: NDArray[np.float32] = cells.mean(axis=1).astype(np.float32)
    return mean


def check_scale(outputs: Outputs, *, probabilities: bool, overshoot: float = 0.0) -> None:
    """Make sure that the outputs of FP32 are what the gate file declares.

    Args:
        outputs: the outputs of FP32.
        probabilities: whether the gate file declares probabilities.
        overshoot: by how much they may lie outside of 0..1, as those of a regression do.

    Raises:
        ModelError: logits are declared but all values are between 0 and 1 (softmax or the logistic
            function would hide most differences), or probabilities are declared but some row is
            not a distribution.
    """
    values = outputs.values[outputs.finite].astype(np.float64)
    several = values.shape[1] > 1
    in_range = ((values >= -overshoot) & (values <= 1 + overshoot)).all(axis=1)
    whole = np.abs(values.sum(axis=1) - 1) < _SUM_TOLERANCE if several else in_range
    if probabilities and not (in_range & whole).all():
        row = values[~(in_range & whole)][0]
        shown = f"its values {', '.join(f'{value:.4g}' for value in row)}"
        if several and in_range.all():
            raise _each_by_itself(shown)
        raise ModelError(
            "output",
            f"{shown} are not probabilities",
            'set LivenessDetection(scores="logits") or name another output',
        )
    if probabilities or not len(values) or not in_range.all():
        return
    if several and whole.all():
        raise ModelError(
            "output",
            "its values are already probabilities (each row sums to 1)",
            'set LivenessDetection(scores="probabilities")',
        )
    if len(values) < _MANY:  # a few logits may happen to be there
        return
    if several:
        raise _each_by_itself("its values")
    raise ModelError(
        "output",
        f"its values for all {len(values):,} captures are between 0 and 1, like probabilities; as "
        "logits they would all score .5 to .731",
        'set LivenessDetection(scores="probabilities")',
    )


def _each_by_itself(values: str) -> ModelError:
    return ModelError(
        "output",
        f"{values} are between 0 and 1 but do not add up to 1: each is a probability by itself",
        'export the live one alone and set LivenessDetection(classes=("live",), '
        'scores="probabilities")',
    )


@dataclass(frozen=True, eq=False)
class Decisions:
    """The decisions of a model about captures at a threshold.

    Args:
        scores: (N,) probability of a live face; NaN counts as the worst case.
        captures: the captures with their labels.
        threshold: the decision threshold; accept as live iff score >= threshold.
    """

    scores: Scores
    captures: LivenessSet
    threshold: float

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """(N,) whether each decision is wrong: an accepted attack or a rejected live face."""
        return wrong_at(self.scores, self.captures.live, self.threshold)

    def rate(
        self,
        kind: int,
        only: NDArray[np.bool_] | None = None,
        among: NDArray[np.bool_] | None = None,
    ) -> Rate:
        """APCER of a species or BPCER, or the rate of only some of these errors.

        If the data does not say who is captured, every capture counts as a subject.

        Args:
            kind: the index of the species, or `LIVE` for BPCER.
            only: (N,) bool, the errors to count; all by default.
            among: (N,) bool, the captures to count; all by default.
        """
        members = self.captures.species == kind
        if among is not None:
            members &= among
        wrong = self.wrong if only is None else only
        subjects = self.captures.subjects[members]
        scores = self.scores[members]
        # If there are few errors, the design effect of the 30 most dangerous captures is used.
        danger = np.where(np.isnan(scores), np.inf, -scores if kind == LIVE else scores)
        worst = np.zeros(len(scores), np.bool_)
        worst[np.argsort(-danger, kind="stable")[:RULE_OF_30]] = True
        return rate_of(wrong[members], subjects, worst)

    @property
    def species_rates(self) -> dict[str, Rate]:
        """APCER of each species."""
        return {name: self.rate(index) for index, name in enumerate(self.captures.species_names)}


def wrong_at(scores: Scores, live: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    """Find the captures with a wrong decision.

    Args:
        scores: (N,) probability of a live face.
        live: (N,) whether each capture is live.
        threshold: the decision threshold; accept as live iff score >= threshold.
    """
    wrong: NDArray[np.bool_] = np.isnan(scores) | ((scores >= threshold) != live)
    return wrong


def select_threshold(scores: Scores, captures: LivenessSet, limit: float) -> float:
    """Smallest threshold, at least 1/2, whose upper bounds of APCER are all below `limit`.

    The threshold lies just above the score of an attack, so that equal scores are rejected
    together. It is at least 1/2, so what is more probably an attack than live is never accepted.
    For a model that separates almost all captures, the smallest threshold of all would lie deep
    among the attacks, where the slightest drift lets many of them pass.

    Args:
        scores: (N,) probability of a live face by the FP32 model.
        captures: the captures of the people who choose.
        limit: the limit of APCER.

    Raises:
        DataError: the people are too few to prove the limit at any threshold.
    """
    attacks = scores[~captures.live & np.isfinite(scores)]
    found = np.nextafter(np.unique(attacks)[::-1], np.inf)  # descending
    candidates = [*(float(one) for one in found if one > _LEAST), _LEAST]

    def excess(threshold: float) -> tuple[str, Rate] | None:
        """The species with the largest bound that is not below the limit; None if all are below."""
        rates = Decisions(scores, captures, threshold).species_rates
        over = {n: r for n, r in rates.items() if not (r.supported and r.upper < limit)}
        return max(over.items(), key=lambda item: item[1].upper) if over else None

    strictest = excess(candidates[0])
    if strictest is not None:
        name, least = strictest
        needed = subjects_to_decide(least, chosen_for(limit))
        wanted = f" (about {needed:,} subjects would do)" if needed is not None else ""
        bound = f"{least.upper:.3%}"
        if not least.supported:
            bound = f"unknown (a claim needs at least {MIN_SUBJECTS} subjects)"
        raise DataError(
            "threshold selection",
            f"even at the strictest threshold, with {least.errors} errors in {least.trials:,} "
            f"attacks of the species {name} on {least.subjects} subjects, the upper bound of APCER "
            f"is {bound}, not below {limit:.3%}",
            f"give more attacks of this species{wanted}, raise `selection_apcer`, or set "
            "`threshold`",
        )
    last = last_that_holds(len(candidates), lambda index: excess(candidates[index]) is None)
    return candidates[last]


def bpcer_at_apcer(decisions: Decisions, target: float) -> float:
    """BPCER at the smallest threshold whose APCER is at most `target` for every species.

    A figure for reports only, because it re-tunes the threshold, which a deployed system does not.
    ISO/IEC 30107-3 calls it BPCER10, BPCER20 and BPCER100 for targets of 10, 5 and 1 %.
    """
    captures, scores = decisions.captures, decisions.scores
    threshold = -np.inf
    for kind in range(len(captures.species_names)):
        found = scores[captures.species == kind]
        ordered = np.sort(np.where(np.isnan(found), np.inf, found))[::-1]
        # At most floor(target n) attacks may score as high as the threshold.
        border = ordered[int(np.floor(target * len(ordered)))]
        threshold = max(threshold, float(np.nextafter(border, np.inf)))
    return float(wrong_at(scores, captures.live, threshold)[captures.live].mean())
