"""A few killed runs; many more: ``python -m tests.corpus.kills``."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from tests.corpus.kills import BROKEN, CONTROLLER, GROUP, LEFT, OTHER, WORKER, Kill, Killer, drawn
from tests.corpus.worlds import Worlds


@pytest.fixture(scope="session")
def killer(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> Killer:
    """One precision instead of two, the quickest."""
    return Killer(worlds, tmp_path_factory.mktemp("clean") / "sandbox", '("fp16",)')


@pytest.mark.parametrize(
    "kill",
    [
        Kill(signal.SIGKILL, GROUP, 0.6),
        Kill(signal.SIGKILL, WORKER, 0.4),
        Kill(signal.SIGTERM, CONTROLLER, 0.8, records=True),
    ],
    ids=str,
)
def test_the_next_run_gives_the_verdicts_of_a_clean_one(
    kill: Kill, killer: Killer, tmp_path: Path
) -> None:
    assert killer.survive(kill, tmp_path / "sandbox") == []


def test_what_is_wrong_after_a_kill_is_reported(
    killer: Killer, tmp_path: Path, worlds: Worlds
) -> None:
    """A run whose report, cache and folder are as none should be."""
    trial = worlds.copy("face", tmp_path / "sandbox")
    trial.report_file.write_text("{", encoding="utf-8")
    assert trial.cache is not None
    entry = next(trial.cache.glob("*/*/manifest.json")).parent
    (entry / "manifest.json").write_text(json.dumps({"manifest.json": "0" * 64}), encoding="utf-8")
    (trial.cache / "variant" / "partial-1").mkdir()
    found = {kind for kind, _ in killer._second(trial, 0)}
    assert found == {OTHER, BROKEN, LEFT}
    assert [kind for kind, _ in killer._second(trial, None)] == ["hangs"]


def test_moments_and_targets_are_drawn_from_a_seed() -> None:
    first, again, other = (list(drawn(random.Random(seed), 30, 5)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 40
    assert {kill.target for kill in first} == {GROUP, CONTROLLER, WORKER}
