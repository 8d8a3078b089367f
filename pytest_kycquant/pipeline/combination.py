"""Which variants hold together, if those that ship alone do not.

Each model was cleared alone, within its own budget. Together the budgets may be used up: a box that
moves, a crop that follows it and an embedder that drifts add up. So the least costly combination of
variants that were cleared alone is looked for, on people whom the verdict does not use.

First each variant is tried with FP32 at all other stages: what does not hold there cannot be
expected to hold with more noise. Then the combinations of the rest are tried in the order of their
costs. All stages in FP32 come last.

What is found may be too good by luck, and the others may be too few to show that it holds. So it is
confirmed step by step, from FP32 everywhere to the combination, one stage at a time, until a step
does not hold: hypotheses in an order that was fixed beforehand are each tested at the full level
(Maurer, Hothorn and Lehmacher 1995). The detector comes last, since all others see its crops.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..spec.settings import ShipBy
    from .models import Stage

Choices = Mapping[str, "Choice"]


@dataclass(frozen=True)
class Choice:
    """A variant that may stand at a stage.

    Args:
        stage: the variant.
        ms: CPU time of one image in ms; None if it was not measured.
    """

    stage: Stage
    ms: float | None = None

    @property
    def variant(self) -> str:
        """Label of the variant."""
        return self.stage.variant


@dataclass(frozen=True)
class Tried:
    """A combination that was tried.

    Args:
        variants: label of the variant at each stage.
        cost: size times time relative to FP32, or what `ship_by` names instead.
        objection: why it does not hold; "" if it does.
    """

    variants: Mapping[str, str]
    cost: float
    objection: str


@dataclass(frozen=True)
class Found:
    """What a search for a combination found.

    Args:
        alone: the variants that ship alone.
        searched: the combination that holds on the people of the search; FP32 if no other does.
        variants: what the other people confirm of it, which ships.
        dropped: what was said against a variant with FP32 at all other stages, by "stage variant".
        tried: the combinations that were tried, in that order.
        stopped: what the next step lacked, with its stage; "" if all of it is confirmed.
        note: why nothing was searched, or why the search ended early; "" if it did not.
    """

    alone: Mapping[str, str]
    searched: Mapping[str, str]
    variants: Mapping[str, str]
    dropped: Mapping[str, str] = field(default_factory=dict)
    tried: tuple[Tried, ...] = ()
    stopped: str = ""
    note: str = ""

    @property
    def happened(self) -> bool:
        """Whether there was a search."""
        return bool(self.dropped or self.tried)

    def gave(self) -> Iterator[str]:
        """Describe each stage that does not keep the variant that ships alone, and why."""
        for stage, variant in self.alone.items():
            now = self.variants[stage]
            if now == variant:
                continue
            why = self.dropped.get(f"{stage} {variant}", "")
            found = self.searched[stage]
            if why:
                why = f"with FP32 at the other stages, {why}"
                if found != now:
                    why += f"; {found} was found instead, and not confirmed: {self.stopped}"
            elif found == variant:
                why = f"not confirmed: {self.stopped}"
            else:
                with_it = [one for one in self.tried if one.variants[stage] == variant]
                least = [one for one in with_it if one.objection]
                cheaper = "another combination costs less and holds"
                why = f"together, {least[0].objection}" if least else cheaper
            yield f"{stage}: {now} instead of {variant}: {why}"


def costs(choices: Choices, fp32: Choices, ship_by: ShipBy) -> float:
    """What a combination costs relative to FP32; times count only if all are known.

    Args:
        choices: the combination.
        fp32: FP32 at every stage.
        ship_by: what is smallest: the "product" of size and time, "latency" or "size".
    """
    size = _total(choices, lambda one: one.stage.size) / _total(fp32, lambda one: one.stage.size)
    known = all(one.ms is not None for one in (*choices.values(), *fp32.values()))
    time = 1.0
    if known:
        time = _total(choices, lambda one: one.ms or 0.0) / _total(fp32, lambda one: one.ms or 0.0)
    return {"product": size * time, "latency": time, "size": size}[ship_by]


def search(
    choices: Mapping[str, Sequence[Choice]],
    alone: Choices,
    objection: Callable[[Choices], str],
    ship_by: ShipBy,
    budget: int,
) -> Found:
    """Look for the least costly combination that holds.

    Args:
        choices: the variants of each stage that were cleared alone; FP32 is the first.
        alone: those that ship alone, which do not hold together.
        objection: says why a combination does not hold on the people of the search, or "".
        ship_by: what decides among combinations, see `costs`.
        budget: the most combinations to try.
    """
    fp32 = {stage: given[0] for stage, given in choices.items()}
    dropped: dict[str, str] = {}
    kept: dict[str, list[Choice]] = {stage: [one] for stage, one in fp32.items()}
    for stage, given in choices.items():
        for choice in given[1:]:
            if why := objection({**fp32, stage: choice}):
                dropped[f"{stage} {choice.variant}"] = why
            else:
                kept[stage].append(choice)
    combinations = [
        dict(zip(kept, chosen, strict=True)) for chosen in itertools.product(*kept.values())
    ]
    # A stable order also where costs are equal.
    combinations.sort(key=lambda each: (costs(each, fp32, ship_by), *_labels(each).values()))
    labels, note = _labels(alone), ""
    tried: list[Tried] = []
    for combination in combinations:
        if combination == fp32:
            continue
        if len(tried) == budget:
            note = f"the search stopped after {budget} combinations"
            break
        why = objection(combination)
        tried.append(Tried(_labels(combination), costs(combination, fp32, ship_by), why))
        if not why:
            found = _labels(combination)
            return Found(labels, found, found, dropped, tuple(tried))
    return Found(labels, _labels(fp32), _labels(fp32), dropped, tuple(tried), note=note)


def steps(choices: Choices, fp32: Choices) -> Iterator[tuple[str, Choices]]:
    """The combinations from FP32 to the one that was found, and the stage that each one adds."""
    step = dict(fp32)
    for stage in reversed(list(choices)):
        if choices[stage].variant != fp32[stage].variant:
            step = {**step, stage: choices[stage]}
            yield stage, step


def _labels(choices: Choices) -> dict[str, str]:
    return {stage: choice.variant for stage, choice in choices.items()}


def _total(choices: Choices, of: Callable[[Choice], float]) -> float:
    return sum(map(of, choices.values()))
