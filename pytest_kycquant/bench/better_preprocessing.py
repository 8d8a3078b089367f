"""Is there a preprocessing with which FP32 is better beyond doubt? Then the gate file's is wrong.

Asked when a golden is recorded. A model that is fed BGR as RGB, or -1..1 as 0..1, still passes most
limits, and its quantized variants degrade little. But verdicts about it are not about production.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.own_alternatives import own_alternatives, own_stretched
from ..data.rows import RowSet
from ..data.sampling import evenly, spread
from ..errors import GoldenError, KycquantError
from ..spec.alternatives import Alternative, alternatives, stretched, written
from ..spec.flags import ACCEPT_PREPROCESSING
from ..spec.model import Preprocess
from ..tasks.base import Task
from ..tasks.quality import is_better, standard_errors, why_undecided
from .people import CHOOSING, EVALUATION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tasks.base import Part
    from ..tasks.outputs import Outputs
    from ..tasks.quality import Quality
    from .variants import Variants

# How many people are looked at in turn, and by how many standard errors another preprocessing must
# be ahead to be looked at further. All of their images count, so the right one is soon far ahead.
# But a dozen people may by chance do better with the wrong one.
_ROUNDS = ((12, -1.2), (24, -0.5), (48, 1.0), (96, 2.0))
_IMAGES_EACH = 4  # of a person, in these rounds
_MOST = 2000  # images in the last round
_STEPS = 3  # changes that are combined
_LOOK = 100  # images whose sizes say whether images are resized
_PIXELS = 24  # images whose pixels say whether their contrast is low
_FULL = 128  # levels that the pixels of usual images span at least, without 1 % at each end


@dataclass(frozen=True, eq=False)
class _Way:
    """One way to prepare images.

    Args:
        task: the task that does it.
        changes: for each file, the changes so far.
    """

    task: Task[Any, Any]
    changes: tuple[tuple[Alternative, ...], ...]

    @property
    def ranged(self) -> bool:
        """Whether the last change of a file is one of the range alone."""
        return any(made and made[-1].kind == "range" for made in self.changes)

    @property
    def standardizes(self) -> bool:
        """Whether a change is to standardize each image."""
        return any(one.kind == "range" and one.spec.standardize for c in self.changes for one in c)


_Found = tuple[_Way, "Quality", "Quality"]
"""Another way, the quality before and with it."""


def refuse_worse(variants: Variants, path: Path) -> str:
    """Refuse to record a golden if another preprocessing is better beyond doubt.

    Args:
        variants: the variants of the model.
        path: the path of the golden.

    Returns:
        Why the preprocessing could not be compared with others, in one line; "" if it was, or if
        there are no labels.

    Raises:
        GoldenError: there is a better one; the error names it with the figures.
    """
    task = variants.task
    if type(task).quality is Task.quality:
        return ""  # there is nothing to compare, as without labels
    if not isinstance(task.model.preprocess, Preprocess | tuple):
        return "" if task.model.preprocess is None else "it is given by the names of arrays"
    if isinstance(variants.data.evaluation.images, RowSet):
        return "images are arrays beside others, and other ways were not tried"
    look = _Look(variants)
    if reason := look.why_not():
        return reason
    specs = task.model.preprocesses
    best, figures = look.original, None
    with variants.context.stage(f"{variants.model.name}: trying other preprocessings"):
        for _ in range(_STEPS):
            found = look.better_than(best)
            if found is None:
                break
            best, before, after = found
            figures = (figures[0] if figures else before, after)
    if figures is None:
        return "" if look.tried else "no change around Preprocess.function could be tried"
    better = zip(specs, best.task.model.preprocesses, best.changes, strict=True)
    texts = [_text(*one) for one in better]
    named = zip(texts, task.model.stems, strict=True)
    what = " and ".join(f"{text} for {stem}" for text, stem in named if text)
    if len(set(texts)) == 1:
        what = texts[0]
    raise GoldenError(
        path,
        f"is not recorded, because FP32 is better beyond doubt with {what}: "
        f"{figures[1].words}, instead of {figures[0].words}",
        "prepare images as for training; if production really prepares them as the gate file says, "
        f"add {ACCEPT_PREPROCESSING}",
    )


def qualities_on_few(
    variants: Variants, specs: Sequence[Preprocess], people: int
) -> tuple[int, list[Quality | None]]:
    """How well FP32 does with each of some preprocessings, on a few labelled images.

    This is a first look, for a proposal: it says nothing beyond doubt, and needs no golden.

    Args:
        variants: the variants of a model of one file.
        specs: the preprocessings.
        people: how many people to look at, with a few images of each.

    Returns:
        The number of images, and the quality with each; None where FP32 cannot run on them or
        nothing can be told, as without labels.
    """
    task, part = variants.task, variants.data.evaluation
    few = task.members(part, _members(task, part, people), "preprocessing")
    tasks = [task.prepared_by((spec,)) for spec in specs]
    outputs = variants.prepared_by(tasks, few.images)
    pairs = zip(tasks, outputs, strict=True)
    return len(few.images), [None if out is None else _quality(one, few, out) for one, out in pairs]


def _text(spec: Preprocess, best: Preprocess, changes: Sequence[Alternative]) -> str:
    """What to do to prepare the images of a file the better way; "" if it stays as it is."""
    if not changes:
        return ""
    if spec.function is not None:
        return " and ".join(change.words for change in changes)
    return f"Preprocess({written(spec, best)})"


class _Look:
    """Tries other ways to prepare the images of the people who choose the threshold."""

    def __init__(self, variants: Variants) -> None:
        role = EVALUATION if variants.data.choosing is None else CHOOSING
        self._variants = variants
        self._part, self._fp32 = variants.people.part(role), variants.people.fp32(role)
        self.original = _Way(variants.task, ((),) * len(variants.model.paths))
        self.tried = False  # whether FP32 ran in any other way

    def why_not(self) -> str:
        """Why no other way can be better beyond doubt; "" if one can."""
        return why_undecided(self._whole)

    def better_than(self, now: _Way) -> _Found | None:
        """The most promising of the other ways that is better beyond doubt."""
        left, everybody = self._others(now), self._sample(None).sum()
        for count, least in _ROUNDS:
            members = self._sample(count)
            if members.sum() == everybody:
                break
            tried = self._measured(now, left, members)
            if tried is None:
                continue  # so few people tell nothing
            ahead = [one for one in tried if standard_errors(one[1], one[2]) > least]
            left = [way for way, *_ in sorted(ahead, key=lambda one: one[2].value, reverse=True)]
        # Standardization of each image does nearly as well as any range that is right.
        found = self._first(now, [way for way in left if not way.standardizes])
        other = self._first(now, [way for way in left if way.standardizes])
        if found is None or (other is not None and is_better(found[2], other[2])):
            return other
        return found

    def _first(self, now: _Way, ways: Sequence[_Way]) -> _Found | None:
        """The first of some ways that is better beyond doubt, since all images cost."""
        for way in ways:
            for found in self._measured(now, [way], self._sample(None)) or ():
                if is_better(found[1], found[2]) and not self._by_contrast(now, found):
                    return found
        return None

    def _by_contrast(self, now: _Way, found: _Found) -> bool:
        """Whether another range is better only since the images have little contrast.

        A range that widens such images may help although it is not the model's. But then FP32 is as
        good with the present range if the images themselves are widened.
        """
        way, _, after = found
        if not way.ranged:
            return False
        images = self._variants.task.seen(self._part.images, 0)
        few = images.subset(spread(len(images), _PIXELS))
        pixels = np.concatenate([few.pixels(index).reshape(-1) for index in range(len(few))])
        low, high = np.percentile(pixels, [1, 99]).tolist()
        if high - low >= _FULL or high == low:
            return False
        wide = replace(now, task=_stretched(now.task, low, high))
        everybody = now.task.members(self._part, self._sample(None), "preprocessing")
        (explained,) = self._qualities([wide], everybody)
        return explained is not None and not is_better(explained, after)

    def _measured(
        self, now: _Way, others: Sequence[_Way], members: NDArray[np.bool_]
    ) -> list[_Found] | None:
        """The other ways whose quality is known on some images, with that of the present way.

        None if that of the present way is not known.
        """
        if not others:
            return []
        few = now.task.members(self._part, members, "preprocessing")
        if now is self.original:
            before, found = self._present(members), self._qualities(others, few)
        else:
            before, *found = self._qualities([now, *others], few)
        if before is None:
            return None
        self.tried |= any(after is not None for after in found)
        pairs = zip(others, found, strict=True)
        return [(way, before, after) for way, after in pairs if after is not None]

    @cached_property
    def _whole(self) -> Quality | None:
        return self._quality_of_fp32(self._sample(None))

    def _present(self, members: NDArray[np.bool_]) -> Quality | None:
        """The quality of the way of the gate file, whose outputs are known."""
        if np.array_equal(members, self._sample(None)):
            return self._whole
        return self._quality_of_fp32(members)

    def _quality_of_fp32(self, members: NDArray[np.bool_]) -> Quality | None:
        task = self.original.task
        few = task.members(self._part, members, "preprocessing")
        return _quality(task, few, replace(self._fp32.subset(members), shapes=self._fp32.shapes))

    def _others(self, now: _Way) -> list[_Way]:
        """The other ways that make any difference for these images: for all files, and for each."""
        specs = now.task.model.preprocesses
        few = self._part.images.subset(range(min(len(self._part.images), _LOOK)))
        resized = any(size != spec.size for spec in specs for size in few.sizes)
        known: dict[Preprocess, list[Alternative]] = {}
        for spec in specs:
            if spec not in known:
                known[spec] = [
                    one
                    for one in _alternatives(spec)
                    if resized or one.kind not in ("placement", "pad", "resize")
                ]
        open_to = [
            {one.words: one for one in known[spec] if one.kind not in {c.kind for c in made}}
            for spec, made in zip(specs, now.changes, strict=True)
        ]
        single = [{file: one} for file, mine in enumerate(open_to) for one in mine.values()]
        if len(specs) == 1:
            return [_changed(now, change) for change in single]
        shared = [words for words in open_to[0] if all(words in mine for mine in open_to)]
        # One mistake in all files comes first, so that it is named if it explains as much as less.
        chosen = [{file: mine[words] for file, mine in enumerate(open_to)} for words in shared]
        return [_changed(now, change) for change in (*chosen, *single)]

    def _sample(self, people: int | None) -> NDArray[np.bool_]:
        """Which images to look at: a few of some people, (N,) bool."""
        return _members(self.original.task, self._part, people)

    def _qualities(self, ways: Sequence[_Way], part: Part[Any]) -> list[Quality | None]:
        """The quality of FP32 with each way; None if it cannot run like that."""
        tasks = [way.task for way in ways]
        outputs = self._variants.prepared_by(tasks, part.images)
        return [
            None if found is None else _quality(task, part, found)
            for task, found in zip(tasks, outputs, strict=True)
        ]


def _members(task: Task[Any, Any], part: Part[Any], people: int | None) -> NDArray[np.bool_]:
    """A few images of some people, or of all; (N,) bool."""
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


def _alternatives(spec: Preprocess) -> list[Alternative]:
    try:
        return list(alternatives(spec) if spec.function is None else own_alternatives(spec))
    except KycquantError:  # such as a function that refuses a white image
        return []


def _changed(now: _Way, change: dict[int, Alternative]) -> _Way:
    """A way with one more change of some files."""
    specs, changes = list(now.task.model.preprocesses), list(now.changes)
    for file, one in change.items():
        specs[file] = one.spec
        changes[file] = (*changes[file], one)
    return _Way(now.task.prepared_by(tuple(specs)), tuple(changes))


def _stretched(task: Task[Any, Any], low: float, high: float) -> Task[Any, Any]:
    return task.prepared_by(
        tuple(
            stretched(spec, low, high) if spec.function is None else own_stretched(spec, low, high)
            for spec in task.model.preprocesses
        )
    )


def _quality(task: Task[Any, Any], part: Part[Any], outputs: Outputs) -> Quality | None:
    try:
        return task.quality(part, outputs)
    except KycquantError:  # a metric that does not know such outputs, for example
        return None
