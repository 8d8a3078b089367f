"""How images are probably prepared for a model, and which way is best where labels can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..spec.alternatives import alternatives
from ..spec.model import Preprocess
from ..spec.presets import ARCFACE, MINIFASNET, YOLOV8
from .model_facts import ModelFacts

if TYPE_CHECKING:
    from ..bench.variants import Variants

_RAW = Preprocess(size=(1, 1), channels="BGR", resize="opencv-bilinear")
_USUAL = {
    "face": replace(ARCFACE, resize="bilinear"),
    "liveness": replace(YOLOV8, fit="stretch"),
    "detector": YOLOV8,
    "other": replace(YOLOV8, fit="stretch"),
}
# What the authors of public models use; docs/presets.md has the same table.
_OF_LAYOUT = {
    "scrfd": replace(YOLOV8, mean=127.5, scale=1 / 128, fit="top-left", pad=0),
    "yunet": _RAW,
    "retinaface": replace(_RAW, mean=(104.0, 117.0, 123.0)),
    "ultraface": replace(YOLOV8, mean=127.0, scale=1 / 128, fit="stretch"),
    "yolox": replace(_RAW, fit="top-left"),
}
_SIDE_OF_MINIFASNET = 80
_CLEAR = 1.0  # standard errors by which another way must be ahead of the usual one
FEW_PEOPLE, _MORE_PEOPLE = 24, 96
_BEST = 2  # ways that more people are looked at with, beside the usual one


@dataclass(frozen=True)
class Choice:
    """A preprocessing, and why it was chosen.

    Args:
        spec: the preprocessing.
        reason: the reason in words.
        measured: whether images with labels showed it.
    """

    spec: Preprocess
    reason: str
    measured: bool = False


def usual(facts: ModelFacts) -> Choice:
    """The preprocessing that the authors of such models use."""
    name, reason = Path(facts.path).stem.lower(), ""
    spec = _USUAL[facts.family]
    if facts.family == "detector" and facts.detectors[0].layout in _OF_LAYOUT:
        spec = _OF_LAYOUT[facts.detectors[0].layout]
        reason = "what the authors of this layout use"
    elif facts.family == "liveness" and (
        "minifasnet" in name or facts.height_width == (_SIDE_OF_MINIFASNET,) * 2
    ):
        spec, reason = MINIFASNET, "that of Silent-Face-Anti-Spoofing, as the size suggests"
    elif facts.family == "face":
        reason = "that of InsightFace"
    elif facts.family == "detector":
        reason = "that of Ultralytics"
    changes: dict[str, Any] = {"size": facts.height_width, "layout": facts.layout}
    if facts.depth == 1:
        changes |= {"channels": "GRAY", "mean": 127.5, "scale": 1 / 127.5}
    if facts.dtype == "uint8":
        changes |= {"mean": 0.0, "scale": 1.0}
        reason = "pixels as they are, since the input is uint8"
    return Choice(replace(spec, **changes), reason or "a common one")


def candidates(spec: Preprocess, *, ranges: bool = True) -> list[Preprocess]:
    """The preprocessing, and the usual other orders of colours and ranges.

    Args:
        spec: the preprocessing to start from.
        ranges: whether ranges may differ; a uint8 input fixes them.
    """
    orders = [spec, *(one.spec for one in alternatives(spec) if one.kind == "channels")]
    found = list(orders)
    for order in orders if ranges else ():
        found += [one.spec for one in alternatives(order) if one.kind == "range"]
    return list(dict.fromkeys(found))


def best(variants: Variants, usual_one: Choice, specs: Sequence[Preprocess]) -> Choice:
    """The best of some preprocessings on a few labelled images.

    Args:
        variants: the model with its data.
        usual_one: the preprocessing of the model as it stands, with its reason.
        specs: all ways to try, this one among them.
    """
    from ..bench.better_preprocessing import qualities_on_few
    from ..tasks.quality import standard_errors

    _, first = qualities_on_few(variants, specs, FEW_PEOPLE)
    known = {spec: one for spec, one in zip(specs, first, strict=True) if one is not None}
    if usual_one.spec not in known:
        return usual_one
    tried = len(known)
    # A few images may by chance do better with the wrong one: more look at the best of them.
    ahead = sorted(known, key=lambda spec: known[spec].value, reverse=True)[:_BEST]
    left = list(dict.fromkeys([usual_one.spec, *ahead]))
    count, second = qualities_on_few(variants, left, _MORE_PEOPLE)
    known = {spec: one for spec, one in zip(left, second, strict=True) if one is not None}
    if usual_one.spec not in known:
        return usual_one
    base = known[usual_one.spec]
    chosen = max(known, key=lambda spec: known[spec].value)
    if standard_errors(base, known[chosen]) < _CLEAR:
        chosen = usual_one.spec
    reason = f"best of {tried} ways on {count} images: {known[chosen].words}"
    if chosen != usual_one.spec:
        reason += f"; the usual one: {base.words}"
    return Choice(chosen, reason, measured=True)
