"""What the gates of this repository's own models share, on whichever runtime they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.rendering.sets import ensure

FOREIGN = "default::pytest_kycquant.errors.KycquantWarning"


@pytest.fixture(scope="session", autouse=True)
def rendered_images(pytestconfig: pytest.Config) -> None:
    """Render the evaluation images into `data/` unless they are there.

    The gates of this repository run on rendered images; a user's data simply lies in a folder.
    """
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", flush=True)

    ensure(pytestconfig.rootpath / "data", say=say)


def accept_foreign_golden(items: list[pytest.Item], folder: Path) -> None:
    """Warnings are errors in this repository's tests, except the one for another CPU's golden."""
    for item in items:
        if item.path.is_relative_to(folder):
            item.add_marker(pytest.mark.filterwarnings(FOREIGN))
