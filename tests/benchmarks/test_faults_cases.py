"""Every case of the bank can be made and judged, in seconds, with a very small model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks.faults import __main__ as command
from benchmarks.faults import bank as bank_module
from benchmarks.faults import real, subjects
from benchmarks.faults.bank import Case, cases, three
from benchmarks.faults.subjects import REAL_FACES, Laboratory, Subject
from pytest_kycquant.runtimes.ort import open_session
from tests.worlds.ci import leave_ci
from tests.worlds.population import people, write_npz, write_project

# Half of so few calibration images are fewer than advised.
pytestmark = pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.CalibrationWarning")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """A laboratory whose model and people are those of a small project."""
    root = tmp_path_factory.mktemp("cases")
    gate = write_project(root)
    text = gate.read_text().replace('"calibration.npz"', '"calibration"')
    text = text.replace('selection="selection.npz"', "threshold=0.55")
    gate.write_text(text.replace('"int8"', 'Recipe("int8", rewrites=False)'))
    pixels, _ = people(60, 2, seed=1)
    (root / "calibration").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(root / "calibration" / f"{number:03d}.png")
    write_npz(root / "others.npz", 500, 2, seed=17)
    subject = Subject("tiny", str(gate), "TestFace", "int8", REAL_FACES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "ROOT", root)
        patch.setattr(subjects, "ensure", lambda *_, **__: None)
        patch.setattr(real, "linked", lambda _: root)
        patch.setattr(real, "OTHERS", "others.npz")
        leave_ci(patch)
        made = Laboratory(subject, 500, 1, lambda _: None)
        assert made.court
        # Record the golden first, so that the order of cases does not matter.
        assert made.judge.require_golden().threshold is not None
        return made


@pytest.fixture(scope="module")
def bank(lab: Laboratory) -> list[Case]:
    return list(cases(lab))


def test_all_faults_are_there(bank: list[Case]) -> None:
    assert len({(case.fault, case.where) for case in bank}) == len(bank) > 50
    controls = {case.fault for case in bank if case.control}
    assert {"undamaged", "built anew", "fp16", "int8-weights"} <= controls
    faults = {case.fault for case in bank} - controls
    assert {"calibration on noise", "U8S8 saturation", "older checkpoint (10 %)"} <= faults


def test_every_case_can_be_made(bank: list[Case]) -> None:
    digests = {}
    for case in bank:
        if case.fault in ("built anew", "fp32-optimized"):  # have tests of their own
            continue
        variant = case.make()
        open_session(variant.path)
        digests[case.fault, case.where] = variant.sha256
    undamaged = digests.pop(("undamaged", ""))
    same = [name for name, digest in digests.items() if digest == undamaged]
    assert same == []


def test_built_anew_is_the_same_bit_for_bit(lab: Laboratory) -> None:
    assert lab.built_anew().sha256 == lab.judge.variants.variant(lab.recipe).sha256


@pytest.mark.parametrize(
    ("fault", "truth", "outcome"),
    [
        ("undamaged", "harmless", "PASS"),
        ("fp16", "harmless", "PASS"),
        ("calibration on half of the images", "harmless", "PASS"),
        ("constant output", "harmful", "FAIL"),
        ("NaN in a scale of weights", "harmful", "FAIL"),
    ],
)
def test_rows(lab: Laboratory, bank: list[Case], fault: str, truth: str, outcome: str) -> None:
    case = next(case for case in bank if case.fault == fault)
    row = command.judged(lab, case, latency=False)
    assert (row.truth, row.outcome) == (truth, outcome), row
    assert bool(row.gates) == (outcome != "PASS")


def test_half_of_the_people_where_folders_name_them(lab: Laboratory, tmp_path: Path) -> None:
    source = tmp_path / "people"
    for name in ("ann", "bob", "cat", "dan"):
        (source / name).mkdir(parents=True)
        (source / name / "0.png").write_bytes(b"")
    model = replace(lab.spec.model, calibration=source)
    other = SimpleNamespace(
        spec=replace(lab.spec, model=model), judge=lab.judge, folder=tmp_path / "out"
    )
    other.folder.mkdir()
    half = bank_module._half(other)
    assert sorted(str(p.relative_to(half)) for p in half.rglob("*.png")) == [
        "bob/0.png", "dan/0.png",
    ]  # fmt: skip


def test_too_many_people_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are not refused an hour later, by the first gate that asks for more."""
    for asked in ("0", "2084"):
        monkeypatch.setattr("sys.argv", ["faults", "--people", asked])
        with pytest.raises(SystemExit):
            command.main()
        assert f"--people {asked}: give 1 to 2083" in capsys.readouterr().err


def test_one_place_of_every_fault_comes_first(lab: Laboratory, bank: list[Case]) -> None:
    found = command.rows_of(lab, ["scale of weights"], latency=False)
    faults = [next(found).fault for _ in range(4)]
    assert faults[:3] == [
        "scale of weights doubled", "scale of weights halved", "NaN in a scale of weights",
    ]  # fmt: skip


def test_places_are_early_middle_and_late() -> None:
    drawn = three(range(30), "what")
    assert sorted(place // 10 for place in drawn) == [0, 1, 2]
    assert drawn == three(range(30), "what")
    assert drawn != three(range(30), "else")
    assert three([7], "what") == [7]
    assert three(np.arange(0), "what") == []
