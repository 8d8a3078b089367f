"""Commands are called in this process; the gates that `init` writes are run in a project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.cli.main import main
from tests.worlds.projects import rewrite_ratio, run, shared_cache  # noqa: F401

Kycquant = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kycquant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Kycquant:
    """Run a command in a folder of its own: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()  # what else has been printed
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call
