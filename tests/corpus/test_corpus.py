"""A share of the corpus of bad inputs; all of it: ``python -m tests.corpus``."""

from __future__ import annotations

import pytest

from tests.corpus.case import Case, attempt
from tests.corpus.catalogue import share
from tests.corpus.worlds import Worlds

SEED = 1


@pytest.mark.parametrize("case", share(SEED), ids=lambda case: case.name)
def test_what_must_happen_happens(case: Case, worlds: Worlds) -> None:
    result = attempt(case, worlds, SEED)
    assert not result.findings, result.outcome.text
