"""Results agree with scikit-learn and statsmodels where these offer the same.

Both take seconds to import, so they are imported inside the tests.
"""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.statistics import (
    Counts,
    clopper_pearson,
    design_effect,
    noninferiority,
)
from tests.worlds.statistics_examples import brief, independent


@brief
@given(st.integers(1, 100_000), st.data())
def test_clopper_pearson(trials, data):
    from statsmodels.stats.proportion import proportion_confint

    errors = data.draw(st.integers(0, trials))
    # statsmodels gives two-sided intervals: 90 % leaves 5 % at either end.
    wanted = proportion_confint(errors, trials, alpha=0.1, method="beta")
    wanted = tuple(0.0 if math.isnan(bound) else bound for bound in wanted)
    assert clopper_pearson(errors, trials) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("worse", "better"), [(30, 10), (5, 5), (1, 40), (200, 180)])
def test_mover_is_newcombe_with_the_intervals_of_wilson(worse, better):
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

    trials = 10_000

    def wilson(errors):
        lower, upper = proportion_confint(errors, trials, alpha=0.1, method="wilson")
        return dataclasses.replace(independent(errors, trials), lower=lower, upper=upper)

    found = noninferiority(wilson(worse), wilson(better))
    wanted = confint_proportions_2indep(
        worse, trials, better, trials, method="newcomb", compare="diff", alpha=0.1
    )
    assert (found.lower, found.upper) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("images", [2, 5])
def test_jackknife_is_the_cluster_robust_variance(images):
    from statsmodels.api import OLS

    rng = np.random.default_rng(0)
    people = 2000
    errors = rng.binomial(images, rng.beta(0.5, 9.5, people))
    wrong = np.concatenate([np.arange(images) < count for count in errors]).astype(float)
    subjects = np.arange(people).repeat(images)
    fit = OLS(wrong, np.ones_like(wrong)).fit(cov_type="cluster", cov_kwds={"groups": subjects})
    p = wrong.mean()
    wanted = float(fit.cov_params()[0, 0]) * len(wrong) / (p * (1 - p))
    trials = np.full(people, images)
    found = design_effect(Counts(int(errors.sum()), len(wrong), errors, trials))
    assert found == pytest.approx(wanted, rel=0.01)
    assert found > 1.05
