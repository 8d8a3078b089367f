"""A detector that ends in its own suppression is read, not taken for raw boxes of two classes."""

from __future__ import annotations

import json

import pytest

from tests.worlds.population import Run
from tests.worlds.suppressed import write_suppressed

DECODE = """
import numpy as np

FLOOR = 0.001

def read_rows(outputs):
    (rows,) = outputs[0]
    rows = rows[rows[:, 4] > FLOOR]
    return rows[:, :4], rows[:, 4], np.round(rows[:, 5])
"""


def test_invented_objects_are_seen(run: Run, pytester: pytest.Pytester) -> None:
    """FP32 finds 196 portraits in 400 pictures, INT8 finds 400."""
    write_suppressed(pytester.path)
    result = run(
        "--kycquant-update-golden", "-k", "agreement", "--kycquant-report=report.json", "-v"
    )
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["remark on fp32: outputs are read as suppressed rows: * (rows)"])
    (gate,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    (row,) = (row for row in gate["variants"] if row["variant"] == "int8-conv")
    assert row["gates"]["agreement"]["verdict"] == "FAIL"
    assert row["figures"]["agreement_recall"] > 0.95
    assert row["figures"]["agreement_precision"] < 0.7
    per_image = row["figures"]["detections_per_image"]
    assert per_image - row["figures"]["detections_per_image_fp32"] == pytest.approx(0.51, abs=0.02)


def test_a_function_reads_the_same(run: Run, pytester: pytest.Pytester) -> None:
    write_suppressed(pytester.path)
    gate = pytester.path / "test_gate.py"
    text = gate.read_text().replace("confidence=0.5", "confidence=0.5, decode=read_rows")
    gate.write_text(DECODE + text)
    result = run("--kycquant-update-golden", "-k", "finite", "--kycquant-report=report.json", "-v")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["remark on fp32: outputs are read by the function read_rows"])
    run("-k", "finite", "-n", "1").assert_outcomes(passed=1)
    gate.write_text(gate.read_text().replace("0.001", "0.002"))
    result = run("-k", "finite")
    result.stdout.fnmatch_lines(["*model.json: is stale: preprocess changed since*"])
