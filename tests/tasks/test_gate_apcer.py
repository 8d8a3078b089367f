"""The APCER gate fails if one species passes as live, whatever the others do."""

from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import LivenessLimits, Verdict
from pytest_kycquant.results import GateResult
from pytest_kycquant.tasks.liveness.comparison import LivenessComparison
from tests.worlds.scores import captures, comparison, logits, of_kind, swapped

ALL = captures()


def apcer(of: LivenessComparison) -> GateResult:
    result, _ = of.accuracy()
    return result


def test_passes() -> None:
    result = apcer(comparison(logits(ALL), ALL))
    assert result.verdict is Verdict.PASS
    assert [check.name for check in result.checks] == [
        "APCER, maximum over 2 species",
        "APCER print",
        "APCER screen",
    ]
    assert "0 errors in 330 attacks of 330 people" in result.checks[1].detail


def test_one_species_fails_alone() -> None:
    """30 of 330 screens pass: 9 %, though of all 660 attacks only 4.5 % do."""
    variant = swapped(logits(ALL), of_kind(ALL, 1, 30))
    result = apcer(comparison(variant, ALL))
    assert [check.verdict for check in result.checks] == [
        Verdict.FAIL,
        Verdict.PASS,
        Verdict.FAIL,
    ]
    headline = result.checks[0]
    assert headline.value == pytest.approx(30 / 330)
    assert headline.detail.startswith("screen: 30 errors in 330 attacks")
    assert (headline.lower, headline.upper) == (result.checks[2].lower, result.checks[2].upper)


def test_the_maximum_is_one_species_with_its_own_figures() -> None:
    """A species with few captures has the largest bound, another one the largest rate.

    The headline must not mix the estimate of one species with the bound of another.
    """
    few = ALL.subset(np.flatnonzero((ALL.species != 1) | (ALL.subjects < 40)))
    variant = swapped(logits(few), of_kind(few, 0, 3))
    headline, prints, screens = apcer(comparison(variant, few)).checks
    assert prints.verdict is Verdict.PASS
    assert headline.verdict is screens.verdict is Verdict.INCONCLUSIVE
    assert headline.value == screens.value == 0
    assert (headline.lower, headline.upper) == (screens.lower, screens.upper)
    assert headline.lower < prints.lower
    assert headline.detail.startswith("screen: 0 errors in 40 attacks")


def test_one_species_has_no_maximum() -> None:
    single = captures(species=("mask",))
    result = apcer(comparison(logits(single), single))
    assert [check.name for check in result.checks] == ["APCER mask"]


def test_nan_does_not_lower_apcer() -> None:
    """``nan >= t`` is False: thirty broken attacks must count as accepted."""
    variant = logits(ALL)
    variant[of_kind(ALL, 0, 30)] = np.nan
    result = apcer(comparison(variant, ALL))
    assert result.checks[1].value == pytest.approx(30 / 330)
    assert result.verdict is Verdict.FAIL


def test_few_people_are_undecided() -> None:
    few = captures(19, each=20)
    result = apcer(comparison(logits(few), few))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "a claim needs at least 20 people" in result.describe()


def test_few_captures_are_undecided_and_say_how_many_decide() -> None:
    few = captures(40)
    result = apcer(comparison(logits(few), few))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "about 62 people would decide" in result.describe()
    for people, verdict in ((61, Verdict.INCONCLUSIVE), (62, Verdict.PASS)):
        of = captures(people)
        assert apcer(comparison(logits(of), of)).verdict is verdict


def test_many_captures_of_one_person_are_little_evidence() -> None:
    """80 attacks of 20 people without an error are worth 20 attacks, not 80."""
    of = captures(20, each=4)
    check = apcer(comparison(logits(of), of)).checks[1]
    assert check.verdict is Verdict.INCONCLUSIVE
    anonymous = captures(20, each=4, known=False)
    check = apcer(comparison(logits(anonymous), anonymous)).checks[1]
    assert check.verdict is Verdict.PASS
    assert check.detail == (
        "0 errors in 80 attacks of unknown people, each counted as a different person"
    )


def test_errors_of_one_person_widen_the_interval() -> None:
    of = captures(60, each=5)
    one = swapped(logits(of), np.flatnonzero((of.species == 0) & (of.subjects < 2)))
    spread = swapped(logits(of), of_kind(of, 0, 300)[::30])
    narrow, wide = (apcer(comparison(variant, of)).checks[1] for variant in (spread, one))
    assert narrow.value == wide.value == pytest.approx(10 / 300)
    assert narrow.upper is not None
    assert wide.upper is not None
    assert wide.upper > narrow.upper + 0.01


def test_the_limit_itself_does_not_pass() -> None:
    found = comparison(swapped(logits(ALL), of_kind(ALL, 0, 5)), ALL)
    upper = apcer(found).checks[1].upper
    assert upper is not None
    assert apcer(found).checks[1].verdict is Verdict.PASS
    at_limit = apcer(replace(found, limits=LivenessLimits(apcer=upper)))
    assert at_limit.checks[1].verdict is not Verdict.PASS
