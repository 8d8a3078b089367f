"""`docs/internals.md` says through which functions a verdict comes about: it does."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.statistics import Rate
from pytest_kycquant.verdicts import Check, Limit
from tests.worlds.population import Run

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pytest_kycquant"
STEP = re.compile(r"^\d+\. `([\w/]+\.py)` `(\w+)`:", re.MULTILINE)


def test_far_from_the_fixture_to_the_comparison(
    project: Callable[..., None], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, stacks = Limit.check, []

    def traced(limit: Limit, name: str, figure: Rate, *args: str, **others: object) -> Check:
        if name == "FAR":
            frames = [(Path(f.filename), f.name) for f in traceback.extract_stack()[:-1]]
            stacks.append(
                [(str(p.relative_to(PACKAGE)), n) for p, n in frames if PACKAGE in p.parents]
            )
        return check(limit, name, figure, *args, **others)  # type: ignore[arg-type]

    project(precisions='"int8"')
    monkeypatch.setattr(Limit, "check", traced)
    run().assert_outcomes(passed=6)
    documented = STEP.findall((ROOT / "docs" / "internals.md").read_text(encoding="utf-8"))
    assert documented.pop() == ("verdicts.py", "check")
    assert documented in stacks
