"""What the benchmark of repeated gates compares, and what it leaves out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks.repeat import comparable, differences

CHECK = {"name": "latency ratio to FP32", "verdict": "PASS", "value": 0.5, "limit": 1.05}
LATENCY = {"gate": "latency", "verdict": "PASS", "checks": [{**CHECK, "detail": "20 rounds"}]}
FAR = {
    "gate": "far",
    "verdict": "PASS",
    "checks": [
        {"name": "FAR", "verdict": "PASS", "value": 1e-4, "upper": 9e-4, "detail": "3 of 9"}
    ],
}
REPORT: dict[str, Any] = {
    "gates": [
        {
            "model": "face",
            "gate": "test_gate.py::TestFace",
            "ship": "int8",
            "variants": [
                {
                    "model": "face",
                    "variant": "int8",
                    "gates": {"latency": LATENCY, "far": FAR},
                    "figures": {"cosine_mean": 0.999, "ratio": 0.5, "upper": 0.6, "load_ms": 3.0},
                    "options": {"rewrites": "PReLU: rewritten, 0.34 [0.32, 0.36] of the latency"},
                }
            ],
            "decisions": [{"requested": "int8", "searches": [{"attempts": [{"seconds": 1.0}]}]}],
        }
    ]
}


def changed(*path: str | int, value: object) -> list[list[str]]:
    other = copy.deepcopy(REPORT)
    place: Any = other["gates"][0]
    for key in path[:-1]:
        place = place[key]
    assert place[path[-1]] != value
    place[path[-1]] = value
    return differences([dict(comparable(report)) for report in (REPORT, REPORT, other)])


VARIANT = ("variants", 0)
FIRST = ("checks", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*VARIANT, "gates", "latency", *FIRST, "value"), 0.6),
        ((*VARIANT, "gates", "latency", *FIRST, "detail"), "60 rounds"),
        ((*VARIANT, "figures", "ratio"), 0.6),
        ((*VARIANT, "figures", "upper"), 0.7),
        ((*VARIANT, "figures", "load_ms"), 4.0),
        ((*VARIANT, "options", "rewrites"), "PReLU: rewritten, 0.35 [0.33, 0.37] of the latency"),
        (("decisions", 0, "searches", 0, "attempts", 0, "seconds"), 2.0),
    ],
)
def test_times_may_differ(path: tuple[str | int, ...], value: object) -> None:
    assert changed(*path, value=value) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("ship",), "fp16"),
        ((*VARIANT, "gates", "latency", "verdict"), "INCONCLUSIVE"),
        ((*VARIANT, "gates", "latency", *FIRST, "limit"), 1.1),
        ((*VARIANT, "gates", "far", *FIRST, "value"), 2e-4),
        ((*VARIANT, "gates", "far", *FIRST, "upper"), 8e-4),
        ((*VARIANT, "gates", "far", *FIRST, "detail"), "4 of 9"),
        ((*VARIANT, "figures", "cosine_mean"), 0.998),
        ((*VARIANT, "options", "rewrites"), "PReLU: not rewritten, 0.98 [0.9, 1.0] of the latency"),
        (("decisions", 0, "searches", 0, "attempts"), []),
    ],
)
def test_everything_else_may_not(path: tuple[str | int, ...], value: object) -> None:
    assert changed(*path, value=value)


def test_each_value_with_its_runs() -> None:
    ((place, shown),) = changed("ship", value="fp16")
    assert place.endswith("TestFace/ship")
    assert shown == '"int8" x 2, "fp16" x 1'
