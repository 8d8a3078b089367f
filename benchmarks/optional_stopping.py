"""What happens if a team collects people until the gate passes? Simulated rejections.

The true error rate lies exactly at the limit, so a PASS is wrong. A team that fixed the number of
people beforehand looks once. Another one looks again after every hundred people and stops at the
first PASS. A third one plans two looks, at half of the people and at all, each with half of the
error. Run with::

    python -m benchmarks.optional_stopping [--runs N]

The output is a Markdown table: how often each of them ships the model.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.statistics import Counts, clopper_pearson, rate, room_of, small_sample_floor

LIMIT = 0.05
EACH = 2  # captures of a person
STEP = 100


def _upper(errors: NDArray[np.int64], confidence: float) -> float:
    """The upper bound of the gates, or the same at another confidence."""
    counts = Counts(int(errors.sum()), len(errors) * EACH, errors, np.full(len(errors), EACH))
    floor = small_sample_floor(counts, None, per_subject=True)
    found = rate(counts, deff_floor=floor, room=room_of(counts, per_subject=True))
    if confidence == 0.95:
        return found.upper
    more = (found.errors + found.room - 1) / found.trials if found.errors >= 10 else found.value
    return clopper_pearson(min(more, 1.0) * found.n_eff, found.n_eff, confidence)[1]


def _passes(errors: NDArray[np.int64], confidence: float = 0.95) -> bool:
    return _upper(errors, confidence) < LIMIT


def shipped(most: int, runs: int, alike: bool) -> tuple[float, float, float]:
    """How often one look, many looks and two planned looks end in a PASS."""
    rng = np.random.default_rng(17)
    once = often = twice = 0
    for _ in range(runs):
        risk = LIMIT if alike else rng.beta(0.5, 9.5, most)
        errors = rng.binomial(EACH, risk, most)
        once += _passes(errors)
        often += any(_passes(errors[:n]) for n in range(STEP, most + 1, STEP))
        twice += _passes(errors[: most // 2], 0.975) or _passes(errors, 0.975)
    return once / runs, often / runs, twice / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=4000, help="for each line (default 4000)")
    runs = parser.parse_args().runs
    print("| people | one look | a look every 100 people | two planned looks |\n|---|---|---|---|")
    for alike, who in ((True, "alike"), (False, "who differ")):
        for most in (500, 1000, 2000):
            shares = " | ".join(f"{100 * one:.1f} %" for one in shipped(most, runs, alike))
            print(f"| {most:,} {who} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
