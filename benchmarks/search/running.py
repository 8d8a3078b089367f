"""Runs a competitor in a process of its own, since it may crash, hang or exit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .job import MODEL, RESULT

ROOT = Path(__file__).resolve().parents[2]
LOG = "log.txt"


@dataclass(frozen=True)
class Outcome:
    """The result of a competitor.

    Args:
        problem: why there is no model, or "".
        model: the file that the competitor made; None if there is a problem.
        facts: what the competitor reports about itself: time, evaluations and more.
    """

    problem: str = ""
    model: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def run(command: Sequence[str], folder: Path, limit: float) -> Outcome:
    """Run a competitor on a folder with a job.

    Args:
        command: the command, to which the folder is appended.
        folder: the folder that `job.write_job` wrote; the competitor's output goes there, too.
        limit: time limit in seconds of wall clock, including imports.
    """
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [*command, str(folder)],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return Outcome(f"stopped: it ran past {limit:g} s")
        finally:
            _end(process)
    if code != 0:
        return Outcome(f"crashed ({code}): {_last_line(folder / LOG)}")
    if not (folder / RESULT).is_file():
        return Outcome("ended without a result")
    facts = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    problem = facts.pop("problem", "")
    if problem:
        return Outcome(problem, None, facts)
    if not (folder / MODEL).is_file():
        return Outcome("ended without a model", None, facts)
    return Outcome("", folder / MODEL, facts)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all processes that it started."""
    with contextlib.suppress(ProcessLookupError):  # all have ended already
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [" ".join(line.split()) for line in lines if line.strip()]
    return said[-1][:200] if said else "it said nothing"
