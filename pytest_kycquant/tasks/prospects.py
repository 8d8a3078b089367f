"""What some data can decide at best, before any model has run on it.

A verdict depends on errors that are not known yet. But data cannot show more than it would if no
decision were wrong and none changed, or, where trials are many, if few were. If even that leaves a
limit undecided, no variant can pass, however good it is.
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
    """

    limit: Limit
    what: str
    counts: Counts
    whose: str
    crossed: bool = False
    all_pairs: bool = False
    increase: bool = False
    share: bool = False

    @property
    def subjects(self) -> int:
        """The number of subjects with trials."""
        return int(self.counts.subject_trials.size)

    @property
    def best(self) -> float:
        """The smallest upper bound that this data can show: without errors, or with ten.

        From ten errors on, the design effect is measured, and may be 1.
        """
        if self.subjects < MIN_SUBJECTS:
            return 1.0
        none = rate(self.counts, deff_floor=self._floor)
        few = min(FEW_ERRORS, self.counts.trials)
        room = room_of(self.counts, per_subject=not self.crossed)
        ten = rate_with(few, self.counts.trials, self.subjects, 1.0, 1, room, 1.0)
        return min(none.upper, ten.upper)

    @property
    def decidable(self) -> bool:
        """Whether a PASS is possible."""
        if self.subjects < MIN_SUBJECTS:
            return False
        enough = people_needed(self.limit.value, crossed=self.crossed)
        return self.best < self.limit.value or (self.increase and self.subjects >= enough)

    @property
    def needed(self) -> int | None:
        """The number of subjects from which on a PASS is possible; None if there are no trials."""
        found = subjects_to_decide(
            rate(self.counts, deff_floor=self._floor),
            self.limit,
            crossed=self.crossed,
            listed=not self.all_pairs,
        )
        if self.increase and found is not None:
            enough = people_needed(self.limit.value, crossed=self.crossed)
            found = min(found, max(enough, MIN_SUBJECTS))
        return found

    @property
    def _floor(self) -> float:
        return 1.0 if self.crossed else (1 + worst_case(self.counts)) / 2

    def describe(self) -> str:
        """Say that no verdict is possible, and what would make it possible."""
        unit, whose, needed = self.limit.unit, self.whose, self.needed
        limit = unit.show(self.limit.value)
        lacks = f"{self.subjects:,} {whose} cannot decide {self.what} below {limit}"
        if not self.counts.subject_trials.size:
            return f"no {whose} can decide {self.what}: there are no such trials"
        more = "" if needed is None else f"give about {needed:,} {whose}"
        if self.subjects < MIN_SUBJECTS:
            return f"{lacks}: any claim needs at least {MIN_SUBJECTS}; {more}"
        step = 10.0 ** (math.floor(math.log10(self.best)) - 1)
        looser = math.ceil(self.best / step + 1e-9) * step
        if self.share:
            looser = 1 - looser
        instead = f"{self.limit.name}={looser:.3g}"
        best = unit.show(self.best)
        return f"{lacks}: at best {best} can be shown; {more}, or set the limit {instead}"
