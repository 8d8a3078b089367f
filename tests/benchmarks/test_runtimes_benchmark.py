"""The table of runtimes is made from the report of the gates, and says why a row is missing."""

from typing import Any

import pytest

from benchmarks.runtimes.__main__ import PRECISIONS, code, missing, recipe_of
from benchmarks.runtimes.gating import Judged, errors
from benchmarks.runtimes.goals import Goal
from benchmarks.runtimes.subjects import SUBJECTS
from benchmarks.runtimes.table import Line, table
from pytest_kycquant import Recipe
from pytest_kycquant.errors import RuntimeUnavailableError


def check(value: float, unit: str, limit: float | None = None, name: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "verdict": "PASS",
        "value": value,
        "lower": 0.9 * value,
        "upper": 1.1 * value,
        "limit": limit,
        "direction": "at least" if unit == "cosine" else "below",
        "unit": unit,
        "detail": "",
    }


def variant(label: str, ratio: float, far: float, verdict: str = "PASS") -> dict[str, Any]:
    gates = {
        "far": {"verdict": verdict, "checks": [check(far, "rate", 0.001)]},
        "latency": {"verdict": "PASS", "checks": [check(ratio, "ratio", 1.05)]},
        "degradation": {
            "verdict": "PASS",
            "checks": [check(0.9931, "cosine", 0.99, "mean cosine to FP32")],
        },
    }
    if label == "fp32":
        del gates["latency"], gates["degradation"]
    shown = {} if label == "fp32" else {"cosine": "0.9931 / 0.9700"}
    return {
        "variant": label,
        "size_ratio": ratio,
        "gates": gates,
        "shown": shown,
        "verdict": verdict,
    }


JUDGED = Judged(
    {
        "fp32": variant("fp32", 1.0, 0.0006),
        "int8-openvino": variant("int8-openvino", 0.25, 0.0007),
        "int8-litert": variant("int8-litert", 0.2, 0.002, "FAIL"),
    },
    {"fp16-litert": "it broke"},
)
LINES = [
    Line("openvino", "int8", "int8-openvino"),
    Line("openvino", "bf16", "bf16-openvino", "this CPU has no BF16"),
    Line("litert", "int8", "int8-litert"),
    Line("litert", "fp16", "fp16-litert"),
]


def test_a_row_for_each_variant_in_the_order_of_the_lines() -> None:
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in table(LINES, JUDGED).split("\n")
    ]
    assert rows[0] == ["runtime", "precision", "size", "latency", "cosine", "FAR", "verdict"]
    assert rows[2] == ["onnxruntime", "fp32", "1.00", "", "", "0.060 % [0.054, 0.066]", "PASS"]
    assert rows[3] == [
        *("openvino", "int8", "0.25", "0.25 [0.23, 0.28]", "0.9931 / 0.9700"),
        *("0.070 % [0.063, 0.077]", "PASS"),
    ]
    assert rows[4][0:2] == ["litert", "int8"]
    assert rows[4][-1] == "FAIL far"


def test_what_was_not_judged_has_a_reason() -> None:
    assert table(LINES, JUDGED).split("\n")[-2:] == [
        "- not judged: openvino bf16: this CPU has no BF16",
        "- not judged: litert fp16: it broke",
    ]


def test_a_run_that_broke_altogether() -> None:
    assert table(LINES[2:], Judged({}, {"": "no golden"})).split("\n") == [
        "",
        "- not judged: litert int8, litert fp16: no golden",
    ]


def test_goals_count_only_what_passes() -> None:
    assert Goal("a", most=0.24).line(JUDGED).endswith("missed, 0.25 (int8-openvino)")
    assert Goal("a", most=0.3).line(JUDGED).endswith("reached, 0.25 (int8-openvino)")
    assert Goal("a", variant="int8-litert", cosine=0.992).line(JUDGED).endswith("reached, 0.9931")
    assert Goal("a", variant="int8", cosine=0.992).line(JUDGED).endswith("not measured")
    assert Goal("a", most=0.3).line(Judged()).endswith("missed, none passes")


def test_errors_of_a_run_by_precision() -> None:
    junit = """<testsuites><testsuite>
    <testcase name="test_far[int8]"><error message="one
    line"/></testcase>
    <testcase name="test_frr[int8]"><error message="another"/></testcase>
    <testcase name="test_far[fp16]"><failure message="a verdict"/></testcase>
    <testcase name="test_golden"><error message="no golden"/></testcase>
    </testsuite></testsuites>"""
    assert errors(junit) == {"int8": "one line", "": "no golden"}


def test_a_runtime_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(runtime: object) -> None:
        raise RuntimeUnavailableError("runtime 'litert'", "it is not installed", "install it")

    monkeypatch.setattr("benchmarks.runtimes.__main__.library", refuse)
    assert missing(Recipe("int8", runtime="litert")) == "it is not installed"


@pytest.mark.parametrize("runtime", PRECISIONS)
def test_every_line_is_a_recipe(runtime: str) -> None:
    for precision in PRECISIONS[runtime]:
        for subject in SUBJECTS.values():
            recipe = eval(code(runtime, precision, subject.op_types), {"Recipe": Recipe})
            assert recipe.name == recipe_of(runtime, precision).name
