"""A pipeline of three gated models: the variant shipped at each stage, and failing gates."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.population import Run

Project = Callable[..., Path]


def report(root: Path) -> dict[str, object]:
    (record,) = json.loads((root / "report.json").read_text())["pipelines"]
    return dict(record)


def test_shipped_beside_fp32(pipeline_project: Project, run: Run) -> None:
    root = pipeline_project()
    result = run("-v", "--kycquant-report=report.json", "--junitxml=junit.xml")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "kycquant: fallback where gates allow it*",  # the header: there are gates
            "kycquant: PASS: what ships holds together",
            "pipeline, test_pipeline.py::TestPipeline",
            "* fp32 * shipped * limit * verdict",
            "detector * fp32, * ms * fp32, * ms",
            "liveness * fp32, * ms * int8, * ms",
            "embedder * fp32, * ms * int8, * ms",
            "other * ms * ms",
            "median * ms * ms",
            "slowest * ms * ms",
            "opening * ms * ms",
            "95th percentile * ms [[]*] * ms [[]*] * < 8000 ms * PASS",
            "peak memory * MB * MB * < 1.1 of fp32 * PASS",
            "complete * PASS",
            "agreement * PASS",
            "shipped takes * of the time of fp32",
            "end to end, cosine of embeddings to fp32: mean *",
            "end to end, difference of liveness scores to fp32: mean *",
            "verdict: PASS",
        ]
    )
    result.stdout.no_fnmatch_line("ship: *")
    record = report(root)
    assert record["verdict"] == "PASS"
    # INT8 of the whole detector loses its scores: its own gates do not let it ship.
    assert record["shipped"]["variants"] == {
        "detector": "fp32", "liveness": "int8", "embedder": "int8"
    }  # fmt: skip
    for row in (record["fp32"], record["shipped"]):
        timing = row["timing"]
        assert timing["runs"] == 59
        assert timing["bound"] == timing["slowest"] >= timing["p95"] >= timing["p50"] > 0
        assert set(timing["stages"]) == {"detector", "liveness", "embedder", "other"}
        assert row["peak_mb"] > row["imports_mb"] > 10
    cases = ET.parse(root / "junit.xml").getroot().iter("testcase")
    found = {case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
             for case in cases}  # fmt: skip
    assert found["test_latency"]["kycquant.latency"].startswith("PASS 95th percentile of wall")


def test_too_slow(pipeline_project: Project, run: Run) -> None:
    pipeline_project("limits = PipelineLimits(wall_ms=0.001)")
    result = run()
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*TestPipeline FAIL latency",
            "FAIL 95th percentile of wall clock = * ms *must be below 0.001 ms",
            "  59 runs, *",
            "95th percentile * < 0.001 ms * FAIL",
            "verdict: FAIL latency",
        ]
    )


def test_too_large(pipeline_project: Project, run: Run) -> None:
    pipeline_project("limits = PipelineLimits(memory_mb=1, memory_ratio=0.01)")
    result = run()
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "FAIL peak memory relative to FP32 = * must be below 0.01",
            "  * MB compared with * MB for FP32",
            "  Python and its libraries take * MB",
            "FAIL peak memory = * MB must be below 1 MB",
        ]
    )


SKIPS = """
seen = []

def process(self, stages, photo):
    self.seen.append(photo.name)
    if self.seen.count(photo.name) % 2 and photo.name == "03.png" or photo.name != "03.png":
        super().process(stages, photo)
"""


def test_a_shorter_way_is_no_better_one(pipeline_project: Project, run: Run) -> None:
    """FP32 runs first on each image; on one of them the shipped pipeline ends at once."""
    pipeline_project(SKIPS)
    result = run("--kycquant-inconclusive=warn", "--kycquant-report=report.json")
    result.assert_outcomes(passed=1, failed=3, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "FAIL images that go through every stage, of those of FP32 = 99.4 % *",
            "  167 of 168, 03.png skips detector, liveness, embedder",
            "FAIL latency",
            "  not measured: the pipeline skipped a stage*",
            "FAIL memory",
            "  not measured: the pipeline skipped a stage*",
            "complete * FAIL",
            "agreement * INCONCLUSIVE",
            "complete: FAIL images that go *: 167 of 168, 03.png skips detector, *",
            "verdict: FAIL complete, latency, memory; INCONCLUSIVE agreement",
        ]
    )


def test_memory_that_cannot_be_measured_is_no_pass(
    pipeline_project: Project, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process has no pytest, so modules that only pytest can import are missing."""
    root = pipeline_project()
    gate = root / "test_pipeline.py"
    known = "'pytester' in sys.modules or 'pytest_kycquant.plugin.session' in sys.modules"
    gate.write_text(f"import sys\nassert {known}\n{gate.read_text()}")
    result = run()
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "INCONCLUSIVE peak memory",
            "memory: INCONCLUSIVE peak memory: not measured: *AssertionEr*",
        ]
    )


ALIGNED = """
embedder_scale = 2.0

def process(self, stages, photo):
    second = stages.open(photo.path)
    for pixels in (photo.pixels(), second):
        faces = [found for found in stages.detect(pixels) if found.name == self.face]
        if faces:
            upright = stages.crop(pixels, faces[0].box)[::-1]
            stages.liveness(upright)
            stages.embed(upright)
"""


def test_process_of_ones_own(pipeline_project: Project, run: Run) -> None:
    """Two images with faces upside down; the memory measurement runs the same process."""
    root = pipeline_project(ALIGNED)
    result = run("--kycquant-report=report.json")
    result.assert_outcomes(passed=4)
    assert report(root)["figures"]["cosine_min"] > 0.9


def test_rule_of_ones_own(pipeline_project: Project, run: Run) -> None:
    pipeline_project(
        """
        def test_detector_is_quantized(self, kyc_pipeline):
            assert kyc_pipeline.variants["detector"] != "fp32"

        def test_unknown_gate(self, kyc_pipeline):
            kyc_pipeline.check("speed")
        """
    )
    result = run("-k", "quantized or unknown")
    result.assert_outcomes(failed=2, deselected=4)
    result.stdout.fnmatch_lines(
        [
            "*kyc_pipeline.check: 'speed' is unknown; choose from 'complete', 'agreement', "
            "'latency', 'memory'"
        ]
    )


def test_what_a_rule_of_a_stage_rejected_is_told(pipeline_project: Project, run: Run) -> None:
    root = pipeline_project()
    gate = root / "face" / "gate.py"
    gate.write_text(gate.read_text() + "\n    def test_mine(self, candidate):\n        assert 0\n")
    result = run("test_pipeline.py", "face/gate.py", "-k", "complete or mine")
    result.stdout.fnmatch_lines(
        ["embedder ran int8, but *::test_mine[[]int8] failed: nothing would ship"]
    )


def test_a_pipeline_of_what_does_not_ship_is_no_green_run(
    pipeline_project: Project, run: Run
) -> None:
    """No test fails, but a rule was skipped, so the gate ships something else."""
    root = pipeline_project()
    gate = root / "face" / "gate.py"
    rule = "\n    def test_mine(self, candidate):\n        __import__('pytest').skip('no time')\n"
    gate.write_text(gate.read_text() + rule)
    result = run(
        "test_pipeline.py", "face/gate.py", "-k", "complete or mine", "--kycquant-report=r.json"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "verdict: * (not what ships)",
            "ERROR: no test failed, but *embedder ran int8, but *::test_mine[[]int8] was skipped*",
        ]
    )
    (pipeline,) = json.loads((root / "r.json").read_text())["pipelines"]
    assert pipeline["not_shipped"][0].startswith("embedder ran int8")
