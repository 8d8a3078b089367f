"""More people choose a laxer threshold, at which FRR is lower: plans for FRR know that."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.errors import DataError
from pytest_kycquant.spec.limits import FaceLimits
from pytest_kycquant.statistics import subjects_to_decide
from pytest_kycquant.tasks.face.comparison import FaceComparison
from pytest_kycquant.tasks.face.embeddings import FaceBaseline
from pytest_kycquant.tasks.face.laxer import people_for_frr
from pytest_kycquant.tasks.face.scores import select_threshold
from pytest_kycquant.tasks.outputs import Outputs
from pytest_kycquant.verdicts import Verdict

LIMIT = FaceLimits()["frr"]
FAR = 0.0005
FIRST = 90


def population(people: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four photographs of each person, and who they show; six in a hundred people are hard."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 1, 24))
    noise = np.where(rng.random((people, 1, 1)) < 0.06, 0.6, 0.4)
    values = centres + noise * rng.normal(size=(people, 4, 24))
    unit = values / np.linalg.norm(values, axis=2, keepdims=True)
    return unit.reshape(-1, 24).astype(np.float32), np.repeat(np.arange(people), 4)


def baseline(values: np.ndarray, subjects: np.ndarray, people: int) -> FaceBaseline:
    """FP32 on the first people, who choose the threshold."""
    members = subjects < people
    pairs, mine = Comparisons(subjects[members]), values[members]
    threshold = select_threshold(mine, pairs, FAR)
    outputs = Outputs(mine, np.ones(len(mine), np.bool_))
    names = tuple(map(str, range(len(mine))))
    return FaceBaseline(outputs, pairs, threshold, names, chosen_for=FAR)


def verdict(known: FaceBaseline) -> Verdict:
    found = known.cell.rate(genuine=True)
    return LIMIT.judge(found.lower, found.upper)


def test_the_number_is_that_which_decides() -> None:
    asked, plain, needed = [], [], []
    for seed in range(12):
        values, subjects = population(400, seed)
        try:
            known = baseline(values, subjects, FIRST)
        except DataError:  # too few for any threshold
            continue
        found = people_for_frr(known, known.cell, LIMIT, FAR)
        if verdict(known) is not Verdict.INCONCLUSIVE or found is None:
            continue
        more = range(FIRST, 400, 5)
        decided = (
            n for n in more if verdict(baseline(values, subjects, n)) is not Verdict.INCONCLUSIVE
        )
        asked.append(found.people)
        needed.append(next(decided, 400))
        plain.append(subjects_to_decide(known.cell.rate(genuine=True), LIMIT) or 4000)
    assert len(asked) >= 6
    assert 0.75 <= np.median(asked) / np.median(needed) <= 1.25, (asked, needed, plain)
    assert np.median(plain) > np.median(asked)


def test_the_gate_says_that_number() -> None:
    for seed in range(12):
        values, subjects = population(FIRST, seed)
        try:
            known = baseline(values, subjects, FIRST)
        except DataError:
            continue
        itself = FaceComparison(known, known.embeddings, FaceLimits())
        (check,) = (c for gate in itself.accuracy() for c in gate.checks if c.name == "FRR")
        if check.verdict is not Verdict.INCONCLUSIVE:
            continue
        found = people_for_frr(known, known.cell, LIMIT, FAR)
        assert found is not None
        assert f"about {found.people:,} identities would decide" in check.describe()
        return
    pytest.fail("every seed was decided")
