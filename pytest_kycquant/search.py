"""Search for the mixed-precision model that keeps few operators in FP32 and passes.

Operators are ranked by the harm that each does when it alone is quantized. The number of top
ranked operators kept in FP32 is doubled until the variant passes, then bisected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Attempt:
    """One candidate of the search: how many ranked operators it kept, and what it gave."""

    kept: int
    passed: bool
    reason: str


@dataclass(frozen=True)
class Found:
    """Outcome of a search.

    Args:
        keep: names of the operators to keep in FP32; empty if nothing passed.
        ranking: (name, harm) of every operator, worst first.
        attempts: every candidate in the order of trial.
    """

    keep: tuple[str, ...]
    ranking: tuple[tuple[str, float], ...]
    attempts: tuple[Attempt, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "keep": list(self.keep),
            "ranking": [list(entry) for entry in self.ranking],
            "attempts": [vars(attempt) for attempt in self.attempts],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Found:
        """Inverse of `as_dict`."""
        return cls(
            tuple(values["keep"]),
            tuple((name, harm) for name, harm in values["ranking"]),
            tuple(Attempt(**attempt) for attempt in values["attempts"]),
        )


def search(
    operators: Sequence[str],
    harm: Callable[[str], float],
    try_out: Callable[[tuple[str, ...]], tuple[bool, str]],
    *,
    always: tuple[str, ...] = (),
) -> Found:
    """Find a small set of operators to keep in FP32.

    A variant with more than half of its operators in FP32 is no success and is not tried.

    Args:
        operators: names of the quantizable operators, in topological order.
        harm: how much quantizing one operator alone changes the outputs; larger is worse.
        try_out: builds and judges the variant that keeps the given operators, on data that the
            final verdict does not use; returns whether it passed, and why not.
        always: operators without weights that every candidate keeps; they may be all it takes.
    """
    ranked = sorted(
        ((name, harm(name)) for name in operators),
        key=lambda entry: (-entry[1], operators.index(entry[0])),
    )
    order = [name for name, _ in ranked]
    attempts: list[Attempt] = []

    def passes(count: int) -> bool:
        passed, reason = try_out((*always, *order[:count]))
        attempts.append(Attempt(count, passed, reason))
        return passed

    most = len(order) // 2
    failed, count = (-1, 0) if always else (0, 1)
    while count <= most and not passes(count):
        failed, count = count, min(2 * count or 1, most) if count < most else most + 1
    if count > most:
        return Found((), tuple(ranked), tuple(attempts))
    passed = count
    while passed - failed > 1:
        middle = (passed + failed) // 2
        if passes(middle):
            passed = middle
        else:
            failed = middle
    return Found((*always, *order[:passed]), tuple(ranked), tuple(attempts))
