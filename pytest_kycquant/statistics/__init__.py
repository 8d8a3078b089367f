"""Statistics of error rates: bounds, paired differences, quantiles, and how much data decides.

All bounds are one-sided at `CONFIDENCE`, and nothing is random. `rates` says how shared subjects
enter, `moves` how far scores move, and `plan` how many people would decide a verdict.
"""

from .couples import Couples
from .difference import Difference, noninferiority
from .jackknife import jackknife_bounds, mean_lower_bound
from .moves import Moves, MovesBound, bound_by_moves, people_needed
from .plan import decided_by, imagined, subjects_to_decide
from .ranks import lower_rank, order_statistic_interval, upper_rank
from .rates import (
    CONFIDENCE,
    FEW_ERRORS,
    MIN_SUBJECTS,
    RULE_OF_30,
    Counts,
    Rate,
    clopper_pearson,
    design_effect,
    rate,
    rate_with,
    room_of,
    small_sample_floor,
    worst_case,
)

__all__ = [
    "CONFIDENCE",
    "FEW_ERRORS",
    "MIN_SUBJECTS",
    "RULE_OF_30",
    "Counts",
    "Couples",
    "Difference",
    "Moves",
    "MovesBound",
    "Rate",
    "bound_by_moves",
    "clopper_pearson",
    "decided_by",
    "design_effect",
    "imagined",
    "jackknife_bounds",
    "lower_rank",
    "mean_lower_bound",
    "noninferiority",
    "order_statistic_interval",
    "people_needed",
    "rate",
    "rate_with",
    "room_of",
    "small_sample_floor",
    "subjects_to_decide",
    "upper_rank",
    "worst_case",
]
