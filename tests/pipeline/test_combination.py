"""The search for a combination of variants that hold together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kycquant import FaceVerification, KycModel, Preprocess
from pytest_kycquant.pipeline.combination import Choice, Choices, Found, costs, search, steps
from pytest_kycquant.pipeline.models import Stage

MODEL = KycModel("face.onnx", Preprocess(size=(4, 4)), FaceVerification("faces"))
SIZES = {"fp32": 100, "fp16": 50, "int8": 25}
TIMES = {"fp32": 10.0, "fp16": 9.0, "int8": 5.0}
STAGES = ("detector", "liveness", "embedder")


def choice(variant: str, ms: float | None = 0.0) -> Choice:
    stage = Stage(MODEL, variant, (Path(f"{variant}.onnx"),), 0.5, SIZES[variant])
    return Choice(stage, TIMES[variant] if ms == 0.0 else ms)


CHOICES = {stage: [choice(variant) for variant in SIZES] for stage in STAGES}
ALONE = {stage: choice("int8") for stage in STAGES}
NOISE = {"fp32": 0, "fp16": 1, "int8": 3}


def labels(choices: Choices) -> str:
    return ", ".join(one.variant for one in choices.values())


class Judge:
    """Adds up the noise of the stages; above a limit, nobody is recognized any more."""

    def __init__(self, most: int, fragile: str = "") -> None:
        self._most, self._fragile = most, fragile
        self.asked: list[str] = []

    def __call__(self, choices: Choices) -> str:
        self.asked.append(labels(choices))
        for stage, one in choices.items():
            if f"{stage} {one.variant}" == self._fragile:
                return f"FAIL FRR: {stage}"
        noise = sum(NOISE[one.variant] for one in choices.values())
        return f"FAIL FRR = {noise} %" if noise > self._most else ""


def found(judge: Judge, budget: int = 60) -> Found:
    return search(CHOICES, ALONE, judge, "product", budget)


def test_the_least_costly_combination_that_holds() -> None:
    """Each of the three may be INT8 alone, but three of them are more than the limit allows."""
    result = found(Judge(7))
    assert sorted(result.variants.values()) == ["fp16", "int8", "int8"]
    assert not result.dropped
    better = [one for one in result.tried if not one.objection]
    assert better[0] == result.tried[-1]
    assert [one.cost for one in result.tried] == sorted(one.cost for one in result.tried)
    (line,) = result.gave()
    assert "fp16 instead of int8: together, FAIL FRR = 9 %" in line


def test_what_does_not_hold_with_fp32_elsewhere_is_dropped() -> None:
    judge = Judge(9, fragile="liveness int8")
    result = found(judge)
    assert result.variants == {"detector": "int8", "liveness": "fp16", "embedder": "int8"}
    assert result.dropped == {"liveness int8": "FAIL FRR: liveness"}
    assert list(result.gave()) == [
        "liveness: fp16 instead of int8: with FP32 at the other stages, FAIL FRR: liveness"
    ]
    assert "int8, int8, int8" not in judge.asked


def test_steps_from_fp32_to_the_combination() -> None:
    fp32 = {stage: choice("fp32") for stage in STAGES}
    chosen = {**ALONE, "liveness": choice("fp32")}
    found = [(stage, labels(step)) for stage, step in steps(chosen, fp32)]
    assert found == [("embedder", "fp32, fp32, int8"), ("detector", "int8, fp32, int8")]
    assert list(steps(fp32, fp32)) == []


def test_what_is_not_confirmed_says_why() -> None:
    result = replace(
        found(Judge(9)),
        variants={"detector": "fp32", "liveness": "int8", "embedder": "int8"},
        stopped="detector int8, INCONCLUSIVE increase of FRR",
    )
    assert list(result.gave()) == [
        "detector: fp32 instead of int8: not confirmed: detector int8, INCONCLUSIVE increase of FRR"
    ]


def test_fp32_comes_last_without_being_asked() -> None:
    judge = Judge(0)
    result = found(judge)
    assert set(result.variants.values()) == {"fp32"}
    assert "fp32, fp32, fp32" not in judge.asked
    assert len(result.dropped) == 6
    assert [line.partition(":")[0] for line in result.gave()] == list(STAGES)


def test_the_search_ends_with_its_budget() -> None:
    result = found(Judge(3), budget=4)
    assert len(result.tried) == 4
    assert result.note == "the search stopped after 4 combinations"
    assert set(result.variants.values()) == {"fp32"}


def test_the_same_order_each_time() -> None:
    one, other = Judge(4), Judge(4)
    found(one)
    search(
        {stage: [given[0], *reversed(given[1:])] for stage, given in CHOICES.items()},
        ALONE, other, "product", 60,
    )  # fmt: skip
    assert one.asked[6:] == other.asked[6:]


@pytest.mark.parametrize(
    ("by", "wanted"), [("product", 0.25 * 0.5), ("size", 0.25), ("latency", 0.5)]
)
def test_costs(by: str, wanted: float) -> None:
    fp32 = {stage: choice("fp32") for stage in STAGES}
    assert costs(fp32, fp32, by) == 1.0  # type: ignore[arg-type]
    assert costs(ALONE, fp32, by) == pytest.approx(wanted)  # type: ignore[arg-type]


def test_sizes_decide_where_a_time_is_unknown() -> None:
    fp32 = {stage: choice("fp32") for stage in STAGES}
    unknown = {**ALONE, "liveness": choice("int8", None)}
    assert costs(unknown, fp32, "product") == pytest.approx(0.25)
