"""Runs that are killed at random moments: does the next one give the verdicts of a clean run?

Every run is cold and has two workers of pytest-xdist. SIGKILL hits the whole process group, the
controller or one worker; SIGINT and SIGTERM hit the group or the controller. A second run on the
same cache follows each. Besides, pairs of runs share one cold cache at the same time. Run with::

    python -m tests.corpus.kills [--kills 100] [--interrupts 20] [--pairs 20] [--seed 1]

The exit status is 1 if a run hangs, gives other verdicts than a clean one, leaves something behind,
destroys something, or uses an entry of the cache that is not whole.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.repeat import comparable
from pytest_kycquant.runtimes.environment import describe_machine
from tests.corpus.runner import command, environment
from tests.corpus.trial import Trial, survey
from tests.corpus.worlds import Worlds

GROUP, CONTROLLER, WORKER = "process group", "controller", "one worker"
HANG, OTHER, LEFT, DESTROYED, BROKEN, ORPHANS = COUNTED = (
    "hangs",
    "other verdicts",
    "leftovers",
    "things destroyed",
    "broken entries",
    "orphans",
)
_PATIENCE = 90.0  # seconds that a run may take
_GRACE = 30.0  # seconds in which what was killed must have ended
# What a report says about the run and not about the model. Which of the variants that pass is the
# best one depends on their latency.
_OF_THE_RUN = ("built", "reused", "worker", "artefacts", "/ship")


@dataclass(frozen=True)
class Kill:
    """One signal.

    Args:
        signal: the signal.
        target: what it hits.
        moment: when, as a share of the time of a clean run.
        records: whether the run that is killed records its golden.
    """

    signal: signal.Signals
    target: str
    moment: float
    records: bool = False

    def __str__(self) -> str:
        what = " that records its golden" if self.records else ""
        return f"{self.signal.name} to the {self.target} of a run{what} at {self.moment:.0%}"


def drawn(rng: random.Random, kills: int, interrupts: int) -> Iterator[Kill]:
    """Signals at random moments."""
    for _ in range(kills):
        target = rng.choice((GROUP, GROUP, CONTROLLER, WORKER))
        yield Kill(signal.SIGKILL, target, rng.random(), rng.random() < 0.25)
    for which in (signal.SIGINT, signal.SIGTERM):
        for _ in range(interrupts):
            yield Kill(which, rng.choice((GROUP, CONTROLLER)), rng.random(), rng.random() < 0.25)


class Killer:
    """Kills runs of one project, whose clean run is made first.

    `hits` counts the runs that had not ended when the signal came.

    Args:
        worlds: the sound projects.
        folder: where the clean run is kept.
        precisions: what is built, as in a gate file.
    """

    def __init__(self, worlds: Worlds, folder: Path, precisions: str = '("fp16", "int8")') -> None:
        self._worlds = worlds
        self._precisions = precisions
        trial = self._fresh(folder)
        began = time.monotonic()
        with _start(trial, trial.report_file) as process:
            status = _end(process)
        self.seconds = time.monotonic() - began
        self.hits = 0
        self.clean = verdicts(trial.report_file)
        assert status == 0, f"the clean run ends with {status}"
        assert self.clean, "the clean run left no report"

    def survive(self, kill: Kill, root: Path) -> list[tuple[str, str]]:
        """Kill a run, run again, and return what was wrong: its kind, and what it was."""
        trial = self._fresh(root)
        before = survey(trial)
        first = replace(trial, arguments=[*trial.arguments])
        if kill.records:
            first.arguments.append("--kycquant-update-golden")
        with _start(first, root / "killed.json") as process:
            began = time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                process.wait(kill.moment * self.seconds)
            if process.poll() is None:
                self.hits += 1
                _hit(process, kill)
            else:  # runs are quicker than the clean one was
                self.seconds = min(self.seconds, time.monotonic() - began)
            found = list(_ended(process))
        if (root / "killed.json").exists():  # written whole, or not at all
            json.loads((root / "killed.json").read_text(encoding="utf-8"))
            (root / "killed.json").unlink()
        with _start(trial, trial.report_file) as process:
            status = _end(process)
        found += self._second(trial, status)
        golden = {"project/golden/face.json"} if kill.records else set()
        found += _compared(before, survey(trial), golden | {"report.json"})
        return found

    def share(self, root: Path) -> list[tuple[str, str]]:
        """Two runs at the same time on one cold cache."""
        trial = self._fresh(root)
        before = survey(trial)
        reports = (root / "one.json", root / "other.json")
        found = []
        with _start(trial, reports[0]) as one, _start(trial, reports[1]) as other:
            states = [_end(one), _end(other)]
        for report, status in zip(reports, states, strict=True):
            found += self._second(replace(trial, root=root), status, report)
        found += _compared(before, survey(trial), {"one.json", "other.json"})
        return found

    def _fresh(self, root: Path) -> Trial:
        trial = self._worlds.copy("face", root)
        assert trial.cache is not None
        shutil.rmtree(trial.cache)
        trial.edit("test_gate.py", '("int8",)', self._precisions)
        trial.arguments += ["-n", "2"]
        return trial

    def _second(
        self, trial: Trial, status: int | None, report: Path | None = None
    ) -> Iterator[tuple[str, str]]:
        """What is wrong about a run that was not killed."""
        if status is None:
            yield HANG, f"the next run was stopped after {_PATIENCE:g} s"
            return
        found = verdicts(report or trial.report_file)
        if status != 0 or found != self.clean:
            differ = [key for key in self.clean if found.get(key) != self.clean[key]]
            yield OTHER, f"exit status {status}, differs in {differ[:3]}"
        assert trial.cache is not None
        for path in sorted(trial.root.rglob("*")):
            if path.name.startswith("partial-") or path.name.endswith(".partial"):
                yield LEFT, str(path.relative_to(trial.root))
        for manifest in sorted(trial.cache.glob("*/*/manifest.json")):
            if not _whole(manifest):
                yield BROKEN, str(manifest.parent.relative_to(trial.root))


def verdicts(report: Path) -> dict[str, Any]:
    """Everything that a report says about models, except times."""
    try:
        values = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {
        place: value
        for place, value in comparable(values)
        if place.startswith("gates/") and not any(part in place for part in _OF_THE_RUN)
    }


def _start(trial: Trial, report: Path) -> subprocess.Popen[bytes]:
    words = command(replace(trial, report=False))
    return subprocess.Popen(
        [*words, f"--kycquant-report={report}"],
        cwd=trial.project,
        env=environment(trial),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes], patience: float = _PATIENCE) -> int | None:
    """Exit status of a run; None if it had to be killed."""
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def _hit(process: subprocess.Popen[bytes], kill: Kill) -> None:
    with suppress(ProcessLookupError):  # it may have ended
        if kill.target == GROUP:
            os.killpg(process.pid, kill.signal)
        elif kill.target == WORKER and (workers := _children(process.pid)):
            os.kill(workers[int(kill.moment * 1e6) % len(workers)], kill.signal)
        else:
            process.send_signal(kill.signal)


def _children(pid: int) -> list[int]:
    """The processes that a process started; Linux only."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


def _ended(process: subprocess.Popen[bytes]) -> Iterator[tuple[str, str]]:
    """Wait for everything that was started; what stays is killed."""
    # The other worker goes on, so this is as long as a run.
    if _end(process) is None:
        yield HANG, f"the run did not end within {_PATIENCE:g} s of the signal"
    until = time.monotonic() + _GRACE
    with suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        yield ORPHANS, f"processes stayed for {_GRACE:g} s"


def _whole(manifest: Path) -> bool:
    import hashlib

    digests = json.loads(manifest.read_text(encoding="utf-8"))
    return all(
        hashlib.sha256((manifest.parent / name).read_bytes()).hexdigest() == digest
        for name, digest in digests.items()
    )


def _compared(before: Any, after: Any, allowed: set[str]) -> Iterator[tuple[str, str]]:
    changed = {path for path in {*before, *after} - allowed if before.get(path) != after.get(path)}
    for path in sorted(changed):
        if os.path.dirname(path) not in changed and not path.startswith("home"):
            yield (DESTROYED if path in before else LEFT), path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--interrupts", type=int, default=20, help="of SIGINT, and of SIGTERM")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=1)
    given = parser.parse_args()
    # A shell may start jobs that ignore it, and runs would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    counts: Counter[str] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(given.at_once) as pool:
        folder = Path(name)
        killer = Killer(Worlds(folder / "worlds"), folder / "clean")
        print(f"{date.today()}, seed {given.seed}, {describe_machine()}")
        print(f"a clean cold run with two workers takes {killer.seconds:.1f} s")
        kills = list(drawn(random.Random(given.seed), given.kills, given.interrupts))

        def one(index: int) -> tuple[str, list[tuple[str, str]]]:
            root = folder / str(index)
            if index < len(kills):
                found = str(kills[index]), killer.survive(kills[index], root)
            else:
                found = "two runs on one cache", killer.share(root)
            shutil.rmtree(root, ignore_errors=True)
            return found

        for what, found in pool.map(one, range(len(kills) + given.pairs)):
            bad += bool(found)
            counts.update({kind for kind, _ in found})
            for kind, detail in found:
                print(f"{what}: {kind}: {detail}", flush=True)
    shown = ", ".join(f"{counts[kind]} {kind}" for kind in COUNTED)
    print(
        f"{given.kills} SIGKILL, {given.interrupts} SIGINT, {given.interrupts} SIGTERM, "
        f"{killer.hits} of them while the run lasted; {given.pairs} pairs: "
        f"{bad} with a problem; {shown}"
    )
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
