"""The shortest gate file on 300 real people, with all defaults: a firm and right answer.

A newcomer has a model, a folder of people and a folder for calibration. 300 people decide; 150 may
be undecided, but no verdict is wrong. Which recipes are bad is known from the error counts of
independent code (the published figures of the data).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GATE = """
from dataclasses import replace
from pytest_kycquant import FaceGates, FaceLimits, Recipe, presets

PER_TENSOR = Recipe(
    "int8",
    name="int8-per-tensor",
    per_channel=False,
    reduce_range=False,
    calibration_method="minmax",
    equalize=False,
    bias_correction=False,
)


class TestFace(FaceGates):
    model = presets.arcface(
        "mobilefacenet_fp32.onnx",
        "people",
        calibration="calibration",
        preprocess=replace(presets.ARCFACE, channels="BGR"),
        {more}
    )
    fallback = None
    # Other tests are about latency; here the first look decides it.
    limits = FaceLimits(latency_ratio=10.0)
    precisions = ({precisions})
"""
GOOD = ("fp16", "int8-weights", "int8")
BAD = ("int8-per-tensor", "int8-dynamic")
ALL = '"fp16", "int8-weights", "int8", PER_TENSOR, "int8-dynamic"'


def project(real: Path, root: Path, people: list[str], more: str = "") -> Path:
    """A rootdir with the gate file and links to the real data."""
    (root / "test_gate.py").write_text(GATE.format(more=more, precisions=ALL))
    (root / "pytest.ini").write_text("[pytest]\n")
    name = "mobilefacenet_fp32.onnx"
    (root / name).symlink_to(real / "models" / name)
    (root / "calibration").symlink_to(real / "faces" / "calibration")
    (root / "people").mkdir()
    for person in people:
        (root / "people" / person).symlink_to(real / "faces" / "evaluation" / person)
    return root


def everybody(real: Path) -> list[str]:
    """The names of the evaluation people."""
    return sorted(path.name for path in (real / "faces" / "evaluation").iterdir())


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    """Verdict of each variant by its label."""
    (gate,) = report["gates"]
    return {row["variant"]: row["verdict"] for row in gate["variants"]}


def check(report: dict[str, Any], variant: str, name: str) -> dict[str, Any]:
    """One check of a variant."""
    (gate,) = report["gates"]
    row = next(row for row in gate["variants"] if row["variant"] == variant)
    found = [c for g in row["gates"].values() for c in g["checks"] if c["name"] == name]
    return dict(found[0])


@pytest.fixture(scope="module")
def all_people(
    real: Path, run_gate: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The report on all 300 people."""
    root = project(real, tmp_path_factory.mktemp("all"), everybody(real))
    report: dict[str, Any] = run_gate(root).report
    (root / "verdicts.json").write_text(json.dumps(verdicts(report)))
    return report


@pytest.mark.parametrize("variant", GOOD)
def test_good_models_pass(all_people: dict[str, Any], variant: str) -> None:
    assert verdicts(all_people)[variant] == "PASS"


@pytest.mark.parametrize("variant", BAD)
def test_bad_models_fail(all_people: dict[str, Any], variant: str) -> None:
    assert verdicts(all_people)[variant] == "FAIL"


def test_the_increase_of_frr_is_as_sharp_as_promised(all_people: dict[str, Any]) -> None:
    """Without moves, 300 people could only show increases of a whole point."""
    name = "increase of FRR over FP32"
    for variant, most in (("fp16", 0.001), ("int8-weights", 0.005), ("int8", 0.01)):
        assert check(all_people, variant, name)["upper"] < most


def test_by_far_alone_at_the_published_threshold(
    real: Path, run_gate: Callable[[Path], Any], tmp_path: Path
) -> None:
    """Both bad recipes let twice as many impostors in as FP32."""
    root = project(real, tmp_path, everybody(real), "threshold=0.345,")
    report = run_gate(root).report
    for variant in BAD:
        assert check(report, variant, "FAR")["value"] > 0.0012
        far = [check(report, variant, "FAR"), check(report, variant, "increase of FAR over FP32")]
        assert "FAIL" in {one["verdict"] for one in far}
    for variant in GOOD:
        assert check(report, variant, "FAR")["verdict"] == "PASS"


@pytest.mark.parametrize("seed", range(2))
def test_half_of_the_people_give_no_wrong_verdict(
    real: Path, run_gate: Callable[[Path], Any], tmp_path: Path, seed: int
) -> None:
    chosen = random.Random(seed).sample(everybody(real), 150)
    found = verdicts(run_gate(project(real, tmp_path, sorted(chosen))).report)
    assert all(found[variant] != "FAIL" for variant in GOOD)
    assert all(found[variant] != "PASS" for variant in BAD)
    assert found["fp16"] == "PASS"
