"""`kycquant compare`: two reports, and an exit code by policy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kycquant.cli import exits
from pytest_kycquant.context.cache import digest_of
from pytest_kycquant.plain import plain
from pytest_kycquant.report.document import Report
from pytest_kycquant.report.json_report import report_of
from tests.cli.conftest import Kycquant
from tests.report.test_json_report import collected


def written(path: Path, report: Report) -> Path:
    values = plain(report)
    del values["digest"]
    path.write_text(json.dumps(values | {"digest": digest_of(values)}), encoding="utf-8")
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return written(tmp_path / "old.json", report_of(collected()))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    report = report_of(collected())
    gates = tuple(replace(gate, ship=None) for gate in report.gates)
    return written(tmp_path / "new.json", replace(report, gates=gates))


def test_nothing_differs(kycquant: Kycquant, old: Path) -> None:
    assert kycquant("compare", old, old)[:2] == (exits.DONE, "nothing differs beyond noise\n")


def test_what_got_worse(kycquant: Kycquant, old: Path, new: Path) -> None:
    code, shown, _ = kycquant("compare", old, new)
    assert code == exits.NEGATIVE
    assert shown.splitlines() == [
        "test_b.py::TestIt",
        "  - ships: int8>mixed -> nothing (worse)",
        "1 worse",
    ]
    assert kycquant("compare", new, old)[0] == exits.DONE
    code, shown, _ = kycquant("compare", old, new, "--json")
    assert code == exits.NEGATIVE
    assert json.loads(shown)[0]["kind"] == "worse"


def test_policies(kycquant: Kycquant, tmp_path: Path, old: Path, new: Path) -> None:
    assert kycquant("compare", old, new, "--fail-on", "verdict")[0] == exits.NEGATIVE
    assert kycquant("compare", old, new, "--fail-on", "never")[0] == exits.DONE
    report = report_of(collected())
    row = report.gates[0].variants[1]
    far = row.gates["far"]
    (check,) = far.checks
    worse = replace(far, checks=(replace(check, value=0.95, lower=0.9, upper=0.99),))
    rows = (report.gates[0].variants[0], replace(row, gates={"far": worse}))
    risen = written(
        tmp_path / "risen.json",
        replace(report, gates=(replace(report.gates[0], variants=rows),)),
    )
    assert kycquant("compare", old, risen)[0] == exits.NEGATIVE
    assert kycquant("compare", old, risen, "--fail-on", "verdict")[0] == exits.DONE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file"),
        ("{", "is not a report: "),
        ("[]", "is not a report; write it with pytest --kycquant-report"),
        ('{"schema": 7, "gates": []}', "has schema 7, and this version reads 8"),
        ("edited", "was edited: its digest is that of other values"),
    ],
)
def test_what_is_no_report(
    kycquant: Kycquant, tmp_path: Path, old: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "other.json"
    if content == "edited":
        path.write_text(old.read_text().replace('"FAIL"', '"PASS"'))
    elif content is not None:
        path.write_text(content)
    for pair in ((old, path), (path, old)):
        code, shown, error = kycquant("compare", *pair)
        assert (code, shown) == (exits.NEGATIVE, "")
        assert f"other.json: {message}" in error
        assert len(error.splitlines()) == 1
