from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.reference_gates import accept_foreign_golden, rendered_images  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    accept_foreign_golden(items, Path(__file__).parent)
