"""Goldens are refused in CI, which is where these tests run, too."""

from __future__ import annotations

import os

import pytest

from pytest_kycquant.bench.golden import CI_VARIABLES


def leave_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what CI services set from the environment of this process."""
    for name in CI_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def environment_outside_ci() -> dict[str, str]:
    """The environment for another process, without what CI services set."""
    return {name: value for name, value in os.environ.items() if name not in CI_VARIABLES}
