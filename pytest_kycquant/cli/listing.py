"""List the models that pytest --kycquant-export wrote into a folder.

Each is named with what ships, its size, the verdict of its gate in the run that
exported it, the date, and the pipelines that it was judged in. FP32 may ship
where the gate failed. Limits that are looser than the defaults are named. The
exit code is 1 if a file is missing or changed, or if evidence cannot be read;
kycquant status looks at everything else.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import output
from .exits import DONE, NEGATIVE

if TYPE_CHECKING:
    from .exported import Exported


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="FOLDER",
        help="the folder that pytest exported to (default: the current one)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the models as JSON")


@dataclass(frozen=True)
class Listed:
    """One exported model, for ``--json``.

    Args:
        model: its name.
        gate: node id of its gate.
        variant: the variant that ships; None if none does.
        size_bytes: its size, of all files together; None if none ships.
        verdict: the verdict of that variant alone; None if none ships.
        gate_verdict: the verdict of the gate in the run that exported it, whatever ships.
        looser: the limits that are looser than the defaults, each with the default; "" for none.
        written: when it was exported, UTC.
        commit: the commit that was judged, if it is known.
        changed: whether tracked files differed from that commit.
        files: what became of each exported file: "fits", "changed" or "gone".
        pipelines: verdicts of the pipelines that it was judged in, by node id.
    """

    model: str
    gate: str
    variant: str | None
    size_bytes: int | None
    verdict: str | None
    gate_verdict: str
    looser: str
    written: str
    commit: str | None
    changed: bool
    files: dict[str, str]
    pipelines: dict[str, str]


def run(given: argparse.Namespace) -> int:
    """List the models."""
    from .exported import exported_in

    models, problems, notes = exported_in(given.folder)
    found = [_listed(one) for one in models]
    if given.json:
        output.as_json({"models": found, "problems": problems, "notes": notes})
    else:
        _tell(found, problems)
        for note in notes:
            output.point(note)
    whole = all(state == "fits" for one in found for state in one.files.values())
    return DONE if whole and not problems else NEGATIVE


def _listed(one: Exported) -> Listed:
    from ..report.standing import standing
    from ..spec.profiles import looser_in

    evidence, ship = one.evidence, one.shipped
    commit = evidence.provenance.commit
    return Listed(
        model=evidence.model,
        gate=evidence.gate,
        variant=evidence.found.ship,
        size_bytes=ship.size if ship else None,
        verdict=ship.verdict if ship else None,
        gate_verdict=standing(evidence.found),
        looser=looser_in(evidence.found.profile_note),
        written=evidence.written,
        commit=commit.sha if commit else None,
        changed=commit is not None and commit.changed,
        files={path.as_posix(): state for path, state in one.files.items()},
        pipelines={pipeline.gate: pipeline.verdict for pipeline in evidence.pipelines},
    )


def _tell(found: list[Listed], problems: list[str]) -> None:
    if found:
        headers = ("model", "ships", "size", "gate verdict", "date", "commit")
        output.table(headers, map(_row, found))
    for one in found:
        for path, state in one.files.items():
            if state == "fits":
                output.point(f"{one.model}: {path}")
            else:
                what = "is not the file that was judged" if state == "changed" else "is gone"
                output.point(f"{path} {what}", "!")
        if one.variant == "fp32":
            output.point(f"{one.model}: FP32 stays where it is, nothing is copied")
        for pipeline, verdict in one.pipelines.items():
            output.point(f"{one.model} was judged in {pipeline}: {verdict}")
        if one.looser:
            output.point(f"{one.model}: limits looser than the defaults: {one.looser}")
    if any(one.changed for one in found):
        output.say(output.CHANGED)
    for problem in problems:
        output.point(problem, "!")


def _row(one: Listed) -> tuple[str, ...]:
    from ..report.run_entries import Commit

    return (
        one.model,
        one.variant or "nothing",
        "-" if one.size_bytes is None else output.megabytes(one.size_bytes),
        one.gate_verdict,
        one.written[:10],
        Commit(one.commit, one.changed).short if one.commit else "unknown",
    )
