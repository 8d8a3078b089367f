"""What all tests share. What only tests of gate files need is in `tests/worlds/projects.py`."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """Give property tests no deadline: a busy machine is not a failure.

    The gates of this repository run without hypothesis, and with this file.
    """
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import settings

        settings.register_profile("any-machine", deadline=None)
        settings.load_profile("any-machine")


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.worlds.ci import leave_ci

    leave_ci(monkeypatch)


@pytest.fixture
def two_rewrites(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only these rewrites: tests that say what a model is rewritten to hold when others come."""
    from pytest_kycquant.spec.recipe import REWRITES

    for name in set(REWRITES) - {"subnormals", "prelu"}:
        monkeypatch.delitem(REWRITES, name)
