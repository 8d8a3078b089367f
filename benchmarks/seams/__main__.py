"""How do the gates of a pipeline judge faults between its stages?

The reference pipeline, in FP32, is given one fault at a time: a box that is off, a crop of another
model, drift of several stages at once. The gates judge it beside FP32 on the same applicants, with
labels and without. Run with::

    python -m benchmarks.seams [--faults TEXT ...] [--seeds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import shutil
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from models.rendering.applicants import PRESENTATIONS, selfie
from models.rendering.liveness import KINDS, LIVE
from models.rendering.sets import ensure, renderer_digest
from pytest_kycquant.bench.workspace import Workspace
from pytest_kycquant.context.progress import Progress
from pytest_kycquant.errors import EnvironmentWarning, QuantizationError
from pytest_kycquant.plain import plain
from pytest_kycquant.plugin.pipeline_gates import PipelineGates
from pytest_kycquant.runtimes.environment import describe_machine, environment
from pytest_kycquant.spec.pipeline import STAGES
from pytest_kycquant.spec.settings import Settings

from .altered import SEAM, SOUND, SUM, Fault
from .bank import seams, sound, sums
from .drift import BIAS, NOISE, Drift, Sized, sized
from .judging import Subject
from .table import Row, budgets, by_sum, cases, findings, summary

ROOT = Path(__file__).parents[2]
ATTACKED = 160  # people whom each species imitates


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def reference(folder: Path) -> Subject:
    """The reference pipeline.

    Args:
        folder: where to keep artefacts.
    """
    ensure(ROOT / "data", say=say)
    settings = Settings(
        cache=folder / "cache",
        golden=ROOT / "golden",
        update_golden=False,
        strict=True,
        inconclusive="fail",
        report=None,
        export=None,
        threads=2,
    )
    workspace = Workspace(settings, ROOT, f"seams-{uuid.uuid4().hex}", Progress(say))
    sys.path.insert(0, str(ROOT / "tests" / "gates"))
    cls: type[PipelineGates] = importlib.import_module("test_pipeline").TestPipeline
    more = with_attacks(ROOT / "data" / "applicants", folder / "applicants", ATTACKED)
    return Subject(cls, workspace, folder / "models", more)


def with_attacks(source: Path, target: Path, attacked: int) -> Path:
    """Add attacks to the reference applicants.

    With attacks on 100 people, the reference gates cannot decide whether more are let in than by
    FP32, not even for FP32 itself: 0 of 100 has an upper bound of 3 %, and the budget is 2 %.

    Args:
        source: the applicants.
        target: where to write them with more attacks, unless they are there.
        attacked: number of people whom each species imitates.

    Returns:
        The table of all.
    """
    table, stamp = target / "applicants.csv", f"{renderer_digest()} {attacked}"
    mark = target.with_name(f"{target.name}.stamp")
    if mark.exists() and mark.read_text(encoding="ascii") == stamp:
        return table
    say(f"rendering attacks on {attacked} people into {target}")
    mark.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    with table.open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))
    own = {row["person"]: row for row in rows if row["presentation"] == PRESENTATIONS[LIVE]}
    with table.open("a", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        for kind in (kind for kind in KINDS if kind != LIVE):
            for name in sorted(own)[:attacked]:
                shot = target / kind / f"{name}.jpg"
                if not shot.exists():
                    shot.write_bytes(selfie(kind, int(name.removeprefix("id"))))
                    place = f"{kind}/{shot.name}"
                    more = {"selfie": place, "presentation": PRESENTATIONS[kind]}
                    writer.writerow({**own[name], **more})
    mark.write_text(stamp, encoding="ascii")
    return table


def drifts(subject: Subject, seeds: int) -> Iterator[Sized]:
    """The drift of each stage that uses .8 of its own budget."""
    for stage in STAGES:
        judge = subject.judges[stage]
        live = getattr(judge.variants.model.task, "live_class", None) or 0
        for kind in (NOISE, BIAS):
            for seed in range(1 if kind == NOISE else seeds):
                found = sized(judge, Drift(stage, kind, seed, live=live))
                say(f"{stage}, {kind}, seed {seed}: {found.drift.size:.4f}, {found.most}")
                yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--faults", nargs="*", default=[], help="only faults that contain such a text"
    )
    parser.add_argument(
        "--seeds", type=int, default=4, help="seeds of drift that adds up; 0 for none (default 4)"
    )
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    given = parser.parse_args()
    warnings.simplefilter("ignore", EnvironmentWarning)  # goldens of another CPU
    began = time.monotonic()
    subject = reference(ROOT / "data" / "seams")
    sizes = list(drifts(subject, given.seeds)) if given.seeds > 0 else []
    known = {(each.drift.stage, each.drift.kind, each.drift.seed): each for each in sizes}
    bank: list[Fault] = [*sound(), *seams(subject), *sums(known, max(given.seeds, 0))]
    rows: list[Row] = []
    left_out: list[str] = []
    for fault in bank:
        if given.faults and not any(text in fault.title for text in given.faults):
            continue
        try:
            row = Row.of(fault.title, fault.kind, subject.judged(fault))
        except QuantizationError as error:  # a recipe that has nothing to do on a model
            left_out.append(f"{fault.title}: {error}")
            continue
        rows.append(row)
        spent = time.monotonic() - began
        say(f"{spent:5.0f} s {row.title}: {row.outcome} {row.gates}; {row.images} without labels")
    people, attempts = len(subject.applicants.names), len(subject.applicants.people)
    record: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": describe_machine(),
        "environment": plain(environment()),
        "people": people,
        "rows": [asdict(row) for row in rows],
    }
    if given.json:
        given.json.write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(
        f"{record['date']}, {record['machine']}; {people} applicants with {attempts} selfies, "
        f"{time.monotonic() - began:.0f} s.\n"
    )
    show(rows, sizes)
    for line in left_out:
        print(f"\nNot judged: {line}")


def show(rows: list[Row], sizes: list[Sized]) -> None:
    """Print the tables."""
    print(summary(rows))
    for kind, title in ((SEAM, "Faults of the seam"), (SOUND, "Sound changes")):
        print(f"\n**{title}**\n")
        print(cases(rows, kind))
    if any(row.kind == SUM for row in rows):
        print("\n**Faults of the sum**\n")
        print(budgets(sizes), "\n")
        print(by_sum(rows))
    for line in findings(rows):
        print(line)


if __name__ == "__main__":
    main()
