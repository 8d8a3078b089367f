"""A short run of the simulation of groups: many of them do not fail a harmless variant."""

from collections import Counter

from benchmarks.group_verdicts import LIMITS, verdicts
from pytest_kycquant import Verdict

BUDGET = LIMITS.group_bpcer_degradation


def counted(people: int, increases: list[float], runs: int = 30) -> Counter[Verdict]:
    return Counter(verdict for verdict, _ in verdicts(8, people, increases, runs))


def test_what_harms_nobody_never_fails_and_passes_with_enough_people() -> None:
    assert counted(300, [0.0] * 8) == {Verdict.PASS: 30}
    assert counted(100, [0.0] * 8) == {Verdict.INCONCLUSIVE: 30}


def test_harm_to_one_group_of_eight_hardly_passes_and_much_of_it_fails() -> None:
    others = [0.0] * 7
    assert counted(250, [BUDGET, *others])[Verdict.PASS] <= 3
    assert counted(250, [3 * BUDGET, *others]) == {Verdict.FAIL: 30}
