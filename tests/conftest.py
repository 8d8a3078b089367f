"""What all tests share. What only tests of gate files need is in `tests/worlds/projects.py`."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goldens are refused in CI, which is where these tests run, too."""
    monkeypatch.delenv("CI", raising=False)
