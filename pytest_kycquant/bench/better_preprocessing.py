"""Is there a preprocessing with which FP32 is better beyond doubt? Then the gate file's is wrong.

Asked when a golden is recorded. A model that is fed BGR as RGB, or -1..1 as 0..1, still passes most
limits, and its quantized variants degrade little. But verdicts about it are not about production.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.sampling import evenly, spread
from ..errors import GoldenError, KycquantError
from ..spec.alternatives import alternatives
from ..spec.flags import ACCEPT_PREPROCESSING
from ..tasks.base import Task
from ..tasks.quality import is_better, standard_errors
from .people import CHOOSING, EVALUATION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..spec.model import Preprocess
    from ..tasks.base import Part
    from ..tasks.outputs import Outputs
    from ..tasks.quality import Quality
    from .variants import Variants

# How many people are looked at in turn, and by how many standard errors another preprocessing must
# be ahead to be looked at further. The right one is far ahead with few people, since all of their
# images count.
_ROUNDS = ((12, 0.0), (48, 2.0))
_IMAGES_EACH = 4  # of a person, in these rounds
_MOST = 2000  # images in the last round
_STEPS = 3  # changes that are combined
_LOOK = 100  # images whose sizes say whether images are resized


@dataclass(frozen=True, eq=False)
class _Way:
    """One way to prepare images: what to write for it, and the task that does it."""

    changes: tuple[str, ...]
    task: Task[Any, Any]


def refuse_worse(variants: Variants, path: Path) -> None:
    """Refuse to record a golden if another preprocessing is better beyond doubt.

    Args:
        variants: the variants of the model.
        path: the path of the golden.

    Raises:
        GoldenError: there is a better one; the error names it with the figures.
    """
    if type(variants.task).quality is Task.quality:
        return  # there is nothing to compare, as without labels
    role = EVALUATION if variants.data.choosing is None else CHOOSING
    part, fp32 = variants.people.part(role), variants.people.fp32(role)
    now = _Way((), variants.task)
    best, figures = now, None
    with variants.context.stage(f"{variants.model.name}: trying other preprocessings"):
        for _ in range(_STEPS):
            found = _better_than(best, variants, part, fp32 if best is now else None)
            if found is None:
                break
            best, before, after = found
            figures = (figures[0] if figures else before, after)
    if figures is None:
        return
    change = ", ".join(best.changes)
    raise GoldenError(
        path,
        f"is not recorded, because FP32 is better beyond doubt with Preprocess({change}): "
        f"{figures[1].words}, instead of {figures[0].words}",
        "prepare images as for training; if production really prepares them as the gate file says, "
        f"add {ACCEPT_PREPROCESSING}",
    )


def _better_than(
    now: _Way, variants: Variants, part: Part[Any], fp32: Outputs | None
) -> tuple[_Way, Quality, Quality] | None:
    """The most promising of the other ways that is better beyond doubt, with both qualities."""
    left = list(_others(now, part))
    for count, least in _ROUNDS:
        tried = _measured(now, left, variants, part, fp32, count)
        if tried is None:
            continue  # so few people tell nothing
        ahead = [one for one in tried if standard_errors(one[1], one[2]) > least]
        left = [way for way, *_ in sorted(ahead, key=lambda one: one[2].value, reverse=True)]
    for way in left:  # the most promising first, since all images cost
        for found in _measured(now, [way], variants, part, fp32, None) or ():
            if is_better(found[1], found[2]):
                return found
    return None


def _measured(
    now: _Way,
    others: Sequence[_Way],
    variants: Variants,
    part: Part[Any],
    fp32: Outputs | None,
    people: int | None,
) -> list[tuple[_Way, Quality, Quality]] | None:
    """The other ways whose quality is known on some people, with that of the present way.

    None if that of the present way is not known.
    """
    if not others:
        return []
    members = _sample(now.task, part, people)
    few = now.task.members(part, members, "preprocessing")
    ways = [*([now] if fp32 is None else []), *others]
    found = _qualities(ways, variants, few)
    if fp32 is None:
        before = found.pop(0)
    else:
        mine = replace(fp32.subset(members), shapes=fp32.shapes)
        before = _quality(now.task, few, mine)
    if before is None:
        return None
    pairs = zip(others, found, strict=True)
    return [(way, before, after) for way, after in pairs if after is not None]


def _others(now: _Way, part: Part[Any]) -> list[_Way]:
    """The other ways that make any difference for these images."""
    specs = now.task.model.preprocesses
    named: dict[str, list[Preprocess]] = {}
    for spec in specs:
        for change, other in alternatives(spec):
            named.setdefault(change, []).append(other)
    changed = {change.partition("=")[0] for change in now.changes}
    few = part.images.subset(range(min(len(part.images), _LOOK)))
    resized = any(size != spec.size for spec in specs for size in few.sizes)
    return [
        _Way((*now.changes, change), now.task.prepared_by(tuple(others)))
        for change, others in named.items()
        if len(others) == len(specs)
        and change.partition("=")[0] not in changed
        and (resized or not change.startswith(("fit=", "resize=")))
    ]


def _sample(task: Task[Any, Any], part: Part[Any], people: int | None) -> NDArray[np.bool_]:
    """Which images to look at: a few of some people, (N,) bool."""
    owner, kinds = task.people(part.truth), task.spread(part.truth)
    names, images = np.unique(owner, return_counts=True)
    if people is not None:
        if (images > 1).any():  # one image of a person has no genuine pair
            names = names[images > 1]
        names = names[spread(len(names), people)]
    (mine,) = np.nonzero(np.isin(owner, names))
    most = _MOST if people is None else _IMAGES_EACH * people
    members = np.zeros(len(owner), np.bool_)
    members[mine[evenly(kinds[mine], most)]] = True
    return members


def _qualities(ways: Sequence[_Way], variants: Variants, part: Part[Any]) -> list[Quality | None]:
    """The quality of FP32 with each way; None if it cannot run like that."""
    tasks = [way.task for way in ways]
    outputs = variants.prepared_by(tasks, part.images)
    return [
        None if found is None else _quality(task, part, found)
        for task, found in zip(tasks, outputs, strict=True)
    ]


def _quality(task: Task[Any, Any], part: Part[Any], outputs: Outputs) -> Quality | None:
    try:
        return task.quality(part, outputs)
    except KycquantError:  # a metric that does not know such outputs, for example
        return None
