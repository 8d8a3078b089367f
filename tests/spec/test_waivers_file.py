"""The file of waivers: what it may say, and one error for everything else."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pytest_kycquant.errors import SettingsError
from pytest_kycquant.results import GateResult, Waiver
from pytest_kycquant.spec.waivers import load_waivers, waive, waivers_of
from pytest_kycquant.verdicts import Check, Verdict

GOOD = """
[[waiver]]
gate = "tests/test_face.py::TestFace"
variant = "int8"
check = "frr"
reason = "the 60+ group is being mended"
ticket = "KYC-1"
expires = 2027-03-31
"""
TODAY = date(2027, 3, 31)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "waivers.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_fields(tmp_path: Path) -> None:
    (waiver,) = load_waivers(write(tmp_path, GOOD), TODAY)
    assert (waiver.gate, waiver.variant, waiver.check) == (
        "tests/test_face.py::TestFace", "int8", "frr",
    )  # fmt: skip
    assert (waiver.reason, waiver.ticket) == ("the 60+ group is being mended", "KYC-1")
    assert (waiver.expires, waiver.ship, waiver.expired) == ("2027-03-31", False, False)
    assert waiver.source.endswith("waivers.toml, waiver 1")


@pytest.mark.parametrize(("today", "expired"), [(TODAY, False), (date(2027, 4, 1), True)])
def test_the_last_day_counts(tmp_path: Path, today: date, *, expired: bool) -> None:
    (waiver,) = load_waivers(write(tmp_path, GOOD), today)
    assert waiver.expired is expired


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('reason = "the 60+ group is being mended"', "", "has no reason; write reason ="),
        ('ticket = "KYC-1"', "", "has no ticket; write ticket ="),
        ('"KYC-1"', '" "', "ticket is ' ', not a text"),
        ('"KYC-1"', "17", "ticket is 17, not a text"),
        ("expires = 2027-03-31", "", "has no expires; write expires = 2027-03-31"),
        ("2027-03-31", '"2027-03-31"', "expires is '2027-03-31', not a day"),
        ("2027-03-31", "2027-03-31T10:00:00", "not a day; write expires ="),
        ("[[waiver]]", "[[waivers]]", "'waivers' is unknown; did you mean 'waiver'"),
        ("[[waiver]]", "[waiver]", "waiver is not a list of tables; write [[waiver]]"),
        ('check = "frr"', 'chek = "frr"', "'chek' is unknown; did you mean 'check'"),
        ('"frr"', '"finite"', "waives finite: NaN and Inf cannot be waived; remove it"),
        ('"frr"', '"complete"', "waives complete: a pipeline that skips stages"),
        ('"int8"', '"int8"\nship = "yes"', "ship is 'yes', not true or false"),
        ('"int8"', "int8", "is not TOML ("),
        (GOOD, GOOD + GOOD, "waiver 2: waives the same as "),
    ],
)
def test_one_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(SettingsError) as raised:
        load_waivers(write(tmp_path, GOOD.replace(old, new)), TODAY)
    assert message in str(raised.value)
    assert "waivers.toml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"waivers\.toml: cannot be read"):
        load_waivers(tmp_path / "waivers.toml", TODAY)


def test_gates_are_named_by_node_id_or_class(tmp_path: Path) -> None:
    text = GOOD + GOOD.replace("tests/test_face.py::TestFace", "TestFace")
    both = load_waivers(write(tmp_path, text), TODAY)
    assert waivers_of(both, ["tests/test_face.py::TestFace"]) == both
    assert waivers_of(both, ["tests/other.py::TestFace"]) == both[1:]
    assert waivers_of(both, ["tests/test_face.py::TestFaces", "TestFac"]) == ()


@pytest.mark.parametrize("found", [Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE])
@pytest.mark.parametrize("ship", [True, False])
@pytest.mark.parametrize("expired", [True, False])
def test_what_a_waiver_does(found: Verdict, *, ship: bool, expired: bool) -> None:
    result = GateResult("frr", (Check("FRR", found),))
    waiver = Waiver("TestFace", "int8", "frr", "why", "KYC-1", "2027-03-31", ship, "w", expired)
    waived = waive(result, "int8", [waiver])
    holds = found is not Verdict.PASS and not expired
    assert waived.verdict is (Verdict.WAIVED if holds else found)
    assert waived.ships == (found is Verdict.PASS or (holds and ship))
    assert ("KYC-1" in waived.describe()) == (found is not Verdict.PASS)
    for variant, others in (("fp16", [waiver]), ("int8", [])):
        assert waive(result, variant, others) == result


def test_a_waiver_is_never_stricter() -> None:
    """An undecided latency does not block without a waiver, either."""
    result = GateResult("latency", (Check("latency", Verdict.INCONCLUSIVE),))
    waiver = Waiver("TestFace", "int8", "latency", "why", "KYC-1", "2027-03-31")
    assert result.ships
    assert waive(result, "int8", [waiver]).ships
