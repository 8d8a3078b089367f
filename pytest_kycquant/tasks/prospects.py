"""What some data can decide, before any model has run on it.

A verdict depends on errors that are not known yet. But data cannot show more than it would if no
decision were wrong and none changed, or, where trials are many, if few were. If even that leaves a
limit undecided, no variant can pass, however good it is.

How much impostor pairs depend on each other shows only when the model runs. At best they do not; a
typical design effect stands between what data can decide and what it may be too small for
(`python -m benchmarks.outlooks`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..statistics import (
    FEW_ERRORS,
    MIN_SUBJECTS,
    Counts,
    people_needed,
    rate,
    rate_with,
    room_of,
    subjects_to_decide,
    worst_case,
)
from ..verdicts import Limit

# Design effects of trials with two subjects, if they are independent: with few errors the jackknife
# counts them about twice. And typical ones, of the 30 nearest impostor pairs and with more errors.
_INDEPENDENT, _NEAREST, _MANY = 1.8, 5.0, 2.5


@dataclass(frozen=True, eq=False)
class Trials:
    """The trials of one error rate, or of its increase over FP32.

    Args:
        limit: the limit of the rate, which must stay below it.
        what: the name of the figure, such as "FAR" or "increase of FRR".
        counts: the trials, without errors.
        whose: the plural noun for the subjects, such as "people".
        crossed: whether each trial has two subjects.
        all_pairs: whether every subject is compared with every other.
        increase: whether this is an increase over FP32.
        share: whether the user gives the limit as the share of trials that do not go wrong.
        chooses: whether a threshold is chosen by the bound of this rate.
    """

    limit: Limit
    what: str
    counts: Counts
    whose: str
    crossed: bool = False
    all_pairs: bool = False
    increase: bool = False
    share: bool = False
    chooses: bool = False

    @property
    def subjects(self) -> int:
        """The number of subjects with trials."""
        return int(self.counts.subject_trials.size)

    @property
    def best(self) -> float:
        """The smallest upper bound that this data can show: without errors, or with ten.

        From ten errors on, the design effect is measured, and may be 1.
        """
        return self._shown(_INDEPENDENT, 1.0)

    @property
    def typical(self) -> float:
        """The same for a typical dependence between trials."""
        return self._shown(_NEAREST, _MANY)

    @property
    def decidable(self) -> bool:
        """Whether a PASS is possible."""
        return self._below(self.best)

    @property
    def likely(self) -> bool:
        """Whether a PASS is possible if trials depend on each other as they typically do."""
        return self._below(self.typical)

    @property
    def needed(self) -> int | None:
        """The number of subjects from which on a PASS is likely; None if there are no trials."""
        found = subjects_to_decide(
            rate(self.counts, deff_floor=self._floor(_NEAREST), deff_many=_MANY),
            self.limit,
            crossed=self.crossed,
            listed=not self.all_pairs,
        )
        if self.increase and found is not None:
            enough = people_needed(self.limit.value, crossed=self.crossed)
            found = min(found, max(enough, MIN_SUBJECTS))
        return found

    @property
    def needed_at_half(self) -> int | None:
        """The number of subjects that would decide a rate of half of its limit; see `needed`."""
        if self.increase or self.chooses or not self.counts.subject_trials.size:
            return self.needed
        trials, subjects = self.counts.trials, self.subjects
        errors = math.ceil(trials * self.limit.value / 2)
        deff = _MANY if self.crossed else self._floor(_NEAREST)
        room = room_of(self.counts, per_subject=not self.crossed)
        half = rate_with(errors, trials, subjects, deff, 1, room, deff)
        return subjects_to_decide(half, self.limit, crossed=self.crossed, listed=not self.all_pairs)

    def _shown(self, nearest: float, many: float) -> float:
        """The smallest upper bound with these design effects, if each trial has two subjects."""
        if self.subjects < MIN_SUBJECTS:
            return 1.0
        none = rate(self.counts, deff_floor=self._floor(nearest))
        few = min(FEW_ERRORS, self.counts.trials)
        room = room_of(self.counts, per_subject=not self.crossed)
        deff = many if self.crossed else 1.0
        ten = rate_with(few, self.counts.trials, self.subjects, deff, 1, room, deff)
        return min(none.upper, ten.upper)

    def _floor(self, nearest: float) -> float:
        return nearest if self.crossed else (1 + worst_case(self.counts)) / 2

    def _below(self, shown: float) -> bool:
        if self.subjects < MIN_SUBJECTS:
            return False
        enough = people_needed(self.limit.value, crossed=self.crossed)
        return shown < self.limit.value or (self.increase and self.subjects >= enough)

    def describe(self) -> str:
        """Say that a verdict is impossible or unlikely, and what would make it possible."""
        unit, whose, needed = self.limit.unit, self.whose, self.needed
        limit = unit.show(self.limit.value)
        goal = f"decide {self.what} below {limit}"
        if self.chooses:
            goal = f"choose a threshold with {self.what} below {limit}"
        if not self.counts.subject_trials.size:
            return f"no {whose} can {goal}: there are no such trials"
        more = "" if needed is None else f"give about {needed:,} {whose}"
        if self.subjects < MIN_SUBJECTS:
            return (
                f"{self.subjects:,} {whose} cannot {goal}: any claim needs at least "
                f"{MIN_SUBJECTS}; {more}"
            )
        shown, lacks, how = self.best, "cannot", "at best"
        if self.decidable:
            shown, lacks, how = self.typical, "may be too few to", "typically"
        step = 10.0 ** (math.floor(math.log10(shown)) - 1)
        looser = math.ceil(shown / step + 1e-9) * step
        if self.share:
            looser = 1 - looser
        instead = f"{self.limit.name}={looser:.3g}"
        if not self.chooses:
            instead = f"the limit {instead}"
        found = f"{how} {unit.show(shown)} can be shown"
        return f"{self.subjects:,} {whose} {lacks} {goal}: {found}; {more}, or set {instead}"
