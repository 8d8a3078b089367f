"""What the tests of caches share."""

import pytest

from tests.worlds.caches import DIGEST


@pytest.fixture
def same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing the package for every new folder takes a second."""
    monkeypatch.setattr("pytest_kycquant.context.cache.code_digest", lambda known: DIGEST)
