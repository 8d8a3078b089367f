"""Faces that are aligned by landmarks of the detector: wrong ones are seen in who is turned away.

Limits of the detector's own gates are so wide that it ships whatever its landmarks are.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.worlds import scenery, upright
from tests.worlds.ci import environment_outside_ci
from tests.worlds.population import Run
from tests.worlds.processes import PYTEST


@pytest.fixture(scope="module")
def upright_world(tmp_path_factory: pytest.TempPathFactory, measured_cache: Path) -> Path:
    """Both models with their goldens, applicants and a pipeline."""
    root = tmp_path_factory.mktemp("upright")
    upright.write_upright(root)
    (root / "pytest.ini").touch()
    command = [
        *PYTEST, "-q", "-k", "complete", "--kycquant-update-golden",
        f"--kycquant-cache={measured_cache}",
    ]  # fmt: skip
    result = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env=environment_outside_ci()
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    return root


@pytest.fixture
def root(pytester: pytest.Pytester, upright_world: Path) -> Path:
    """A copy of that world."""
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(upright_world, pytester.path, dirs_exist_ok=True, ignore=ignored)
    return pytester.path


def test_sound_landmarks(root: Path, run: Run) -> None:
    """Every gate passes, also those whose measurement runs in another process."""
    result = run("--kycquant-strict", "-v")
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(
        [
            "detector * other, *",
            "embedder * fp16, *",
            "shipped turns away 0 of 200 customers",
            "verdict: PASS",
        ]
    )


@pytest.mark.parametrize(
    ("points", "lines"),
    [
        (upright.shifted(0.05), ["FAIL increase of FRR over FP32 = *", "*no match *"]),
        (upright.shifted(0.2), ["FAIL increase of FRR over FP32 = *", "*no match *"]),
        (upright.swapped(2), ["FAIL increase of FRR over FP32 = *", "*no match *"]),
        # If the eyes are swapped in every photograph, all faces are small and look the same.
        (upright.swapped(), ["FAIL increase of FAR over FP32 = *"]),
    ],
    ids=["a twentieth of the eyes", "a fifth of the eyes", "some eyes swapped", "eyes swapped"],
)
def test_landmarks_that_are_off(root: Path, run: Run, points: np.ndarray, lines: list[str]) -> None:
    upright.ship(root, points)
    result = run("--kycquant-strict", "-k", "complete or fta or degradation")
    result.assert_outcomes(passed=2, failed=1, deselected=4)
    result.stdout.fnmatch_lines(lines, consecutive=True)


def test_landmarks_in_one_place_are_no_usable_face(root: Path, run: Run) -> None:
    """Who cannot be aligned is turned away: a verdict, not an error."""
    upright.ship(root, upright.collapsed())
    result = run("--kycquant-strict", "-k", "complete or fta")
    result.assert_outcomes(passed=1, failed=1, deselected=5)
    result.stdout.fnmatch_lines(["FAIL FTA = 100 %*", "*200 of 200 transactions of customers*"])


def test_a_detector_without_landmarks(root: Path, run: Run) -> None:
    """The gate file does not say how many there are: FP32's outputs do."""
    onnx.save(scenery.detector(), root / "detector" / "models" / "detector.onnx")
    gate = root / "detector" / "gate.py"
    gate.write_text(gate.read_text().replace("keypoints=5, ", ""))
    result = run("-k", "frr")
    result.assert_outcomes(errors=1, deselected=6)
    result.stdout.fnmatch_lines(
        [
            "*TestPipeline.align: needs the five landmarks of a face, but the detector's gates "
            "read no keypoints; gate a detector with landmarks*"
        ]
    )


def test_an_embedder_without_a_template(root: Path, run: Run) -> None:
    gate = root / "face" / "gate.py"
    gate.write_text(gate.read_text().replace("size=(112, 112)", "size=(96, 112)"))
    result = run("-k", "frr")
    result.assert_outcomes(errors=1, deselected=6)
    result.stdout.fnmatch_lines(
        ["*TestPipeline.align: the template is not defined for faces of 96 x 112 pixels; *"]
    )
