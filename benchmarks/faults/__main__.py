"""How do gates judge models, data and goldens with realistic damage?

Each model of this repository is quantized by a recipe that passes, damaged in many ways, and judged
by the gates of users. Whether a damage is harmful is decided on people that no gate sees. Prints
sensitivity, specificity, missed faults and false alarms. Run with::

    python -m benchmarks.faults [--models NAME ...] [--faults TEXT ...] [--people N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from pytest_kycquant.errors import EnvironmentWarning, KycquantError
from pytest_kycquant.plain import plain
from pytest_kycquant.runtimes.environment import describe_machine, environment

from . import project
from .bank import Case, cases
from .images import MOST
from .judging import BORDERLINE, Verdicts
from .subjects import SUBJECTS, Laboratory, present
from .table import Row, alarms_by_check, by_fault, findings, summary

PROJECT = "project"
MORE = (1, 4)  # people for gates that ask for more, in multiples of those who decide the truth


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def rows_of(lab: Laboratory, wanted: list[str], latency: bool) -> Iterator[Row]:
    """Every case of a model, judged by its gates and by the truth.

    One place of every fault comes first, so that even an interrupted run covers all faults.
    """
    seen: Counter[str] = Counter()
    turns: list[tuple[int, Case]] = []
    for case in cases(lab):
        turns.append((seen[case.fault], case))
        seen[case.fault] += 1
    for _, case in sorted(turns, key=lambda turn: turn[0]):
        if not wanted or any(text in f"{case.fault} {case.where}" for text in wanted):
            yield judged(lab, case, latency)


def judged(lab: Laboratory, case: Case, latency: bool) -> Row:
    name = lab.subject.name
    try:
        variant = case.make()
    except KycquantError as error:  # the recipe fails, and users would see this error
        return Row(name, case.fault, case.where, case.control, "harmful", "", "ERROR",
                   (type(error).__name__,), (str(error),))  # fmt: skip
    found = lab.judge.verdicts(variant, latency=latency)
    truth = lab.court.truth(variant, suspect=found.outcome in ("FAIL", "ERROR"))
    with_more, people = "", 0  # gates that ask for more get it, unless the truth is unknown, too
    if found.outcome == "INCONCLUSIVE" and truth.kind != BORDERLINE:
        with_more, people = lab.court.appeal(variant, [lab.people * times for times in MORE])
    return Row(
        name,
        case.fault,
        case.where,
        case.control,
        truth.kind,
        truth.reason,
        found.outcome,
        *_objections(found),
        usage=truth.usage if truth.errors else None,
        drift=truth.drift,
        with_more=with_more,
        more_people=people,
    )


def _objections(found: Verdicts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The gates that object, and their checks, failures first."""
    if found.error:
        return ("error",), (found.error,)
    objections = sorted(found.objections, key=lambda each: each[1].verdict.value != "FAIL")
    lines = tuple(check.describe() for _, check in objections)
    gates = tuple(dict.fromkeys(gate for gate, _ in objections))
    return gates, lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*SUBJECTS, PROJECT]
    parser.add_argument("--models", nargs="*", choices=names, default=names)
    parser.add_argument(
        "--faults", nargs="*", default=[], help="only faults that contain such a text"
    )
    parser.add_argument(
        "--people",
        type=int,
        default=1200,
        help="people, or scenes, of the large set (default 1200)",
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="images in flight at a time (default 2)"
    )
    parser.add_argument("--latency", action="store_true", help="measure latency, too (slow)")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    parser.add_argument(
        "--tables", type=Path, nargs="+", help="files of earlier runs to print; judge nothing"
    )
    given = parser.parse_args()
    most = MOST // max(MORE)
    if not 0 < given.people <= most:
        parser.error(f"--people {given.people}: give 1 to {most}; there are no seeds for more")
    if given.tables:
        records = [json.loads(path.read_text(encoding="utf-8")) for path in given.tables]
        show(records[0], [Row.from_dict(each) for found in records for each in found["rows"]])
        return
    warnings.simplefilter("ignore", EnvironmentWarning)  # goldens of another CPU
    record: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": describe_machine(),
        "environment": plain(environment()),
        "people": given.people,
        "latency": given.latency,
    }
    rows: list[Row] = []
    began = time.monotonic()
    for name in given.models:
        if name in SUBJECTS and not present(SUBJECTS[name]):
            say(f"{name}: not present (KYCQUANT_REAL names the folder of real models)")
            continue
        if name == PROJECT:
            found = project.rows(given.faults, say)
        else:
            lab = Laboratory(SUBJECTS[name], given.people, given.threads, say)
            found = rows_of(lab, given.faults, given.latency)
        for row in found:
            rows.append(row)
            spent = time.monotonic() - began
            say(f"{spent:5.0f} s {name}: {row.title}: {row.truth}, {row.outcome} {row.gates}")
            if given.json:  # after every row: a long run may be interrupted
                record["rows"] = [each.as_dict() for each in rows]
                given.json.write_text(json.dumps(record, indent=1), encoding="utf-8")
    show(record, rows)


def show(record: dict[str, Any], rows: list[Row]) -> None:
    """Print the tables."""
    measured = "" if record["latency"] else " Latency was not measured (--latency does)."
    print(
        f"{record['date']}, {record['machine']}; {record['people']} people and scenes decide "
        f"the truth.{measured}\n"
    )
    print(summary(rows), "\n")
    print(by_fault(rows), "\n")
    print(alarms_by_check(rows))
    for line in findings(rows):
        print(line)


if __name__ == "__main__":
    main()
