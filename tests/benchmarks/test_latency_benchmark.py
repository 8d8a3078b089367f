"""The benchmark of latency counts the verdicts and reports when its goals are missed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.latency import report, without_charge
from pytest_kycquant.measure.latency import Latency


def latency(ratio: float, *, half: float = 0.02, control: float = 1.01) -> Latency:
    lower, upper = (ratio - half) / control, (ratio + half) * control
    return Latency(ratio, lower, upper, control, 20, 2.0, 2.0, 2.0, 2.5, None)


SAME, SLOWER, EDGE = latency(1.0), latency(1.15), latency(1.0, half=0.01)
USUAL = {"wall clock": [[1.0, 1.2, 0.9], [1.2, 1.3, 1.0]]}


def lines(
    same: list[Latency], slower: list[Latency], limit: Sequence[Latency] = (EDGE,)
) -> list[str]:
    ours = {"A/A": same, "15 % slower": slower, "at the limit": list(limit)}
    return list(report(ours, USUAL))


def cells(table: str, row: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_verdicts_are_counted() -> None:
    usual, _, ours, goals = lines([SAME] * 39 + [latency(1.04, half=0.03)], [SLOWER] * 40)
    assert goals.endswith("met")
    assert cells(usual, "wall clock")[1::2] == ["1 of 3", "2 of 3"]
    assert cells(usual, "**this plugin**")[1::2] == ["0 of 40", "40 of 40"]
    assert cells(ours, "A/A")[:4] == ["39", "0", "1", "0"]
    assert cells(ours, "15 % slower")[:4] == ["0", "40", "0", "0"]


@pytest.mark.parametrize(
    ("same", "slower"),
    [
        ([SAME] * 99 + [latency(1.15)], [SLOWER] * 100),  # one false FAIL is one too many
        ([SAME] * 9 + [latency(1.0, half=0.07)], [SLOWER] * 10),  # a tenth are undecided
        ([SAME] * 10, [SLOWER] * 9 + [SAME]),  # a tenth of the slow ones are missed
    ],
)
def test_missed_goals_are_said(same: list[Latency], slower: list[Latency]) -> None:
    assert lines(same, slower)[-1].endswith("missed")


def test_what_the_control_charges() -> None:
    near = latency(0.985, half=0.01)
    bare = without_charge(near)
    assert (round(bare.lower, 9), round(bare.upper, 9)) == (0.975, 0.995)
    table = lines([SAME], [SLOWER], [near])[2]
    assert cells(table, "at the limit")[:3] == ["0", "0", "1"]
    assert cells(table, "at the limit, nothing charged")[:3] == ["1", "0", "0"]
