"""How often does a variant fail on groups that it does not harm, and pass on groups that it harms?

Simulated people have three live captures each, and some are rejected more easily than others. A
variant rejects some people that FP32 accepts and accepts equally many others. On top of that it
raises BPCER by a part of the budget, in all groups or only in the first. With many groups, one may
fail by chance. Run with::

    python -m benchmarks.group_verdicts [--runs N]

The output is a Markdown table.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pytest_kycquant import LivenessLimits, Verdict
from pytest_kycquant.data.groups import Group
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.liveness import LIVE, LivenessSet
from pytest_kycquant.tasks.checks import group_checks
from pytest_kycquant.tasks.liveness.comparison import LivenessComparison
from pytest_kycquant.tasks.liveness.scores import Decisions

IMAGES = 3
BPCER = 0.02  # of FP32; the variant corrects half of these errors and makes equally many new ones
LIMITS = LivenessLimits()


def verdicts(
    groups: int, people: int, increases: list[float], runs: int
) -> Iterator[tuple[Verdict, list[Verdict]]]:
    """Judge a variant on other people in each run.

    Args:
        groups: number of groups.
        people: number of people in each group.
        increases: true increase of BPCER in each group.
        runs: number of runs.

    Yields:
        The verdict on all groups together, and the verdict on each group.
    """
    rng = np.random.default_rng(0)
    subjects = np.arange(groups * people).repeat(IMAGES)
    group = np.arange(groups).repeat(people * IMAGES)
    images = ImageSet.from_array(np.zeros((len(subjects), 1, 1, 3), np.uint8), Path("simulated"))
    names = tuple(map(str, range(groups * people)))
    live = np.full(len(subjects), LIVE)
    captures = LivenessSet(images, live, (), subjects, names)
    members = tuple(Group(f"group {i}", group == i) for i in range(groups))
    newly = (np.array(increases) + BPCER / 2) / (1 - BPCER)

    def of_people(mean: np.ndarray) -> np.ndarray:
        """Draw which captures are affected; each person has a probability of its own."""
        own = rng.beta(0.5, 0.5 * (1 - mean) / mean)[subjects]
        return rng.random(len(subjects)) < own

    for _ in range(runs):
        wrong = of_people(np.full(groups * people, BPCER))
        worse = of_people(newly.repeat(people))
        better = rng.random(len(subjects)) < 0.5
        after = np.where(wrong, ~better, worse)
        fp32, variant = (
            Decisions(np.where(away, 0.1, 0.9), captures, 0.5) for away in (wrong, after)
        )
        finite = np.ones(len(subjects), np.bool_)
        found = LivenessComparison(fp32, variant, LIMITS, finite, (), members).groups()
        (check,) = group_checks(found)
        yield check.verdict, [one.check.verdict for one in found]


def row(name: str, groups: int, people: int, increases: list[float], runs: int) -> str:
    """Shares of the verdicts on all groups together, and how often a single group fails."""
    counts: Counter[Verdict] = Counter()
    failed = 0
    for verdict, each in verdicts(groups, people, increases, runs):
        counts[verdict] += 1
        failed += each.count(Verdict.FAIL)
    shares = [counts[v] / runs for v in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)]
    cells = [f"{100 * share:.1f} %" for share in (*shares, failed / runs / groups)]
    return f"| {name} | {groups} x {people} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="for each line (default 1000)")
    runs = parser.parse_args().runs
    budget = LIMITS.group_bpcer_degradation
    print(
        "| true increase | groups x people | PASS | INCONCLUSIVE | FAIL | one group: FAIL |\n"
        "|---|---|---|---|---|---|"
    )
    for part, words in ((0.0, "none"), (0.5, "half of the budget"), (1.0, "the budget")):
        for groups, people in ((1, 300), (8, 100), (8, 200), (8, 300)):
            print(row(words, groups, people, [part * budget] * groups, runs), flush=True)
    for part, words in ((1.0, "the budget, in one group"), (3.0, "three budgets, in one group")):
        for people in (100, 300):
            increases = [part * budget, *[0.0] * 7]
            print(row(words, 8, people, increases, runs), flush=True)


if __name__ == "__main__":
    main()
