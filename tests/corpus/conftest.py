"""The sound projects of the corpus, made once for all tests of a run."""

from __future__ import annotations

import pytest

from tests.corpus.worlds import Worlds


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Worlds:
    """The sound projects, which the workers of a run share; each passes, or this is an error."""
    base = tmp_path_factory.getbasetemp()
    is_worker = hasattr(request.config, "workerinput")
    return Worlds((base.parent if is_worker else base) / "worlds")
