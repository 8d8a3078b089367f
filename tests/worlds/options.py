"""Options as a run of pytest would read them."""

from __future__ import annotations

import pytest

from pytest_kycquant.plugin.options import make_settings, parse_options
from pytest_kycquant.spec.settings import Settings


def settings_of(pytester: pytest.Pytester, ini: str, *arguments: str) -> Settings:
    pytester.makeini(f"[pytest]\n{ini}\n")
    config = pytester.parseconfig(*arguments)
    return make_settings(parse_options(config), config, workers=1)
