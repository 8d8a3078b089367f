"""Goldens of an earlier schema: read as long as they still say what they said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.bench.golden import SCHEMA, Golden, load, save
from pytest_kycquant.bench.golden_check import check_current, check_reproduced
from pytest_kycquant.context.cache import digest_of
from pytest_kycquant.errors import GoldenError
from pytest_kycquant.plain import plain
from tests.worlds.goldens import COMMAND, FIGURES, GOLDEN, HERE, INPUTS, MODEL, RATES


def second(path: Path, rates: dict[str, Any] = RATES, **inputs: Any) -> Golden:
    """A golden of schema 2, whose bounds follow from another rule, written and read."""
    old = {
        name: {k: v for k, v in rate.items() if k not in ("room", "deff_many")} | {"upper": 0.002}
        for name, rate in rates.items()
    }
    golden = replace(GOLDEN, rates=old, inputs={**INPUTS, **inputs})
    values = {**plain(golden), "schema": 2}
    path.write_text(json.dumps({**values, "checksum": digest_of(values)}))
    return load(path, COMMAND)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "face.json"


def test_is_read_and_its_counts_are_compared(path: Path) -> None:
    golden = second(path)
    check_reproduced(golden, RATES, HERE, path, COMMAND, FIGURES)
    for field, value in (("errors", 13), ("trials", 10_001), ("subjects", 199)):
        other = {"FAR": RATES["FAR"] | {field: value}}
        with pytest.raises(GoldenError, match="accept it with"):
            check_reproduced(golden, other, HERE, path, COMMAND, FIGURES)


def test_has_no_fields_of_the_new_one(path: Path) -> None:
    values = {**plain(GOLDEN), "schema": 2}
    path.write_text(json.dumps({**values, "checksum": digest_of(values)}))
    with pytest.raises(GoldenError, match="unknown in rate 'FAR': deff_many, room"):
        load(path, COMMAND)


def test_the_new_one_needs_its_fields(path: Path) -> None:
    second(path)
    values = json.loads(path.read_text()) | {"schema": SCHEMA}
    del values["checksum"]
    path.write_text(json.dumps({**values, "checksum": digest_of(values)}))
    with pytest.raises(GoldenError, match="missing in rate 'FAR': deff_many, room"):
        load(path, COMMAND)


def test_says_that_half_of_the_people_had_not_been_judged(path: Path) -> None:
    golden = second(path, evaluation="half", selection="other half")
    now = {**INPUTS, "evaluation": "all", "selection": None}
    with pytest.raises(GoldenError, match=r"evaluation, selection changed .*selection=0\.5 keeps"):
        check_current(golden, MODEL, now, path, COMMAND)


def test_says_nothing_of_it_where_other_people_are_given(path: Path) -> None:
    golden = second(path, evaluation="some", selection="others")
    now = {**INPUTS, "evaluation": "fewer", "selection": "others"}
    with pytest.raises(GoldenError, match="evaluation changed") as caught:
        check_current(golden, MODEL, now, path, COMMAND)
    assert "schema 2" not in str(caught.value)


def test_is_recorded_in_the_new_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    second(path)
    save(GOLDEN, path)
    assert json.loads(path.read_text())["schema"] == SCHEMA
    assert load(path, COMMAND) == GOLDEN
