"""A detector with nine outputs is gated from its file, without labels."""

from __future__ import annotations

import pytest

from tests.worlds.anchors import write_anchors
from tests.worlds.population import Run


def test_scrfd_without_labels(run: Run, pytester: pytest.Pytester) -> None:
    write_anchors(pytester.path)
    result = run("--kycquant-update-golden", "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["note on fp32: outputs are read as SCRFD: * (scrfd)", "ship: fp16*"]
    )
