"""List the models that pytest --kycquant-export wrote into a folder.

Each is named with its variant, size, verdict, date, and the pipelines that it
was judged in. The exit code is 1 if a file is missing or changed, or if
evidence cannot be read; kycquant status looks at everything else.
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
        verdict: the worst verdict of its gates; None if none ships.
        written: when it was exported, UTC.
        commit: the commit that was judged, if it is known.
        files: what became of each exported file: "fits", "changed" or "gone".
        pipelines: verdicts of the pipelines that it was judged in, by node id.
    """

    model: str
    gate: str
    variant: str | None
    size_bytes: int | None
    verdict: str | None
    written: str
    commit: str | None
    files: dict[str, str]
    pipelines: dict[str, str]


def run(given: argparse.Namespace) -> int:
    """List the models."""
    from .exported import exported_in

    models, problems = exported_in(given.folder)
    found = [_listed(one) for one in models]
    if given.json:
        output.as_json({"models": found, "problems": problems})
    else:
        _tell(found, problems)
    whole = all(state == "fits" for one in found for state in one.files.values())
    return DONE if whole and not problems else NEGATIVE


def _listed(one: Exported) -> Listed:
    evidence, ship = one.evidence, one.shipped
    commit = evidence.provenance.commit
    return Listed(
        model=evidence.model,
        gate=evidence.gate,
        variant=evidence.found.ship,
        size_bytes=ship.size if ship else None,
        verdict=ship.verdict if ship else None,
        written=evidence.written,
        commit=commit.sha if commit else None,
        files={path.as_posix(): state for path, state in one.files.items()},
        pipelines={pipeline.gate: pipeline.verdict for pipeline in evidence.pipelines},
    )


def _tell(found: list[Listed], problems: list[str]) -> None:
    if found:
        headers = ("model", "variant", "size", "verdict", "date", "commit", "files")
        output.table(headers, map(_row, found))
    for one in found:
        for path, state in one.files.items():
            if state != "fits":
                what = "is not the file that was judged" if state == "changed" else "is gone"
                output.point(f"{path} {what}", "!")
        for pipeline, verdict in one.pipelines.items():
            output.point(f"{one.model} was judged in {pipeline}: {verdict}")
    for problem in problems:
        output.point(problem, "!")


def _row(one: Listed) -> tuple[str, ...]:
    files = ", ".join(Path(path).name for path in one.files)
    return (
        one.model,
        one.variant or "none",
        "-" if one.size_bytes is None else output.megabytes(one.size_bytes),
        one.verdict or "nothing ships",
        one.written[:10],
        (one.commit or "unknown")[:8],
        files or ("FP32 stays where it is" if one.variant == "fp32" else "-"),
    )
