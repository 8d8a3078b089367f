"""Show a JSON report as one HTML page with plots, such as that of merged shards.

The page needs neither a network nor scripts; to make it takes the extra [html].
It shows no pictures of people; pytest --kycquant-html-images does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import output
from .exits import DONE


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("report", type=Path, metavar="REPORT.json", help="the report to show")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.html",
        help="the page (default: beside the report, with the same name)",
    )


def run(given: argparse.Namespace) -> int:
    """Write the page."""
    from ..files import from_here, write_whole
    from ..report import refuse_target
    from ..report.page import page, require
    from ..report.reading import read_report
    from ..spec.flags import HTML

    target = given.output or given.report.with_suffix(".html")
    require("kycquant html")
    refuse_target(target, HTML, "--output")
    text = page(read_report(given.report))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, text)
    output.say(f"wrote {from_here(target.absolute(), Path.cwd())}")
    return DONE
