"""Whether FP32's score is that of a live face, or of an attack by mistake."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from ...errors import BaselineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...data.liveness import LivenessSet
    from ...spec.model import KycModel
    from ...spec.tasks import LivenessDetection
    from .scores import Scores

_CHANCE = 0.5


def refuse_attack_scores(
    model: KycModel,
    spec: LivenessDetection,
    captures: LivenessSet,
    values: int,
    scores_of: Callable[[LivenessDetection], Scores],
) -> None:
    """Refuse scores of FP32 that are higher for attacks than for live faces.

    Args:
        model: the model, for messages.
        spec: how the gate file reads the scores.
        captures: the captures with their labels.
        values: the number of values that the model returns for an image.
        scores_of: a function that reads the scores of the captures in another way.

    Raises:
        BaselineError: they are; the error names what to write if it is another class.
    """
    area = _area(scores_of(spec), captures)
    if not area < _CHANCE:
        return
    advice = "check the labels, and channel order, mean and scale of the preprocessing"
    found = [(_area(scores_of(other), captures), words) for other, words in _others(spec, values)]
    best, words = max(found, default=(0.0, ""))
    if best > _CHANCE:
        advice = f"set LivenessDetection({words}), with which its AUC is {best:.3f}, or {advice}"
    raise BaselineError(
        ", ".join(map(str, model.paths)),
        f"FP32 itself scores attacks higher than live faces (AUC {area:.3f}), so its score seems "
        "to be that of an attack",
        advice,
    )


def _others(spec: LivenessDetection, values: int) -> list[tuple[LivenessDetection, str]]:
    """The other classes that may be the live one, with what to write."""
    if values == 1:
        name = "attack" if spec.live_class == 0 else "live"
        other = replace(spec, classes=(name,), live_class=None)
        return [(other, f'classes=("{name}",)')]
    live, names = spec.live_class, spec.classes
    others = [index for index in range(values) if index != live]
    if names is None or not isinstance(live, int):
        return [(replace(spec, live_class=index), f"live_class={index}") for index in others]
    found = []
    for index in others:  # the names are in another order
        turned = list(names)
        turned[index], turned[live] = names[live], names[index]
        other = replace(spec, classes=tuple(turned), live_class=names[live])
        found.append((other, f"classes={tuple(turned)!r}"))
    return found


def _area(scores: Scores, captures: LivenessSet) -> float:
    """The area under the ROC curve (Mann and Whitney); NaN if it does not exist."""
    known = np.isfinite(scores)
    live, ranks = captures.live[known], rankdata(scores[known])
    lives, attacks = int(live.sum()), int((~live).sum())
    if not lives or not attacks:
        return float("nan")
    wins = ranks[live].sum() - lives * (lives + 1) / 2
    return float(wins / (lives * attacks))
