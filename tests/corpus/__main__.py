"""Try every bad input of the corpus, and count what went wrong. Run with::

    python -m tests.corpus [--kinds model crafted] [--seed 1] [--workers 2] [--json FILE]

A line is printed for everything that went wrong. The exit status is 1 unless there was nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from pytest_kycquant.runtimes.environment import describe_machine
from tests.corpus.case import Result, attempt
from tests.corpus.catalogue import KINDS, cases_of
from tests.corpus.judge import KINDS as WRONG
from tests.corpus.judge import Finding
from tests.corpus.worlds import Worlds

_REPEATED = 3  # cases for which the same finding is printed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=tuple(KINDS))
    parser.add_argument("--cases", nargs="+", default=[""], help="parts of names of cases")
    parser.add_argument("--most", type=int, metavar="N", help="N cases of each kind, by chance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--show", action="store_true", help="print what each run said")
    given = parser.parse_args()
    cases = []
    for kind in given.kinds:
        asked = [
            c for c in cases_of(kind, given.seed) if any(part in c.name for part in given.cases)
        ]
        most = len(asked) if given.most is None else min(given.most, len(asked))
        cases += random.Random(f"{given.seed}/most").sample(asked, most)
    began = time.monotonic()
    results: list[Result] = []
    repeated: Counter[Finding] = Counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.workers) as pool:
        worlds = Worlds(Path(folder))
        for name in sorted({case.world for case in cases}):
            worlds.sound(name)
        for result in pool.map(lambda case: attempt(case, worlds, given.seed), cases):
            results.append(result)
            for finding in result.findings:
                repeated[finding] += 1
                if repeated[finding] <= _REPEATED:
                    print(f"{result.name}: {finding.kind}: {finding.what}", flush=True)
            if given.show:
                print(f"--- {result.name}, {result.outcome.seconds:.1f} s\n{result.outcome.text}")
    for finding, count in repeated.items():
        if count > _REPEATED:
            print(f"{count} cases: {finding.kind}: {finding.what}")
    print(f"{date.today()}, seed {given.seed}, {describe_machine()}")
    print(_summary(results, time.monotonic() - began))
    if given.json is not None:
        given.json.write_text(json.dumps([_plain(one) for one in results], indent=1) + "\n")
    raise SystemExit(any(one.findings for one in results))


def _summary(results: list[Result], seconds: float) -> str:
    """Each case counts once for each kind of finding."""
    counts = Counter(kind for one in results for kind in {f.kind for f in one.findings})
    clean = sum(not one.findings for one in results)
    wrong = ", ".join(f"{counts[kind]} {kind}" for kind in WRONG)
    return f"tried {len(results)}, {clean} as they must be; {wrong}; {seconds:.0f} s"


def _plain(result: Result) -> dict[str, object]:
    return {
        "name": result.name,
        "findings": [{"kind": found.kind, "what": found.what} for found in result.findings],
        "status": result.outcome.status,
        "seconds": round(result.outcome.seconds, 2),
        "errors": [message[:2_000] for message in result.outcome.errors],
    }


if __name__ == "__main__":
    main()
