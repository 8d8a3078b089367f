"""``pytest --fixtures`` and ``--help`` are the reference manual."""

import pytest


def test_fixtures(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--fixtures", "-v")
    text = result.stdout.str()
    for fixture, example in (
        ("golden", "--kycquant-update-golden"),
        ("candidate", "assert candidate.size < 0.6 * golden.size"),
        ("quantize", 'quantize(Recipe("mixed", keep_fp32=("first",)))'),
    ):
        assert f"\n{fixture} -- " in text
        assert example in text


def test_help(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest_inprocess("--help").stdout.str()
    for name in (
        "cache",
        "golden",
        "update-golden",
        "accept-preprocessing",
        "strict",
        "inconclusive",
        "report",
        "export",
        "threads",
        "search-budget",
        "profile",
        "exact",
    ):
        assert f"--kycquant-{name}" in text
        if name not in ("update-golden", "accept-preprocessing"):
            assert f"kycquant_{name.replace('-', '_')} (" in text
    assert "kycquant_update_golden" not in text  # accepting a change is not a permanent setting
