"""Which variant of a model ships."""

from __future__ import annotations

import itertools

from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.bench.shipping import to_ship
from pytest_kycquant.results import GateResult
from pytest_kycquant.spec.settings import ShipBy
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.limits import below


def variant(
    name: str,
    size: float,
    latency: float | None,
    verdict: Verdict = Verdict.PASS,
    precision: str = "int8",
    in_time: Verdict = Verdict.PASS,
) -> VariantRecord:
    gates = {"size": GateResult("size", (Check("size", verdict, below(0.75), size),))}
    if latency is not None:
        check = Check("latency relative to FP32", in_time, below(1.05), latency)
        gates["latency"] = GateResult("latency", (check,))
    options = {"precision": precision}
    return VariantRecord("face", name, name, int(1000 * size), size, options, gates)


FP32 = variant("fp32", 1.0, None, precision="fp32")


def ships(
    *variants: VariantRecord, rejected: tuple[str, ...] = (), by: ShipBy = "product"
) -> str | None:
    chosen = to_ship((FP32, *variants), rejected, ship_by=by)
    return chosen.variant if chosen else None


def test_size_and_latency_weigh_alike() -> None:
    small, fast = variant("small", 0.27, 0.99), variant("fast", 0.29, 0.57)
    assert ships(small, fast) == "fast"
    assert ships(fast, small) == "fast"
    # Being a tenth faster does not make up for being a quarter larger.
    assert ships(variant("small", 0.28, 0.60), variant("fast", 0.36, 0.54)) == "small"


def test_without_latency_the_smallest_ships() -> None:
    assert ships(variant("a", 0.3, None), variant("b", 0.5, None)) == "a"


def test_what_the_user_says_decides() -> None:
    small, fast = variant("small", 0.25, 0.90), variant("fast", 0.40, 0.50)
    float_ = variant("fp32-openvino", 1.0, 0.45, precision="fp32")
    for order in itertools.permutations((small, fast, float_)):
        assert ships(*order, by="size") == "small"
        assert ships(*order, by="latency") == "fp32-openvino"
        assert ships(*order, by="product") == "fast"
    undecided = variant("undecided", 0.2, 0.2, in_time=Verdict.INCONCLUSIVE)
    assert ships(small, undecided, by="latency") == "small"
    # Without latency, the size decides.
    assert ships(variant("a", 0.3, None), variant("b", 0.5, None), by="latency") == "a"


def test_what_does_not_pass_or_was_rejected_does_not_ship() -> None:
    best, other = variant("best", 0.3, 0.5), variant("other", 0.5, 0.6)
    assert ships(best, other) == "best"
    assert ships(best, other, rejected=("best",)) == "other"
    assert ships(variant("best", 0.3, 0.5, Verdict.FAIL), other) == "other"
    assert ships(variant("best", 0.3, 0.5, Verdict.INCONCLUSIVE)) == "fp32"


def test_fp32_ships_only_if_nothing_quantized_does() -> None:
    optimized = variant("fp32-optimized", 1.02, 0.3, precision="fp32-optimized")
    slow = variant("slow", 0.9, 1.04)
    assert ships(optimized, slow) == "slow"
    assert ships(optimized) == "fp32-optimized"
    assert ships() == "fp32"


def test_undecided_latency_ships_only_if_nothing_decided_does() -> None:
    undecided = variant("small", 0.1, 1.04, in_time=Verdict.INCONCLUSIVE)
    optimized = variant("fp32-optimized", 1.0, 0.9, precision="fp32-optimized")
    assert undecided.verdict is Verdict.INCONCLUSIVE
    assert ships(undecided, variant("large", 0.9, 1.0)) == "large"
    assert ships(undecided, optimized) == "small"
    assert ships(undecided) == "small"
    assert ships(variant("small", 0.1, 1.2, in_time=Verdict.FAIL)) == "fp32"


def test_order_does_not_matter() -> None:
    variants = [variant("b", 0.3, 0.5), variant("a", 0.3, 0.5), variant("c", 0.5, 0.3)]
    for order in itertools.permutations(variants):
        assert ships(*order) == "c"
    assert ships(variants[0], variants[1]) == ships(variants[1], variants[0]) == "a"


def test_smoke_clears_nothing() -> None:
    assert to_ship([FP32, variant("small", 0.3, 0.5)], profile="smoke") is None
