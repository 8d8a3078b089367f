"""Unite the JSON reports of the parts of a run into the report of one run.

The parts are shards (pytest --kycquant-shard=I/N), or jobs that each ran some
of the gate files or tests; --of says then how many. All findings are judged
again. A part that is missing, doubled, edited or of another commit is never a
pass. The exit code is 0 if the verdict is PASS or WAIVED.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from . import output
from .exits import DONE, NEGATIVE, UsageError

if TYPE_CHECKING:
    from ..report.document import GateEntry, Report
    from ..report.merging import Given


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "reports", nargs="+", type=Path, metavar="REPORT", help="JSON reports, or folders of them"
    )
    parser.add_argument(
        "-o",
        "--out",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="write the united report, in the format that its name ends with: .json",
    )
    parser.add_argument(
        "--of", type=int, metavar="N", help="number of reports, if they are not shards"
    )
    parser.add_argument("--json", action="store_true", help="print the united report as JSON")


def run(given: argparse.Namespace) -> int:
    """Unite the reports."""
    from ..report import refuse_target, render, write
    from ..report.json_report import report_of
    from ..report.merging import Given, united
    from ..report.reading import found_reports

    if given.of is not None and given.of < 1:
        raise UsageError("--of", f"{given.of} is not a number of reports", "give 1 or more")
    for path in given.out:
        refuse_target(path, "--out")
    reports, aside = found_reports(given.reports, given.out)
    parts = [Given(*one) for one in reports]
    whole = united(parts, given.of)
    for path in given.out:
        write(whole, path, "--out")
    report = report_of(whole)
    if given.json:
        print(render("json", whole), end="")
    else:
        _tell(report, parts)
        for path in aside:
            output.say(f"left aside, since it is not a report: {path}")
        for path in given.out:
            output.say(f"wrote {path}")
    return DONE if report.verdict in ("PASS", "WAIVED") else NEGATIVE


def _tell(report: Report, parts: list[Given]) -> None:
    from ..report.standing import lacking, standing_in

    shards = ", ".join(sorted(one.shard for one in parts if one.shard))
    number = output.counted(len(parts), "report")
    output.say(f"{report.verdict}: {number}{f' (shards {shards})' if shards else ''}")
    lacks = lacking(report)
    for gate in report.gates:
        ships = f"nothing ships yet: {gate.incomplete or lacks[0]}" if lacks else _ships(gate)
        output.point(f"{gate.gate}: {standing_in(report, gate)}, {ships}")
    for pipeline in report.pipelines:
        shown = pipeline.shipped.variants.items()
        ships = ", ".join(f"{stage} {one}" for stage, one in shown)
        if lacks:
            ships = f"nothing ships yet: {lacks[0]}"
        output.point(f"{pipeline.gate}: {standing_in(report, pipeline)}, {ships}")
        for line in pipeline.not_shipped:
            output.point(line, "!")
    for problem in report.problems:
        output.message(problem)
    for error in report.errors:
        output.message(f"{error.test}: {error.message}")
    machines = {one.environment for one in report.parts if one.environment is not None}
    if len(machines) > 1:
        output.say("judged on several machines, on which latency and INT8 may differ:")
        for part in report.parts:
            if part.environment is not None:
                machine = part.environment
                features = ", ".join(machine.features) or "no known vector features"
                output.point(f"{machine.cpu} ({features}): {', '.join(part.gates)}")


def _ships(gate: GateEntry) -> str:
    if gate.ship is not None:
        return f"{gate.ship} ships"
    if gate.incomplete:
        return f"nothing ships: {gate.incomplete}"
    return "nothing ships, not even FP32"
