"""``fp32-optimized`` is a variant of its own, and the last rung before FP32."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.worlds.outcomes import stopped
from tests.worlds.population import Run

pytestmark = pytest.mark.usefixtures("two_rewrites")

Write = Callable[..., None]


@pytest.fixture
def fast(run: Run, pytester: pytest.Pytester, rewrite_ratio: list[float]) -> Run:
    """Run with a separate cache, where rewriting PReLU gives 0.53 of the latency."""
    cache = f"--kycquant-cache={pytester.path / 'cache'}"

    def runner(*arguments: str, ratio: float = 0.53) -> pytest.RunResult:
        before, rewrite_ratio[0] = rewrite_ratio[0], ratio
        result = run(cache, *arguments)
        rewrite_ratio[0] = before
        return result

    return runner


def report(folder: Path) -> dict[str, Any]:
    (gate,) = json.loads((folder / "report.json").read_text())["gates"]
    return {**gate, "variants": {v["variant"]: v for v in gate["variants"]}}


def test_it_is_gated_shipped_and_exported(
    project: Write, fast: Run, pytester: pytest.Pytester
) -> None:
    project(precisions='"fp32-optimized"')
    result = fast("-v", "--kycquant-report=report.json", "--kycquant-export=ship")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [
            "*::test_degradation[[]fp32-optimized[]] PASSED*",
            "fp32-optimized * (1.0?) * PASS",
            "rewrites of fp32-optimized: PReLU: rewritten, 0.53 [[]0.52, 0.54[]] of the latency *",
            "ship: fp32-optimized (1.0? of the size of FP32, * of its latency; no quantized *)",
            "exported: *ship/face.onnx (fp32-optimized)",
        ]
    )
    found = report(pytester.path)["variants"]["fp32-optimized"]
    (changed,) = (c for c in found["gates"]["size"]["checks"] if "operators" in c["name"])
    assert (changed["value"], changed["detail"]) == (2, "2 PRelu")
    assert found["options"]["rewrites"].startswith("PReLU: rewritten, 0.53")
    graph = onnx.load(pytester.path / "ship" / "face.onnx").graph
    assert "PRelu" not in [node.op_type for node in graph.node]


def test_nothing_that_pays_is_an_error(project: Write, run: Run) -> None:
    """The rewrites of this world give 1.2 times the latency by default."""
    project(precisions='"fp32-optimized"')
    result = run()
    stopped(result, 6)
    result.stdout.fnmatch_lines(
        [
            "*face as fp32-optimized: nothing to rewrite: FP32 is as fast as it gets "
            "(PReLU: not rewritten, 1.20 *); leave out fp32-optimized, or force *"
        ]
    )


def test_a_recipe_may_force_what_does_not_pay(project: Write, run: Run) -> None:
    project(precisions='Recipe("fp32-optimized", name="forced", rewrites=True)')
    result = run("-v")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        ["rewrites of forced: PReLU: rewritten, as the recipe says", "ship: forced (*no quantized*"]
    )


def test_quantized_variants_start_from_it_and_ship_before_it(
    project: Write, fast: Run, pytester: pytest.Pytester
) -> None:
    project(
        precisions='"fp32-optimized", "fp16", "int8", Recipe("int8", name="plain", rewrites=False)'
    )
    result = fast("--kycquant-report=report.json")
    result.assert_outcomes(passed=24)
    gate = report(pytester.path)
    found = gate["variants"]
    # Which of the two is a matter of their latency on the day.
    assert gate["ship"] in ("int8", "plain")
    assert found["fp32-optimized"]["verdict"] == "PASS"
    assert found["int8"]["options"]["rewrites"].startswith("PReLU: rewritten, 0.53")
    assert found["fp16"]["options"]["rewrites"].startswith("PReLU: rewritten, 0.53")
    assert not found["plain"]["options"]["rewrites"]
    assert found["int8"]["sha256"] != found["plain"]["sha256"]


@pytest.mark.parametrize(
    ("ladder", "ships"), [("fp32-optimized", "fp32-optimized"), ("fp32", "fp32")]
)
def test_it_is_a_rung_of_the_ladder(project: Write, fast: Run, ladder: str, ships: str) -> None:
    project(fragile=True, fallback=ladder)
    result = fast()
    assert result.parseoutcomes()["fallback"] == 6
    result.stdout.fnmatch_lines(["int8: FAIL *", f"fallback of int8: {ships}", f"ship: {ships} (*"])


def test_the_ladder_goes_on_where_nothing_pays(project: Write, run: Run) -> None:
    project(fragile=True, fallback="fp32-optimized")
    result = run()
    assert result.parseoutcomes()["fallback"] == 6
    result.stdout.fnmatch_lines(["fallback of int8: fp32"])
    result.stdout.no_fnmatch_line("*fp32-optimized*")


def test_a_search_offers_the_operators_of_the_model(
    project: Write, fast: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True)
    result = fast("-v", "--kycquant-report=report.json")
    result.stdout.fnmatch_lines(
        ["int8>mixed keeps 2 of 6 operators with weights in FP32: third, second*"]
    )
    found = report(pytester.path)
    ranked = {name for name, _ in found["decisions"][0]["searches"][0]["ranking"]}
    assert ranked == {"first", "second", "third", "fourth", "fifth", "gemm"}
    assert found["variants"]["int8>mixed"]["options"]["rewrites"].startswith("PReLU: rewritten")


def test_it_must_not_be_larger(project: Write, fast: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_kycquant.bench.sizes._REWRITTEN", 1.001)
    project(precisions='"fp32-optimized"')
    result = fast()
    assert result.parseoutcomes()["fallback"] == 6
    result.stdout.fnmatch_lines(
        [
            "fp32-optimized: FAIL size relative to FP32 *, limit < 1.001",
            "fallback of fp32-optimized: fp32",
        ]
    )


def test_it_must_not_be_slower(project: Write, fast: Run, pytester: pytest.Pytester) -> None:
    project(precisions='"fp32-optimized"')
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("latency_ratio=1000.0", "latency_ratio=0.01"))
    result = fast("--kycquant-strict")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["face: fp32-optimized FAIL latency"])


def test_a_machine_decides_once(project: Write, fast: Run, pytester: pytest.Pytester) -> None:
    project(precisions='"fp32-optimized"')
    fast().assert_outcomes(passed=6)
    result = fast("-v", ratio=1.3)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["rewrites of fp32-optimized: PReLU: rewritten, 0.53 *"])
    entries = list((pytester.path / "cache" / "rewrites").iterdir())
    assert len(entries) == 1
