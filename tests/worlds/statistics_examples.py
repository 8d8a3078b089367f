"""Counts and rates for several tests of the statistics, each made the slow, obvious way."""

from collections.abc import Iterable

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from pytest_kycquant.statistics import Counts, Rate, clopper_pearson

brief = settings(max_examples=50)


def counts_of(trials: Iterable[tuple[tuple[int, ...], bool]], subjects: int) -> Counts:
    """Count trials, each given as (its subjects, whether it is an error)."""
    trials = list(trials)
    e, m = [0] * subjects, [0] * subjects
    for touched, wrong in trials:
        for g in touched:
            m[g] += 1
            e[g] += wrong
    return Counts(sum(wrong for _, wrong in trials), len(trials), np.array(e), np.array(m))


def worked_example() -> Counts:
    """40 subjects with 2 images each, all 3,120 impostor pairs of images, 9 errors."""
    wrong = {(0, 2 * k) for k in range(1, 7)} | {(20, 31), (40, 51), (61, 70)}
    images = [(i, j) for i in range(80) for j in range(i + 1, 80) if i // 2 != j // 2]
    return counts_of((((i // 2, j // 2), (i, j) in wrong) for i, j in images), 40)


def independent(errors: int, trials: int, subjects: int = 10**12) -> Rate:
    """Rate of independent trials, with enough subjects that Student's t is normal."""
    bounds = clopper_pearson(errors, trials)
    return Rate(errors, trials, subjects, errors / trials, *bounds, deff=1.0, n_eff=float(trials))


@st.composite
def pair_counts(draw: st.DrawFn, touching: int | None = None) -> Counts:
    """Any genuine (one subject) or impostor (two subjects) trials of a few subjects."""
    touching = touching or draw(st.sampled_from([1, 2]))
    subjects = draw(st.integers(touching, 8))
    touched = st.lists(
        st.integers(0, subjects - 1), min_size=touching, max_size=touching, unique=True
    )
    trial = st.tuples(touched.map(tuple), st.booleans())
    return counts_of(draw(st.lists(trial, min_size=1, max_size=30)), subjects)
