"""Search for a mixed-precision model that passes with few operators in FP32.

Blocks of operators are ranked by the harm that each does when it alone is quantized. Harms roughly
add up, so the worst blocks are kept in FP32, each time enough of them to halve the remaining harm,
until the candidate passes. Then blocks are given back, that is, quantized again. The least harmful
go first, in groups that shrink from half of the blocks to single ones, as in delta debugging
(Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE 28(2), 2002).
The result is minimal in their sense: giving back any one of its blocks gave a candidate that did
not pass. It need not be the smallest of all sets that pass. If keeping more blocks never makes a
passing set fail, no subset of the result passes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Block:
    """Operators that are kept in FP32, or quantized, as one.

    Args:
        names: names of the operators; the first stands for the block.
        saves: bytes of weights that quantizing the block makes smaller.
    """

    names: tuple[str, ...]
    saves: int = 0


@dataclass(frozen=True)
class Attempt:
    """One candidate of the search, with its result and its cost.

    Args:
        kept: number of blocks in FP32.
        passed: whether the candidate passed.
        reason: why it did not pass, or "".
        seconds: wall-clock time; ignored when two searches are compared.
        stored: type in which the weights of those blocks were stored.
    """

    kept: int
    passed: bool
    reason: str
    seconds: float = field(default=0.0, compare=False)
    stored: str = "float32"


@dataclass(frozen=True)
class KeptSet:
    """A set that passed, with at most half of the blocks in FP32.

    Args:
        keep: names of the operators to keep in FP32.
        blocks: first names of the blocks that are kept, worst first.
        quantized_share: fraction of the bytes of weights that is quantized.
    """

    keep: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    quantized_share: float = 0.0


@dataclass(frozen=True)
class SearchResult:
    """Outcome of a search.

    Args:
        passing: sets that passed, each a subset of the one before it; empty if none did.
        of: total number of blocks.
        minimal: whether no block of the last set can be given back alone.
        note: why the search did not finish, or "".
        ranking: (first name, harm) of every block, worst first.
        attempts: all candidates, in the order in which they were tried.
        stored: type in which the weights of operators in FP32 can be stored.
    """

    passing: tuple[KeptSet, ...]
    of: int
    minimal: bool
    note: str
    ranking: tuple[tuple[str, float], ...]
    attempts: tuple[Attempt, ...]
    stored: str = "float32"

    @property
    def best(self) -> KeptSet:
        """The smallest set that passed; one that keeps nothing if none did."""
        return self.passing[-1] if self.passing else KeptSet()


def search(
    blocks: Sequence[Block],
    harm: Callable[[Block], float],
    try_out: Callable[[tuple[str, ...]], tuple[bool, str]],
    *,
    always: tuple[str, ...] = (),
    budget: int = 60,
) -> SearchResult:
    """Find a minimal set of operators to keep in FP32; the same answers give the same set.

    A variant with more than half of its blocks in FP32 does not count as a success.

    Args:
        blocks: blocks of the quantizable operators, in topological order.
        harm: function that returns how much quantizing one block alone changes the outputs; larger
            is worse.
        try_out: function that builds and judges the variant that keeps the given operators, on data
            that the final verdict does not use. It returns whether the variant passed, and why not.
            No set is tried twice, and sets that keep nothing or everything are not tried.
        always: operators without weights that every candidate keeps; these alone may suffice.
        budget: maximum number of candidates; the smallest set that has passed by then is the
            result.
    """
    harms = {block: harm(block) for block in blocks}
    # Of equally harmful blocks, the one with the most weights is given back first.
    order = sorted(blocks, key=lambda block: (-harms[block], block.saves))
    tries = _Tries(order, try_out, always, budget)
    minimal, note = False, ""
    try:
        if tries.grow([harms[block] for block in order]):
            minimal = tries.give_back()
    except _BudgetUsedUpError:
        note = f"not minimal: the budget of {_candidates(budget)} was used up"
    chosen = [kept for kept in tries.passed if len(kept) <= len(order) // 2]
    if note and not chosen:
        note = f"the budget of {_candidates(budget)} was used up before one passed"
    whole = sum(block.saves for block in order) or 1
    return SearchResult(
        passing=tuple(
            KeptSet(
                tries.names(kept),
                tuple(order[i].names[0] for i in kept),
                1 - sum(order[i].saves for i in kept) / whole,
            )
            for kept in chosen
        ),
        of=len(order),
        minimal=minimal and bool(chosen),
        note=note,
        ranking=tuple((block.names[0], harms[block]) for block in order),
        attempts=tuple(tries.attempts),
    )


def store_smallest(
    found: SearchResult, try_out: Callable[[tuple[str, ...], str], tuple[bool, str]], budget: int
) -> SearchResult:
    """Find the smallest type in which the weights of operators in FP32 can be stored.

    Args:
        found: result of a search.
        try_out: function as in `search`; its second argument is the type to store those weights in,
            "int8" or "float16".
        budget: maximum number of candidates, including those of the search.
    """
    kept = found.best
    for stored in ("int8", "float16") if kept.blocks else ():
        if len(found.attempts) >= budget:
            break
        began = time.monotonic()
        passed, reason = try_out(kept.keep, stored)
        seconds = round(time.monotonic() - began, 1)
        attempt = Attempt(len(kept.blocks), passed, reason, seconds, stored)
        found = replace(found, attempts=(*found.attempts, attempt))
        if passed:
            return replace(found, stored=stored)
    return found


class _BudgetUsedUpError(Exception):
    """Another candidate would exceed the budget."""


class _Tries:
    """Candidates that were tried; a set consists of the ranks of the blocks that it keeps."""

    def __init__(
        self,
        order: list[Block],
        try_out: Callable[[tuple[str, ...]], tuple[bool, str]],
        always: tuple[str, ...],
        budget: int,
    ) -> None:
        self._order = order
        self._try_out = try_out
        self._always = always
        self._budget = budget
        self._known: dict[tuple[int, ...], bool] = {}
        self.attempts: list[Attempt] = []
        self.passed: list[tuple[int, ...]] = []  # each a subset of the one before it

    def names(self, kept: tuple[int, ...]) -> tuple[str, ...]:
        """Names of the operators that a set keeps."""
        return (*self._always, *(name for i in kept for name in self._order[i].names))

    def grow(self, harms: list[float]) -> bool:
        """Keep more and more of the worst blocks, up to all but one, until a candidate passes.

        If none passes, the least harmful block is needed, too, or nothing helps.
        """
        half, most = len(harms) // 2, len(harms) - 1
        left = [sum(harms[count:]) for count in range(len(harms) + 1)]
        count = 0 if self._always else 1
        while count <= most:
            if self._passes(tuple(range(count))):
                return True
            halved = next(k for k in range(count, most + 2) if left[k] <= left[count] / 2)
            larger = max(count + 1, 2 * count, halved)
            # A set of more than half is not a success, but blocks can be given back from it.
            count = min(larger, half) if count < half else max(count + 1, min(larger, most))
        return False

    def give_back(self) -> bool:
        """Give back blocks while candidates pass; return whether the result is minimal.

        This ends early, without hope, once more than half of all blocks are known to be needed.
        """
        kept = self.passed[-1]
        waiting = deque(reversed(kept))  # the least harmful first
        needed = 0  # how many at the end of the queue the present set is known to need
        group = len(waiting) // 2
        while needed < len(waiting) and needed <= len(self._order) // 2:
            group = max(1, min(group, len(waiting) - needed))
            rest = tuple(i for i in kept if i not in [*waiting][:group])
            if self._passes(rest):
                kept, needed = rest, 0
                for _ in range(group):
                    waiting.popleft()
            elif group > 1:
                group //= 2
            else:
                needed += 1
                waiting.rotate(-1)
        return needed == len(waiting)

    def _passes(self, kept: tuple[int, ...]) -> bool:
        # The gate file asked for the variant that keeps nothing, and it did not pass.
        if not kept and not self._always:
            return False
        if kept not in self._known:
            if len(self.attempts) >= self._budget:
                raise _BudgetUsedUpError
            began = time.monotonic()
            passed, reason = self._try_out(self.names(kept))
            seconds = round(time.monotonic() - began, 1)
            self.attempts.append(Attempt(len(kept), passed, reason, seconds))
            self._known[kept] = passed
            if passed:
                self.passed.append(kept)
        return self._known[kept]


def _candidates(number: int) -> str:
    return f"{number:,} candidate{'' if number == 1 else 's'}"
