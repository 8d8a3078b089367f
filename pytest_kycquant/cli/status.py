"""Say whether exported models are still what their evidence says.

The exported file, the FP32 model, the golden, the images, the limits of the
gate file, waivers and this machine are compared with the evidence. Gate files
are run to find models and images, as pytest runs them. The exit code is 0 only
if everything fits.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import output
from .exits import DONE, NEGATIVE

if TYPE_CHECKING:
    from .fitness import Fit

_MARKS = {"fits": "+", "changed": "-", "gone": "-", "unknown": "?"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="FOLDER",
        help="the folder that pytest exported to (default: the current one)",
    )  # fmt: skip
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="pytest's rootdir (default: where the gate file is)",
    )
    parser.add_argument(
        "--golden", type=Path, metavar="DIR", help="folder of goldens (default: golden in the root)"
    )
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


@dataclass(frozen=True)
class Status:
    """One exported model, for ``--json``.

    Args:
        model: its name.
        gate: node id of its gate.
        variant: the variant that ships; None if none does.
        fits: whether everything fits.
        answers: what was compared.
    """

    model: str
    gate: str
    variant: str | None
    fits: bool
    answers: tuple[Fit, ...]


def run(given: argparse.Namespace) -> int:
    """Compare everything."""
    from .exported import exported_in
    from .fitness import Place, fitness

    models, problems, notes = exported_in(given.folder)
    place = Place(given.root, given.golden)
    found = []
    for one in models:
        answers = tuple(fitness(one, place))
        fits = all(answer.state == "fits" for answer in answers)
        evidence = one.evidence
        found.append(Status(evidence.model, evidence.gate, evidence.found.ship, fits, answers))
    if given.json:
        output.as_json({"models": found, "problems": problems, "notes": notes})
    else:
        for status in found:
            _tell(status)
        for problem in problems:
            output.point(problem, "!")
        for note in notes:
            output.point(note)
    return DONE if all(status.fits for status in found) and not problems else NEGATIVE


def _tell(status: Status) -> None:
    output.say(f"{status.model}, {status.variant or 'nothing'} ships ({status.gate})")
    for one in status.answers:
        detail = f", {one.detail}" if one.detail else ""
        todo = f"; {one.remedy}" if one.remedy else ""
        told = f"{one.what}: {one.state}{detail}{todo}"
        output.point(told, _MARKS[one.state], whole=one.command)
