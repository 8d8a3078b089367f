"""Ini values have types: in files that know them, and in those that know text only."""

from __future__ import annotations

import pytest

from pytest_kycquant.plugin.options import make_settings, parse_options
from pytest_kycquant.spec.settings import Settings

NATIVE = pytest.version_tuple >= (9,)
TABLES = ["tool.pytest.ini_options", *(["tool.pytest"] if NATIVE else [])]


def settings_in(pytester: pytest.Pytester, table: str, lines: str) -> Settings:
    pytester.makepyprojecttoml(f"[{table}]\n{lines}\n")
    config = pytester.parseconfig()
    return make_settings(parse_options(config), config, workers=1)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("strict", [True, False])
def test_native_types(pytester: pytest.Pytester, table: str, *, strict: bool) -> None:
    lines = f"""
        kycquant_strict = {str(strict).lower()}
        kycquant_threads = 3
        kycquant_search_budget = 5
        kycquant_golden = "baselines"
        kycquant_inconclusive = "warn"
    """
    found = settings_in(pytester, table, lines)
    assert (found.strict, found.threads, found.search_budget) == (strict, 3, 5)
    assert (found.golden, found.inconclusive) == (pytester.path / "baselines", "warn")


def test_texts_where_a_file_knows_no_types(pytester: pytest.Pytester) -> None:
    lines = 'kycquant_strict = "yes"\nkycquant_threads = "3"'
    found = settings_in(pytester, "tool.pytest.ini_options", lines)
    assert (found.strict, found.threads) == (True, 3)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("strict", '"maybe"', "write true or false, without quotes"),
        ("strict", "3", "write true or false, without quotes"),
        ("strict", "[true]", "write true or false, without quotes"),
        ("threads", '"two"', ""),
        ("threads", "1.5", ""),
        ("threads", "-1", "give 1, 2, ..."),
        ("threads", "[1, 2]", ""),
        ("golden", '["a", "b"]', 'write one text in quotes, "..."'),
    ],
)
@pytest.mark.filterwarnings("ignore:Passing a value that is not a string")
def test_wrong_types(
    pytester: pytest.Pytester, table: str, name: str, value: str, wanted: str
) -> None:
    pytester.makepyprojecttoml(f"[{table}]\nkycquant_{name} = {value}\n")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: ini option kycquant_{name}: *; *{wanted}"])
    assert len(result.stderr.str().strip().splitlines()) == 1


@pytest.mark.skipif(not NATIVE, reason="pytest reads native types since 9")
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("strict", '"true"', "expects a bool, got str: 'true'; write true or false, without *"),
        ("threads", "true", "expects an int, got bool: True; write a whole number, such as 4, *"),
        ("golden", "3", "expects a string, got int: 3; write one text in quotes, *"),
    ],
)
def test_what_native_types_tell_apart(
    pytester: pytest.Pytester, name: str, value: str, message: str
) -> None:
    pytester.makepyprojecttoml(f"[tool.pytest]\nkycquant_{name} = {value}\n")
    result = pytester.runpytest_inprocess()
    result.stderr.fnmatch_lines([f"ERROR: ini option kycquant_{name}: {message}"])
