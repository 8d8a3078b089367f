"""The faults between the stages of a pipeline, drift that adds up, and sound changes.

No detector here gives landmarks. One that does has two faults more, landmarks that are exchanged
or shifted; they belong beside `_boxes`, since an alignment is computed from them as a crop is from
a box.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_kycquant import Box, Recipe
from pytest_kycquant.spec.pipeline import STAGES

from .altered import SOUND, SUM, Broken, Fault, Late
from .drift import BIAS, NOISE, Drift, Sized

if TYPE_CHECKING:
    from pytest_kycquant.pipeline.models import Pixels
    from pytest_kycquant.pipeline.stages import Stages

    from .judging import Subject

_LIVENESS_SCALE = 2.7  # of the crops that MiniFASNet was trained on, relative to the face
_RECIPES = ("fp16", "int8-weights", "fp32-optimized")
# What each stage ships alone in the gates of this repository, or nearly: the liveness model ships
# the same precision with one block in FP32.
SHIPS = {
    "detector": Recipe("int8", name="int8-conv", op_types=("Conv",)),
    "liveness": Recipe("int8"),
    "embedder": Recipe("int8-weights"),
}


def seams(subject: Subject) -> Iterator[Fault]:
    """Faults between stages: each stage works as its own gates judged it."""
    yield from _boxes()
    yield from _crops(subject)
    for stage in ("detector", "liveness", "embedder"):
        yield Fault(f"BGR for the {stage}", shown={stage: _swapped})
    yield Fault(
        "BGR for the embedder, on selfies only", shown={"embedder": subject.on_selfies(_swapped)}
    )
    of_document = {
        "liveness": "liveness asked about the document",
        "embedder": "embedding of the selfie taken from the document",
    }
    for stage, title in of_document.items():
        yield Fault(title, shown={stage: subject.on_selfies(subject.document_face)})
    yield from _thresholds()
    for stage in STAGES:
        yield Fault(f"{stage} answers for the image before", answers=_one(stage, Late))
    for stage in STAGES:
        broken = partial(Broken, finds=stage == "detector")
        yield Fault(f"NaN of the {stage} on one image", answers=_one(stage, broken))


def _boxes() -> Iterator[Fault]:
    for by in (1, 2, 4):
        yield Fault(f"box shifted by {by} px", box=partial(shifted, by=by))
    for percent in (2, 5, 10):
        for word, factor in (("larger", 1 + percent / 100), ("smaller", 1 - percent / 100)):
            yield Fault(f"box {percent} % {word}", box=partial(scaled, factor=factor))


def _crops(subject: Subject) -> Iterator[Fault]:
    own = subject.gates.embedder_scale
    yield Fault("embedder's crop of the document at scale 1.0", scale=_instead(own, 1.0))
    yield Fault(
        f"embedder's crops at the scale of liveness, {_LIVENESS_SCALE}",
        scale=lambda scale: _LIVENESS_SCALE,
    )
    for scale in (2.0, 1.2):
        share = scale / _LIVENESS_SCALE
        yield Fault(
            f"liveness crop at scale {scale} instead of {_LIVENESS_SCALE}",
            shown={"liveness": partial(_middle, share=share)},
        )


def _thresholds() -> Iterator[Fault]:
    for stage, other in itertools.permutations(STAGES, 2):
        yield Fault(
            f"threshold of the {other} for the {stage}",
            thresholds=partial(_taken, stage=stage, other=other),
        )


def sums(
    sizes: Mapping[tuple[str, str, int], Sized], seeds: int, ships: Mapping[str, Recipe] = SHIPS
) -> Iterator[Fault]:
    """One, two and three stages that each use .8 of their own budget; and what each ships alone.

    Args:
        sizes: the drift of each stage by stage, kind and seed; noise has only seed 0, since its
            size hardly depends on its directions.
        seeds: number of seeds of each kind.
        ships: what each stage ships alone.
    """
    for kind, number in itertools.product((NOISE, BIAS), (1, 2, 3)):
        for stages in itertools.combinations(STAGES, number):
            for seed in range(seeds):
                drifts = {stage: _drift(sizes, stage, kind, seed) for stage in stages}
                yield Fault(
                    f"{kind} at .8 of the budget: {' + '.join(stages)}",
                    SUM,
                    answers=partial(dict, drifts),
                )
    if ships:
        yield Fault("what each stage ships alone, together", SUM, recipes=ships)


def _drift(sizes: Mapping[tuple[str, str, int], Sized], stage: str, kind: str, seed: int) -> Drift:
    found = sizes[stage, kind, 0 if kind == NOISE else seed].drift
    return replace(found, seed=seed)


def sound(
    recipes: Sequence[str] = _RECIPES, ships: Mapping[str, Recipe] = SHIPS
) -> Iterator[Fault]:
    """Changes that a pipeline should survive: a FAIL is a false alarm.

    Args:
        recipes: precisions for all stages at once.
        ships: what each stage ships alone.
    """
    yield Fault("FP32 itself", SOUND)
    yield Fault("FP32 with 2 threads", SOUND, threads=2)
    yield Fault("box moved by .1 px", SOUND, box=partial(shifted, by=0.1))
    for name in recipes:
        yield Fault(f"{name} everywhere", SOUND, recipes=dict.fromkeys(STAGES, Recipe(name)))
    for stage, recipe in ships.items():
        yield Fault(f"{recipe.name} of the {stage} alone", SOUND, recipes={stage: recipe})


# -- what becomes of boxes, crops, pixels and thresholds -----------------------------------------


def shifted(box: Box, by: float) -> Box:
    """A box moved to the right and down by so many pixels each."""
    return Box(*(side + by for side in box))


def scaled(box: Box, factor: float) -> Box:
    """A box enlarged around its centre."""
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    width, height = factor * box.width / 2, factor * box.height / 2
    return Box(x - width, y - height, x + width, y + height)


def _instead(own: float, other: float) -> Callable[[float], float]:
    return lambda scale: other if scale == own else scale


def _swapped(stages: Stages, pixels: Pixels, photo: Any) -> Pixels:
    return np.ascontiguousarray(pixels[..., ::-1])


def _middle(stages: Stages, pixels: Pixels, photo: Any, share: float) -> Pixels:
    """The middle of a crop, with such a share of its height and width."""
    height, width = pixels.shape[:2]
    top, left = (round(side * (1 - share) / 2) for side in (height, width))
    return np.ascontiguousarray(pixels[top : height - top, left : width - left])


def _taken(thresholds: Mapping[str, float], stage: str, other: str) -> dict[str, float]:
    return {**thresholds, stage: thresholds[other]}


def _one(stage: str, make: Callable[[], Any]) -> Callable[[], dict[str, Any]]:
    return lambda: {stage: make()}
