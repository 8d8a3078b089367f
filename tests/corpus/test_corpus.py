"""A share of the corpus of bad inputs; all of it: ``python -m tests.corpus``."""

from __future__ import annotations

import pytest

from tests.corpus.case import Case, attempt
from tests.corpus.catalogue import share
from tests.corpus.worlds import Worlds

SEED = 1


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Worlds:
    """The sound projects, which the workers of a run share; each passes, or this is an error."""
    base = tmp_path_factory.getbasetemp()
    is_worker = hasattr(request.config, "workerinput")
    return Worlds((base.parent if is_worker else base) / "worlds")


@pytest.mark.parametrize("case", share(SEED), ids=lambda case: case.name)
def test_what_must_happen_happens(case: Case, worlds: Worlds) -> None:
    result = attempt(case, worlds, SEED)
    assert not result.findings, result.outcome.text
