"""Which models can be gated from their file? Each by agreement, as a user's gate file does it.

The models of this repository, public ones in `KYCQUANT_REAL` (or `../shared/real`) where these are
present, what exporters write (made from seeds; those of torch if it is installed) and, with
`--models`, every model of a folder. Each is gated in a project of its own as FP16, 8-bit weights,
INT8 and dynamic INT8, and once ruined by noise. The truth is the error of the raw outputs of each
variant's file: a verdict is wrong if a ruined model passes, or one fails whose outputs are those
of FP32. Run with::

    python -m benchmarks.zoo [--only TEXT ...] [--models FOLDER --images FOLDER] [--keep FOLDER]

It exits with 1 if there is a wrong verdict or a traceback of ours.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from pytest_kycquant.runtimes.environment import describe_machine

from .case import DAMAGED, PRECISIONS, Case
from .exports import exports
from .judged import Cell, Judged, judge
from .others import others
from .public import public, reference
from .torch_exports import torch_exports


def cell(found: Cell | None) -> str:
    """Verdict, error and size of one variant."""
    if found is None:
        return ""
    if found.verdict == "ERROR":
        return "ERROR"
    return f"{found.verdict} {found.error:.3f} / {found.size:.2f}"


def table(judged: Sequence[Judged]) -> str:
    """One row for each model."""
    rows = [
        [
            one.case.name,
            *([cell(one.cells.get(name)) for name in (*PRECISIONS, DAMAGED)]),
            f"{one.seconds:.0f}",
        ]
        for one in judged
    ]
    return tabulate(rows, ["model", *PRECISIONS, DAMAGED, "s"], tablefmt="github")


def remarks(judged: Sequence[Judged]) -> list[str]:
    """How models are read, why variants do not pass, and what is wrong."""
    lines = []
    for one in judged:
        name = one.case.name
        if one.refused:
            lines.append(f"{name}: REFUSED: {one.refused}")
        if one.how:
            lines.append(f"{name}: {one.how}")
        for precision, found in one.cells.items():
            if found.reason and (precision != DAMAGED or found.verdict == "ERROR"):
                lines.append(f"{name} as {precision}: {found.reason}")
        lines += [f"WRONG VERDICT: {name} as {precision}" for precision in one.wrong]
        if one.traceback:
            lines.append(f"TRACEBACK: {name}")
    return lines


def main() -> None:
    """Judge all, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], help="models whose name holds a text")
    parser.add_argument("--models", type=Path, help="a folder of other models")
    parser.add_argument("--images", type=Path, help="images for these")
    parser.add_argument("--keep", type=Path, help="a folder that does not exist, for all projects")
    chosen = parser.parse_args()
    if (chosen.models is None) != (chosen.images is None):
        parser.error("give --models and --images together")
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        root = chosen.keep or Path(folder)
        cases = _cases(chosen.models, chosen.images, root / "models")
        wanted = [case for case in cases if any(text in case.name for text in chosen.only)]
        if not wanted:
            parser.error(f"no model is called so: {', '.join(case.name for case in cases)}")
        judged = []
        for number, case in enumerate(wanted, 1):
            judged.append(judge(case, root / f"{number:03}"))
            said = [f"{name} {cell(one)}" for name, one in judged[-1].cells.items()]
            line = f"{number} of {len(wanted)}, {case.name}: {', '.join(said) or 'refused'}"
            print(line, file=sys.stderr, flush=True)
    print(table(judged), *remarks(judged), sep="\n")
    wrong = sum(len(one.wrong) for one in judged)
    tracebacks = sum(one.traceback for one in judged)
    refused = sum(bool(one.refused) for one in judged)
    errors = sum(len(one.errors) for one in judged)
    print(
        f"{len(judged)} models, {refused} refused; {errors} variants were errors; {wrong} wrong "
        f"verdicts, {tracebacks} tracebacks"
    )
    sys.exit(bool(wrong or tracebacks))


def _cases(models: Path | None, images: Path | None, made: Path) -> list[Case]:
    if models is not None and images is not None:
        return others(models, images)
    made.mkdir(parents=True)
    return [*public(), *reference(), *exports(made), *torch_exports(made)]


if __name__ == "__main__":
    main()
