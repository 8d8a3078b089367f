"""What does not pass, at the line of the user's own gate class: for the views of a merge request.

pytest's location of an inherited test is a line of this plugin, which nobody has changed. So the
class or function is looked up in its file.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import printable
from ..results import GateResult
from ..spec.settings import Inconclusive
from ..verdicts import Verdict
from .records import Collected

Level = Literal["error", "warning", "notice"]
_SEVERITY = {"error": "blocker", "warning": "minor", "notice": "info"}  # GitLab's words


@dataclass(frozen=True)
class Annotation:
    """One thing that does not pass.

    Args:
        gate: node id of the gate, or of a file that could not be collected.
        what: what does not pass, such as "frr of int8".
        message: why, in one line.
        level: how bad it is.
    """

    gate: str
    what: str
    message: str
    level: Level

    @property
    def file(self) -> str:
        """The file, relative to pytest's rootdir, with slashes."""
        return self.gate.partition("::")[0]


def annotations_of(collected: Collected) -> list[Annotation]:
    """List what does not pass, once for each gate, variant and check."""
    found: dict[tuple[str, str], Annotation] = {}
    for gate in collected.gates:
        for shipment in gate.shipments.values():
            record = shipment.record
            for one in _of(gate.name, record.variant, record.gates, gate.inconclusive):
                found.setdefault((one.gate, one.what), one)
        for variant, why in gate.rejected.items():
            if not gate.variants[variant].ships:
                continue  # its gates say why
            one = Annotation(gate.name, variant, printable(f"does not ship: {why}"), "error")
            found.setdefault((one.gate, one.what), one)
    for name, pipeline in collected.pipelines.items():
        policy = collected.policies.get(name, "fail")
        for one in _of(name, "the shipped pipeline", pipeline.gates, policy):
            found.setdefault((one.gate, one.what), one)
    for name, problem in collected.broken.items():
        found[name, ""] = Annotation(name, "not judged", printable(problem), "error")
    for file in collected.outcomes.uncollected:
        found[file, ""] = Annotation(file, "not collected", "see the log of the run", "error")
    return [found[key] for key in sorted(found)]


def github(collected: Collected) -> Iterator[str]:
    """Yield a workflow command of GitHub Actions for each; see `annotations_of`."""
    for one in annotations_of(collected):
        place = f"file={_property(one.file)},line={line_of(collected.root, one.gate)}"
        title = _property(f"{one.gate.rpartition('::')[2]}: {one.what}")
        yield f"::{one.level} {place},title={title}::{_escaped(one.message)}"


def render(collected: Collected, *, verbose: bool = False) -> str:
    """The same as GitLab reads its code quality; `verbose` makes no difference."""
    entries = [
        {
            "description": f"{one.gate.rpartition('::')[2]}: {one.what}: {one.message}",
            "check_name": f"kycquant {one.what}",
            # The same finding has the same name in another run, whatever its figures are.
            "fingerprint": hashlib.sha256(f"{one.gate} {one.what}".encode()).hexdigest(),
            "severity": _SEVERITY[one.level],
            "location": {"path": one.file, "lines": {"begin": line_of(collected.root, one.gate)}},
        }
        for one in annotations_of(collected)
    ]
    return json.dumps(entries, indent=2) + "\n"


def line_of(root: Path, gate: str) -> int:
    """The line on which a gate class or function is defined; 1 if that is not known.

    Args:
        root: pytest's rootdir.
        gate: its node id.
    """
    file, *names = gate.split("::")
    try:
        body = ast.parse((root / file).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return 1
    line = 1
    for name in names:
        wanted = name.partition("[")[0]
        for node in body:
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if node.name == wanted:
                line, body = node.lineno, node.body
                break
        else:
            break
    return line


def _of(
    gate: str, variant: str, results: Mapping[str, GateResult], policy: Inconclusive
) -> Iterator[Annotation]:
    for result in results.values():
        level: Level = "error"
        if result.verdict is Verdict.PASS:
            continue
        if result.verdict is Verdict.WAIVED:
            level = "notice"
        elif result.ships or (result.verdict is Verdict.INCONCLUSIVE and policy != "fail"):
            level = "warning"
        yield Annotation(
            gate, f"{result.gate} of {variant}", result.worst_check().describe(), level
        )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
