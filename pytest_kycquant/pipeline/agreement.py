"""Images without labels: where does the shipped pipeline decide differently from FP32's?

A cosine of .97 between embeddings does not say whether anybody is decided differently. So decisions
are counted, at the thresholds of the goldens. An image flips if only one of the pipelines finds a
face and gets through every stage, if only one finds it live, or if the embedding is so far from
FP32's of the same image that the two would not match: another box may hold another face. Images
that neither gets through do not count.

Pairs of images flip if only one of the pipelines would take them for the same person. Without
labels, each image counts as a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..results import MOST_OFFENDERS, GateResult, Offender
from ..tasks.checks import Counted, known, rate_check
from ..tasks.face.flips import flips_at, pairs_of
from ..tasks.rates import rate_of

if TYPE_CHECKING:
    from ..spec.limits import PipelineLimits
    from .seen import Seen
    from .transactions import Thresholds

_IMAGES = Counted("images", "images")
_PAIRS = Counted("pairs", "images")
_REMEDY = (
    "Ship another combination of variants; a detector that moves boxes changes what the other "
    "models see."
)


@dataclass(frozen=True, eq=False)
class Agreement:
    """What the shipped pipeline decides about images, beside FP32's.

    Args:
        names: names of the images, M of them.
        fp32: what FP32's pipeline makes of them.
        shipped: what the shipped pipeline makes of them.
        thresholds: the frozen thresholds.
        limits: the limits of the gates.
    """

    names: tuple[str, ...]
    fp32: Seen
    shipped: Seen
    thresholds: Thresholds
    limits: PipelineLimits

    def gate(self) -> GateResult:
        """The gate "agreement"."""
        flipped = self.flipped
        # Where nobody finds a face, nothing is decided: such images would dilute the share.
        decided = self.fp32.found | self.shipped.found
        wrong = np.array([bool(each) for each in flipped])[decided]
        found = rate_of(wrong, np.arange(len(wrong)))
        kinds = {kind: flipped.count(kind) for kind in dict.fromkeys(flipped) if kind}
        detail = f"{found.errors:,} of {found.trials:,} images with a face"
        if kinds:
            detail += f": {', '.join(f'{kind} {count:,}' for kind, count in kinds.items())}"
        checks = [rate_check(self.limits["flips"], "flipped decisions", found, detail, _IMAGES)]
        both = self.fp32.found & self.shipped.found
        if self._embeds and np.count_nonzero(both) > 1:
            one, other = (
                self.thresholds.measure.prepared(side.embeddings[both, 0])
                for side in (self.fp32, self.shipped)
            )
            pairs = pairs_of(len(one))
            measure, threshold = self.thresholds.measure, self.thresholds.match
            flips = flips_at(one, other, other, pairs, threshold, measure)
            share = flips.rate(pairs)
            detail = (
                f"{len(flips.accepts):,} newly accepted and {len(flips.rejects):,} newly rejected "
                f"of {share.trials:,} pairs of {len(one):,} images"
            )
            limit = self.limits["pair_flips"]
            checks.append(rate_check(limit, "flipped pairs", share, detail, _PAIRS, crossed=True))
        return GateResult("agreement", tuple(checks), _REMEDY, tuple(self._offenders()))

    @property
    def _embeds(self) -> bool:
        return bool(np.isfinite(self.fp32.embeddings).any())

    @cached_property
    def flipped(self) -> list[str]:
        """How each image flips, in words; "" for one that does not."""
        fp32, shipped, live = self.fp32, self.shipped, self.thresholds.live
        kinds = np.full(len(self.names), "", dtype=object)
        if self._embeds:
            limit = self.thresholds.measure.limit(self.thresholds.match)
            # Calls that only one side has, and broken embeddings, have no likeness.
            other = ~(self.likeness.astype(np.float32) >= limit)
            kinds[other] = "not recognized as the same face"
        if live is not None:
            scores = [side.scores for side in (fp32, shipped)]
            one, another = (score >= live for score in scores)
            kinds[(one != another) | np.isnan(scores[0]) | np.isnan(scores[1])] = "liveness"
        kinds[fp32.found & ~shipped.found] = "no longer through every stage"
        kinds[~fp32.found & shipped.found] = "newly through every stage"
        kinds[~fp32.found & ~shipped.found] = ""
        return [str(kind) for kind in kinds]

    @cached_property
    def likeness(self) -> NDArray[np.float64]:
        """Score of each image's embedding with FP32's of the same image; the smallest of several.

        NaN where only one of the pipelines has an embedding; infinite where none has.
        """
        measure = self.thresholds.measure
        calls = max(side.embeddings.shape[1] for side in (self.fp32, self.shipped))
        found = np.full((len(self.names), calls), np.nan)
        present = np.zeros((2, len(self.names), calls), np.bool_)
        for place, side in enumerate((self.fp32, self.shipped)):
            present[place, :, : side.embeddings.shape[1]] = np.isfinite(side.embeddings).any(axis=2)
        for call in range(min(side.embeddings.shape[1] for side in (self.fp32, self.shipped))):
            one, other = (
                measure.prepared(side.embeddings[:, call]) for side in (self.fp32, self.shipped)
            )
            found[:, call] = measure.exact(one, other)
        found[~present.any(axis=0)] = np.inf
        smallest: NDArray[np.float64] = found.min(axis=1)
        return smallest

    def figures(self) -> tuple[dict[str, float], dict[str, str]]:
        """Drift of the answers end to end, and the image where it is largest, by stage."""
        both = np.flatnonzero(self.fp32.found & self.shipped.found)
        figures: dict[str, float] = {}
        farthest: dict[str, str] = {}
        if not len(both):
            return figures, farthest
        apart = np.abs(self.shipped.scores[both] - self.fp32.scores[both])
        if self.thresholds.live is not None and np.isfinite(apart).any():
            figures["score_drift_mean"] = float(np.nanmean(apart))
            figures["score_drift_max"] = float(np.nanmax(apart))
            farthest["liveness"] = self.names[both[int(np.nanargmax(apart))]]
        if self._embeds:
            alike = self._cosines(both)
            figures["cosine_mean"] = float(alike.mean())
            figures["cosine_min"] = float(alike.min())
            farthest["embedder"] = self.names[both[int(alike.argmin())]]
        return figures, farthest

    def _cosines(self, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cosines of first embeddings to those of FP32; -1 for one without direction."""
        from ..tasks.face.measures import normalise

        one, other = (normalise(side.embeddings[chosen, 0]) for side in (self.fp32, self.shipped))
        found: NDArray[np.float64] = np.nan_to_num(
            np.einsum("ij,ij->i", one.astype(np.float64), other), nan=-1.0
        )
        return found

    def _offenders(self) -> list[Offender]:
        """The images that flip, those without a score first."""
        chosen = [index for index, kind in enumerate(self.flipped) if kind]
        found = []
        for index in chosen[:MOST_OFFENDERS]:
            kind = self.flipped[index]
            scores: tuple[float | None, float | None, float | None] = (None, None, None)
            if kind == "liveness":
                both = [float(side.scores[index]) for side in (self.shipped, self.fp32)]
                scores = (known(both[0]), known(both[1]), self.thresholds.live)
            elif kind.startswith("not"):
                shown = self.thresholds.measure.shown(float(self.likeness[index]))
                scores = (known(shown), None, self.thresholds.match)
            found.append(Offender((self.names[index],), "", *scores, f"flips: {kind}"))
        return found
