"""Which tool finds the better quantized model, and how fast? Ours and its peers in one run.

The models are those of `benchmarks.quantizer`: the ones of this repository, and real ones where
they are present. All competitors get the same calibration and search images and the same target, a
mean cosine to FP32 on the search images. They are judged here, on images that none of them has
seen. Each peer runs in its own virtual environment with pinned versions, which is made on demand.
Run with::

    python -m benchmarks.search [--models NAME ...] [--methods NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from pytest_kycquant.plain import plain
from pytest_kycquant.quantize import load_model, prepare
from pytest_kycquant.quantize.graph import serialize
from pytest_kycquant.runtimes.environment import describe_machine, environment

from .environments import METHODS, REQUIREMENTS, Method, UnavailableError, python_of
from .job import write_job
from .judging import Judge, Row
from .running import ROOT, Outcome, run
from .subjects import SUBJECTS, Sets, Subject, describe, present
from .table import legend, table

CALIBRATION, SEARCH, FEWEST = 100, 64, 32  # numbers of images; fewer where the images are large


def rows(
    subject: Subject, methods: list[Method], environments: Path, limit: float, work: Path
) -> Iterator[Row]:
    """FP32 itself, and each competitor in turn."""
    calibration, everyone, held_out = subject.sets()
    share = subject.spec.share
    most = subject.most or len(held_out.images.names)
    sets: Sets = (
        calibration.evenly(max(FEWEST, int(CALIBRATION * share))),
        everyone.evenly(max(FEWEST, int(SEARCH * share))),
        held_out.evenly(most),
    )
    say(f"{subject.case}: {describe(sets)}")
    judge = Judge(subject, sets[1], everyone, sets[2])
    images = work / "images.npz"
    arrays = [subject.tensors(part) for part in sets[:2]]
    np.savez(
        images,
        calibration=arrays[0],
        search=arrays[1],
        subjects=sets[1].subjects,
        wanted=judge.wanted,
    )
    loaded = load_model(subject.spec.model)
    prepared = work / "fp32.onnx"
    prepared.write_bytes(serialize(prepare(loaded, [x[None] for x in arrays[0][:4]]).proto))
    yield judge.row("FP32", Outcome(model=subject.spec.model))
    for number, method in enumerate(methods):
        folder = work / f"{number}"
        write_job(
            folder,
            images,
            subject.reading,
            method=method.name,
            original=str(subject.spec.model),
            prepared=str(prepared),
            input_name=loaded.input_name,
            target=subject.target,
        )
        try:
            python = python_of(method.environment, environments)
        except UnavailableError as error:
            outcome = Outcome(str(error))
        else:
            module = f"benchmarks.search.peers.{method.module}"
            outcome = run([python, "-m", module], folder, limit)
        yield judge.row(method.name, outcome)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [method.name for method in METHODS]
    parser.add_argument("--models", nargs="*", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--methods", nargs="*", choices=names, default=names)
    parser.add_argument("--limit", type=float, default=600, help="seconds for each (default 600)")
    parser.add_argument(
        "--environments",
        type=Path,
        default=ROOT / ".peers",
        help="folder of the peers' environments (default .peers, which git ignores)",
    )
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    given = parser.parse_args()
    methods = [method for method in METHODS if method.name in given.methods]
    absent = [name for name in given.models if not present(SUBJECTS[name])]
    record = {
        "date": date.today().isoformat(),
        "machine": describe_machine(),
        "environment": plain(environment()),
        "targets": {name: SUBJECTS[name].target for name in given.models},
        "limit_s": given.limit,
        "requirements": REQUIREMENTS,
        "absent": absent,
        "rows": [],
    }
    found: list[Row] = []
    for name in given.models:
        if name in absent:
            continue
        with tempfile.TemporaryDirectory() as work:
            for row in rows(SUBJECTS[name], methods, given.environments, given.limit, Path(work)):
                found.append(row)
                say(f"  {row.method}: {row.problem or row.figures['held_out']['mean']}")
                if given.json:  # after every row: a long run may be interrupted
                    record["rows"] = [each.as_dict() for each in found]
                    given.json.write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(legend(record["date"], record["machine"], given.limit))
    for name in given.models:
        print(f"\n**{name}**, target {SUBJECTS[name].target}\n")
        mine = [row for row in found if row.model == name]
        print(table(mine) if mine else "not present")


if __name__ == "__main__":
    main()
