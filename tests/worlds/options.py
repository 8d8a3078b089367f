"""Options as a run of pytest would read them."""

from __future__ import annotations

import pytest

from pytest_kycquant.plugin.options import read_settings
from pytest_kycquant.spec.settings import Settings


def settings_of(pytester: pytest.Pytester, ini: str, *arguments: str) -> Settings:
    pytester.makeini(f"[pytest]\n{ini}\n")
    return read_settings(pytester.parseconfig(*arguments), workers=1)
