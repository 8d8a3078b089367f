"""Goldens are refused in CI, and its summary is written: these tests run there, too."""

from __future__ import annotations

import os

import pytest

from pytest_kycquant.bench.golden import CI_VARIABLES

_OF_CI = (
    *CI_VARIABLES,
    "GITHUB_STEP_SUMMARY",
    "GITHUB_ACTIONS",
)  # what these tests print is no result of a job


def leave_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what CI services set from the environment of this process."""
    for name in _OF_CI:
        monkeypatch.delenv(name, raising=False)


def environment_outside_ci() -> dict[str, str]:
    """The environment for another process, without what CI services set."""
    return {name: value for name, value in os.environ.items() if name not in _OF_CI}
