"""Compare two JSON reports: what got better or worse beyond noise.

A figure counts as changed if its intervals in the two reports do not overlap.
A looser limit, a gate that is no longer judged and a worse verdict count, too.
The exit code is 1 if something got worse, as --fail-on says.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from . import output
from .exits import DONE, NEGATIVE

if TYPE_CHECKING:
    from ..report.changes import Change

_MARKS = {"worse": "-", "better": "+", "changed": "~"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("old", type=Path, metavar="OLD.json", help="the report to compare with")
    parser.add_argument("new", type=Path, metavar="NEW.json", help="the later report")
    parser.add_argument(
        "--fail-on",
        choices=("worse", "verdict", "never"),
        default="worse",
        help="end with 1 if anything got worse (default), only if a verdict or what ships did, "
        "or never",
    )
    parser.add_argument("--json", action="store_true", help="print the changes as JSON")


def run(given: argparse.Namespace) -> int:
    """Compare the reports."""
    from ..report.changes import changes
    from ..report.reading import read_report

    found = changes(read_report(given.old), read_report(given.new))
    if given.json:
        output.as_json(found)
    else:
        _tell(found)
    worse = [one for one in found if one.kind == "worse"]
    if given.fail_on == "verdict":
        worse = [one for one in worse if one.decides]
    return NEGATIVE if worse and given.fail_on != "never" else DONE


def _tell(found: list[Change]) -> None:
    if not found:
        output.say("nothing differs beyond noise")
        return
    gate = None
    for one in found:
        if one.gate != gate:
            gate = one.gate
            output.say(one.gate or "the whole run")
        what = f"{one.variant}, {one.what}" if one.variant else one.what
        output.point(f"{what}: {one.old} -> {one.new} ({one.kind})", _MARKS[one.kind])
    counts = (
        f"{sum(one.kind == kind for one in found):,} {kind}"
        for kind in _MARKS
        if any(one.kind == kind for one in found)
    )
    output.say(", ".join(counts))
