"""One bad input: how a sound project is damaged, and what must happen then."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.corpus.judge import OTHER, Expect, Finding, judge
from tests.corpus.outcome import Outcome
from tests.corpus.runner import run
from tests.corpus.trial import Trial, survey
from tests.corpus.worlds import Worlds


@dataclass(frozen=True)
class Case:
    """One bad input.

    Args:
        name: identifies it; with a seed, the input is the same on every machine.
        world: the sound project.
        damage: makes it bad. What it draws from the trial's `rng` depends on seed and name.
        expect: what must happen.
        slow: whether it takes more than a few seconds, so that it is left out of the tests.
    """

    name: str
    world: str
    damage: Callable[[Trial], object]
    expect: Expect
    slow: bool = False


@dataclass(frozen=True)
class Result:
    """What happened with a case."""

    name: str
    findings: tuple[Finding, ...]
    outcome: Outcome


def attempt(case: Case, worlds: Worlds, seed: int) -> Result:
    """Damage a fresh copy, run it and judge what happened."""
    folder = Path(tempfile.mkdtemp(prefix="kycquant-corpus-"))
    try:
        folder.chmod(0o755)
        trial = worlds.copy(case.world, folder / "sandbox", f"{seed}/{case.name}")
        try:
            case.damage(trial)
        except Exception as error:
            problem = f"this input could not be made: {type(error).__name__}: {error}"
            return Result(case.name, (Finding(OTHER, problem),), Outcome(0, ""))
        before = survey(trial)
        outcome = run(trial)
        after = survey(trial)
        sound = worlds.sound(case.world)
        findings = judge(case.expect, trial, outcome, before, after, sound)
    finally:
        _remove(folder)
    return Result(case.name, tuple(findings), outcome)


def _remove(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
