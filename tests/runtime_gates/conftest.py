"""The gates of other runtimes judge the same models on the same images as `tests/gates`."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.rendering.sets import ensure

HERE = Path(__file__).parent
FOREIGN = "default::pytest_kycquant.errors.KycquantWarning"


@pytest.fixture(scope="session", autouse=True)
def _images(pytestconfig: pytest.Config) -> None:
    """Render the evaluation images into `data/` unless they are there."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", flush=True)

    ensure(pytestconfig.rootpath / "data", say=say)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors in this repository's tests, except the one for another CPU's golden."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings(FOREIGN))
