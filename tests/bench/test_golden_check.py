"""What a golden says is compared with what the data give, on this machine and on another."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.bench.golden_check import check_reproduced, check_threshold
from pytest_kycquant.errors import GoldenError
from pytest_kycquant.plain import plain
from pytest_kycquant.statistics import rate_with
from tests.worlds.goldens import COMMAND, FIGURES, GOLDEN, HERE, RATES

pytestmark = pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.EnvironmentWarning")
PLACE = Path("face.json")
OTHER = {"cpu": "B"}


def threshold(recorded: float, derived: float, apart: int, **here: str) -> None:
    """Check a threshold that changes `apart` decisions on the selection split."""

    def rates_at(value: float) -> dict[str, Any]:
        return {"FAR": {"errors": 5 + (apart if value == recorded else 0), "trials": 100}}

    golden = replace(GOLDEN, threshold=recorded)
    check_threshold(golden, (derived, "given"), rates_at, HERE | here, PLACE, COMMAND)


def test_exact_on_the_same_machine() -> None:
    threshold(0.345, 0.345, 0)
    for recorded in (math.nextafter(0.345, 1), 0.345 * 1.1, 0.0):
        with pytest.raises(GoldenError, match=r"threshold is .* but model and data give '0\.345'"):
            threshold(recorded, 0.345, 0)


@pytest.mark.parametrize("apart", [-3, 0, 3])
def test_another_machine_may_decide_a_little_differently(apart: int) -> None:
    threshold(0.35, 0.345, apart, **OTHER)


@pytest.mark.parametrize("apart", [-4, 4, 95])
def test_but_not_much(apart: int) -> None:
    with pytest.raises(GoldenError, match=r"threshold is '0.35 \(FAR \d+ of 100 there\)', but"):
        threshold(0.35, 0.345, apart, **OTHER)


def test_another_numpy_may_round_differently() -> None:
    threshold(0.345, 0.345 + 1e-9, 0, numpy="2.5")
    with pytest.raises(GoldenError, match="threshold is"):
        threshold(0.345, 0.345 + 1e-9, 0)
    with pytest.raises(GoldenError, match="threshold is"):
        threshold(0.345, 0.346, 0, numpy="2.5")


def rates(here: dict[str, Any], **recorded: float) -> None:
    golden = replace(GOLDEN, rates={"FAR": RATES["FAR"] | recorded})
    check_reproduced(golden, RATES, HERE | here, PLACE, COMMAND, FIGURES)


FORGED = {
    "subjects": 201,
    "value": 0.0011,
    "lower": 0.0,
    "upper": 0.0013,
    "deff": 1.0,
    "n_eff": 10_000.0,
    "worst": 9,
    "room": 9,
    "deff_many": 1.0,
}


@pytest.mark.parametrize("here", [{}, OTHER], ids=["same", "another"])
@pytest.mark.parametrize("field", FORGED)
def test_every_field_of_a_rate(here: dict[str, Any], field: str) -> None:
    rates(here)
    with pytest.raises(
        GoldenError, match=rf"rate FAR: \w+ is .* but model .* accept it with: {COMMAND}"
    ):
        rates(here, **{field: FORGED[field]})


def test_another_machine_may_count_other_errors() -> None:
    other = plain(rate_with(14, 10_000, 200, 4.0, 5))
    rates(OTHER, **other)
    with pytest.raises(GoldenError, match="rate FAR: upper is"):
        rates(OTHER, **(other | {"upper": other["upper"] * 0.9}))
    with pytest.raises(GoldenError, match="FP32 FAR is 12 of 10000 here"):
        rates(OTHER, **plain(rate_with(16, 10_000, 200, 4.0, 5)))


@pytest.mark.parametrize(
    ("here", "fewer"), [({}, 1), (OTHER, 4)], ids=["same machine", "another machine"]
)
def test_an_improvement_of_fp32_asks_for_a_new_golden(here: dict[str, Any], fewer: int) -> None:
    """A golden that FP32 beats allows variants more than it should, so it is no pass, either."""
    better = {"FAR": plain(rate_with(12 - fewer, 10_000, 200, 2.5, 3))}
    with pytest.raises(GoldenError) as raised:
        check_reproduced(GOLDEN, better, HERE | here, PLACE, COMMAND, FIGURES)
    found = f"FP32 FAR is {12 - fewer} of 10000 here, but the golden records 12 of 10000"
    assert found in str(raised.value)
    assert raised.value.remedy.endswith(f"accept it with: {COMMAND}")
    figures = {"mAP": FIGURES["mAP"] + (0.02 if here else 1e-5)}
    with pytest.raises(GoldenError, match=r"FP32 mAP is 0\.5.* here, but the golden records 0\.5"):
        check_reproduced(GOLDEN, RATES, HERE | here, PLACE, COMMAND, figures)
