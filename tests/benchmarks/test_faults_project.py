"""Damaged data end to end: pytest runs in a separate process, and its output is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import project


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faults") / "base"
    project.write(root)
    return root


def test_the_sound_project_passes(base: Path) -> None:
    found = project.run(base)
    assert (found.outcome, found.reason, found.gates) == ("PASS", "", ())


def test_calibration_on_people_who_are_judged(base: Path) -> None:
    """The pictures are different ones, so that no image serves twice."""
    damage = next(
        each for each in project.DAMAGES if each.fault == "evaluation on the calibration people"
    )
    damage.change(base)
    found = project.run(base)
    assert found.outcome == "ERROR", found.text
    assert "60 of the people on its calibration images are also used" in found.reason


def test_every_damage_has_a_name_of_its_own() -> None:
    names = [(damage.fault, damage.where) for damage in project.DAMAGES]
    assert len(set(names)) == len(names)
