"""The BPCER gate fails if live people are turned away."""

import numpy as np
import pytest

from pytest_kycquant import Verdict
from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.results import GateResult
from pytest_kycquant.tasks.liveness.comparison import LivenessComparison
from tests.worlds.scores import captures, comparison, logits, of_kind, swapped

ALL = captures()


def bpcer(of: LivenessComparison) -> GateResult:
    _, result = of.accuracy()
    return result


def test_passes() -> None:
    result = bpcer(comparison(logits(ALL), ALL))
    assert result.verdict is Verdict.PASS
    assert "0 errors in 330 live captures of 330 people" in result.checks[0].detail


def test_rejected_people_fail() -> None:
    variant = swapped(logits(ALL), of_kind(ALL, LIVE, 30))
    attacks, result = comparison(variant, ALL).accuracy()
    assert result.verdict is Verdict.FAIL
    assert result.checks[0].value == pytest.approx(30 / 330)
    assert attacks.verdict is Verdict.PASS


def test_broken_captures_are_rejected_people() -> None:
    variant = logits(ALL)
    variant[of_kind(ALL, LIVE, 30), 0] = np.inf
    assert bpcer(comparison(variant, ALL)).verdict is Verdict.FAIL


def test_few_people_are_undecided() -> None:
    few = captures(19, each=20)
    result = bpcer(comparison(logits(few), few))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "a claim needs at least 20 people" in result.describe()
