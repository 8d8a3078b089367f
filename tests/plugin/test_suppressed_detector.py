"""A detector that ends in its own suppression is read, not taken for raw boxes of two classes."""

from __future__ import annotations

import json

import pytest

from tests.worlds.population import Run
from tests.worlds.suppressed import write_suppressed


def test_invented_objects_are_seen(run: Run, pytester: pytest.Pytester) -> None:
    """FP32 finds 196 portraits in 400 pictures, INT8 finds 400."""
    write_suppressed(pytester.path)
    result = run("--kycquant-update-golden", "-k", "agreement", "--kycquant-report=report.json")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["note on fp32: outputs are read as suppressed rows: * (rows)"])
    (gate,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    (row,) = (row for row in gate["variants"] if row["variant"] == "int8-conv")
    assert row["gates"]["agreement"]["verdict"] == "FAIL"
    assert row["figures"]["agreement_recall"] > 0.95
    assert row["figures"]["agreement_precision"] < 0.7
    per_image = row["figures"]["detections_per_image"]
    assert per_image - row["figures"]["detections_per_image_fp32"] == pytest.approx(0.51, abs=0.02)
