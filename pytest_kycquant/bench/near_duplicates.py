"""Warnings about evaluation images that are copies of others except for an edit."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.files import listed
from ..data.near_duplicates import MOST, near_duplicates
from ..data.rows import RowSet
from ..errors import NearDuplicateWarning
from ..plain import from_plain, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..context import Store
    from ..data.images import ImageSet
    from ..tasks.base import TaskData

_FILE = "pairs.json"
_EDITS = "mirrored, turned, resized, re-encoded, brightened or inverted"
_WITHIN = "evaluation"

_Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Found:
    """The pairs by the role of the other images."""

    pairs: Mapping[str, _Pairs]


def warn_of_near_duplicates(
    data: TaskData[Any], people: NDArray[np.int64], store: Store
) -> TaskData[Any]:
    """Look for evaluation images that are copies, but for an edit, of images that must differ.

    These are the images for calibration and selection, and evaluation images of other people.

    Args:
        data: the data of a gate.
        people: person on each evaluation image, shape (N,).
        store: keeps the pairs, since large sets have many.

    Returns:
        The data, whose note counts the pairs if there are any.

    Warns:
        NearDuplicateWarning: there are some.
    """
    images = data.evaluation.images
    if isinstance(images, RowSet):
        return data  # rows of arrays have no thumbnails
    others: dict[str, ImageSet] = {_WITHIN: images}
    if data.selection is not None:
        others["selection"] = data.selection.images
    if data.calibration is not None:
        others["calibration"] = data.calibration
    found = {role: pairs for role, pairs in _found(others, people, store).items() if pairs}
    for role, pairs in found.items():
        other = others[role]
        names = listed([f"{images.names[one]} = {other.names[two]}" for one, two in pairs])
        if role == _WITHIN:
            number = f"{_count(pairs)} {_pairs(pairs)}"
            what = "the same image, and count as different people"
            remedy = "keep one image of each pair, or give both to the same person"
        else:
            number = f"{len({one for one, _ in pairs}):,}"
            what = f"also used for {role} ({other.origin})"
            remedy = f"use other photographs for {role}"
        problem = f"{number} of its images for evaluation are, but for an edit ({_EDITS}), {what}"
        warnings.warn(
            f"{images.origin}: {problem}: {names}; {remedy}",
            NearDuplicateWarning,
            stacklevel=2,
        )
    counts = ", ".join(
        f"{_count(pairs)} {_pairs(pairs)} with {role} images" for role, pairs in found.items()
    )
    note = f"evaluation images have near-duplicates: {counts}" if found else ""
    return replace(data, note="; ".join(filter(None, (data.note, note))))


def _pairs(pairs: _Pairs) -> str:
    return "pair" if len(pairs) == 1 else "pairs"


def _count(pairs: _Pairs) -> str:
    return f"{len(pairs):,}{' or more' if len(pairs) >= MOST else ''}"


def _found(
    others: Mapping[str, ImageSet], people: NDArray[np.int64], store: Store
) -> dict[str, _Pairs]:
    """Compare the evaluation images with all others, or recall the result."""
    first = others[_WITHIN].facts

    def build(folder: Path) -> None:
        pairs = {
            role: tuple(
                near_duplicates(first.thumbnails, people=people)
                if role == _WITHIN
                else near_duplicates(first.thumbnails, other.facts.thumbnails)
            )
            for role, other in others.items()
        }
        (folder / _FILE).write_text(json.dumps(plain(_Found(pairs))), encoding="utf-8")

    key = [{role: list(other.facts.digests) for role, other in others.items()}, people.tolist()]

    def read(folder: Path) -> dict[str, _Pairs]:
        found = from_plain(_Found, json.loads((folder / _FILE).read_bytes()), strict=True)
        if found.pairs.keys() != others.keys():
            raise ValueError(f"pairs of {', '.join(found.pairs)}")
        return dict(found.pairs)

    return store.load("near-duplicates", key, build, read)
