"""`kycquant plan`: what numbers of people, or the data of a gate file, can decide."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_kycquant.cli import exits
from tests.cli.conftest import Kycquant
from tests.worlds.population import write_project


def test_enough_people(kycquant: Kycquant) -> None:
    code, shown, _ = kycquant("plan", "face", "--people", 300)
    assert code == exits.DONE
    assert shown.startswith("face: 300 people with 2 images each\n")
    assert "FAR, FRR, the increase of FAR, the increase of FRR" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("family", ["face", "liveness", "detector"])
def test_too_few_people_and_how_many_would_do(kycquant: Kycquant, family: str) -> None:
    code, shown, _ = kycquant("plan", family, "--people", 15, "--json")
    assert code == exits.NEGATIVE
    (found,) = json.loads(shown)
    assert not found["decides"]
    assert "any claim needs at least 20" in found["outlook"]["cannot"][0]
    (number, *_) = re.findall(r"about ([\d,]+)", found["outlook"]["plan"])
    people = int(number.replace(",", ""))
    assert people > 15
    assert kycquant("plan", family, "--people", people)[0] == exits.DONE


def test_every_species_counts(kycquant: Kycquant) -> None:
    _, shown, _ = kycquant("plan", "liveness", "--people", 200, "--species", 3, "--json")
    can = json.loads(shown)[0]["outlook"]["can"]
    assert [name for name in can if name.startswith("APCER")] == [
        "APCER species 1", "APCER species 2", "APCER species 3",
    ]  # fmt: skip


def test_stricter_limits_take_more_people(kycquant: Kycquant) -> None:
    words = ("plan", "face", "--people", 60)
    looser = ("far=0.05", "far_degradation=0.05", "frr=0.3", "frr_degradation=0.3")
    options = [word for limit in looser for word in ("--limit", limit)]
    assert kycquant(*words, *options)[0] == exits.DONE
    assert kycquant(*words)[0] == exits.NEGATIVE
    assert kycquant("plan", "face", "--people", 300, "--profile", "nist63a4")[0] == exits.NEGATIVE


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("face",), exits.USAGE, "--people: is missing"),
        (("gate.py", "--people", 3), exits.USAGE, "numbers belong to a kind of model"),
        (("gate.py",), exits.NEGATIVE, "is neither a gate file nor a kind of model"),
        (("face", "--people", 300, "--limit", "fra=1"), exits.NEGATIVE, "did you mean 'far'?"),
        (("face", "--people", 0), exits.USAGE, "'0' is not a whole number"),
        (("face", "--people", 9, "--limit", "far"), exits.USAGE, "'far' is not NAME=VALUE"),
    ],
)
def test_bad_input(kycquant: Kycquant, words: tuple[object, ...], code: int, text: str) -> None:
    found, _, error = kycquant("plan", *words)
    assert found == code
    assert text in error


def test_the_data_of_a_gate_file(kycquant: Kycquant, tmp_path: Path) -> None:
    gate = write_project(tmp_path / "project", identities=330)
    code, shown, _ = kycquant("plan", gate)
    assert code == exits.DONE
    assert "330 identities" in shown
    write_project(tmp_path / "project", identities=25)
    code, shown, _ = kycquant("plan", gate)
    assert code == exits.NEGATIVE
    assert "may not:" in shown or "cannot:" in shown


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import nowhere", "cannot be imported (ModuleNotFoundError: No module named 'nowhere')"),
        ("x = 1", "has no class with a model"),
        ("from pytest_kycquant import FaceVerification\nFaceVerification()", "FaceVerification"),
    ],
)
def test_a_gate_file_that_is_none(
    kycquant: Kycquant, tmp_path: Path, text: str, error: str
) -> None:
    (tmp_path / "test_gate.py").write_text(text)
    code, _, shown = kycquant("plan", "test_gate.py")
    assert code == exits.NEGATIVE
    assert error in shown
    assert shown.count("\n") == 1


def test_a_gate_file_imports_its_neighbours_and_leaves_nothing(
    kycquant: Kycquant, tmp_path: Path
) -> None:
    import sys

    gate = write_project(tmp_path, identities=330)
    (tmp_path / "kycquant_neighbour.py").write_text("SELECTION = 'selection.npz'\n")
    text = gate.read_text().replace('"selection.npz"', "SELECTION")
    gate.write_text(f"from kycquant_neighbour import SELECTION\n{text}")
    before = list(sys.path)
    assert kycquant("plan", "test_gate.py")[0] == exits.DONE
    assert sys.path == before
    assert "_kycquant_gate_test_gate" not in sys.modules
    del sys.modules["kycquant_neighbour"]
