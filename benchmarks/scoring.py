"""What does scoring all pairs cost, compared with the bare product of the same embeddings?

Every row is a process of its own that does both in turns. The bare product is computed in float32
by the same blocks, with one comparison with a threshold, for each pair once (the same pairs) and
for the full matrix (each pair twice). The other side is what the gates do with the scores. A ratio
is the median over the turns, in CPU time of the process. Run with::

    python -m benchmarks.scoring [--images N] [--dimensions D] [--threads T] [--turns N]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from tabulate import tabulate

from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.measure.memory import peak_bytes
from pytest_kycquant.runtimes.environment import describe_machine
from pytest_kycquant.statistics import RULE_OF_30
from pytest_kycquant.tasks.face.measures import normalise
from pytest_kycquant.tasks.face.pair_scores import Floats
from pytest_kycquant.tasks.face.scores import errors_at, extremes, select_threshold

ROWS = 256
SIGMAS = 3.09  # strangers' scores exceed the threshold in .1 % of the pairs
FAR = 0.0005
GOAL_RATIO, GOAL_MB = 1.5, 1000

Action = Callable[[Floats, Comparisons, float], object]


def bare(unit: Floats, threshold: float, *, once: bool) -> int:
    """The product and one comparison, for each pair once or for the full matrix."""
    accepted = 0
    for start in range(0, len(unit), ROWS):
        scores = unit[start : start + ROWS] @ unit[start if once else 0 :].T
        accepted += np.count_nonzero(scores >= np.float32(threshold))
    return accepted


ACTIONS: dict[str, Action] = {
    "errors at a threshold": lambda unit, pairs, t: errors_at(unit, unit, pairs, t),
    "extremes": lambda unit, pairs, t: extremes(unit, unit, pairs, RULE_OF_30),
    "choice of the threshold": lambda unit, pairs, t: select_threshold(unit, pairs, FAR),
}


def child(images: int, dimensions: int, each: int, action: str, turns: int) -> None:
    """Measure one row and print it."""
    rng = np.random.default_rng(0)
    subjects = np.arange(images) // each
    values = rng.normal(size=(subjects[-1] + 1, dimensions)).astype(np.float32)[subjects]
    values += rng.normal(size=values.shape).astype(np.float32)
    unit, pairs = normalise(values), Comparisons(subjects)
    del values
    threshold = SIGMAS / dimensions**0.5
    work: list[Callable[[], object]] = [
        lambda: bare(unit, threshold, once=True),
        lambda: bare(unit, threshold, once=False),
        lambda: ACTIONS[action](unit, pairs, threshold),
    ]
    spent = []
    for _ in range(turns):
        seconds = []
        for step in work:
            began = time.process_time()
            step()
            seconds.append(time.process_time() - began)
        spent.append(seconds)
    print(json.dumps([spent, peak_bytes()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1, help="threads of the product (default 1)")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        each, action = given.child
        child(given.images, given.dimensions, int(each), action, given.turns)
        return
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(given.threads))}
    table, missed = [], []
    for each in (2, 10):
        for action in ACTIONS:
            command = [sys.executable, "-m", "benchmarks.scoring", "--child", str(each), action]
            for option in ("images", "dimensions", "turns"):
                command += [f"--{option}", str(getattr(given, option))]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"{action}: {done.stderr.strip()}")
            spent, peak = json.loads(done.stdout.splitlines()[-1])
            once, full, ours = np.array(spent).T
            ratio = float(np.median(ours / once))
            memory = None if peak is None else peak / 1e6
            met = ratio <= GOAL_RATIO and (memory is None or memory < GOAL_MB)
            missed += [] if met else [action]
            seconds = [f"{np.median(part):.2f}" for part in (once, ours)]
            shown = "unknown" if memory is None else f"{memory:.0f}"
            other = f"{np.median(ours / full):.2f}"
            table.append([action, each, *seconds, f"{ratio:.2f}", other, shown])
    pairs = given.images * (given.images - 1) // 2
    print(f"{given.images:,} embeddings of {given.dimensions}: {pairs:,} pairs", end=", ")
    print(f"threads of the product: {given.threads}")
    print(f"{describe_machine()}, numpy {np.__version__}")
    headers = ["", "images a person", "product, CPU s", "ours, CPU s"]
    headers += ["ratio", "to the full matrix", "peak MB"]
    print(tabulate(table, headers=headers, tablefmt="github", disable_numparse=True))
    print(f"goals (ratio <= {GOAL_RATIO}, peak < {GOAL_MB} MB): {'missed' if missed else 'met'}")
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
