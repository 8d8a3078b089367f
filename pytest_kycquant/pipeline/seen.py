"""What a pipeline made of images, as arrays and in the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FILE, _TEXTS = "seen.npz", "seen.json"
_ARRAYS, _MAPPINGS = ("embeddings", "found", "scores"), ("broken", "skipped")


@dataclass(frozen=True, eq=False)
class Seen:
    """What a pipeline makes of M images.

    Attributes:
        embeddings: raw embeddings, NaN where there is none or where it is broken; float32. Of
            applicants (M, D): what the function returns. Otherwise (M, K, D): those of all K calls
            of the embedder.
        found: whether there is an embedding, also a broken one, or, if the function returns none,
            whether every stage was reached; (M,) bool.
        scores: smallest probability of a live face that was asked for, (M,) float64; infinite
            where nobody asked, NaN where it is broken.
        broken: names of the images with NaN or Inf, with the stages that gave it.
        skipped: names of the images on which stages were skipped, with these stages.
    """

    embeddings: NDArray[np.float32]
    found: NDArray[np.bool_]
    scores: NDArray[np.float64]
    broken: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    def subset(self, indices: NDArray[Any], names: tuple[str, ...]) -> Seen:
        """Select images by index or by mask, given the names of those."""
        chosen = set(names)
        texts = (
            {name: text for name, text in given.items() if name in chosen}
            for given in (self.broken, self.skipped)
        )
        return Seen(self.embeddings[indices], self.found[indices], self.scores[indices], *texts)

    def differs(self, other: Seen, names: Sequence[str]) -> list[str]:
        """Names of the images about which another answer differs by more than rounding.

        Args:
            other: what was made of the same images.
            names: the names of these images.
        """
        different = self.found != other.found
        different |= ~_close(self.scores, other.scores)
        different |= ~_close(*_of_one_shape(self.embeddings, other.embeddings))
        return [
            name
            for name, bad in zip(names, different.tolist(), strict=True)
            if bad or self.skipped.get(name) != other.skipped.get(name)
        ]

    def told(self) -> dict[str, Any]:
        """The same as plain values, which `of` reads."""
        arrays = {part: getattr(self, part).tolist() for part in _ARRAYS}
        return arrays | {part: dict(getattr(self, part)) for part in _MAPPINGS}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Seen:
        """Invert `told`."""
        return cls(
            np.asarray(told["embeddings"], np.float32),
            np.asarray(told["found"], np.bool_),
            np.asarray(told["scores"], np.float64),
            *(told[part] for part in _MAPPINGS),
        )


def write_seen(folder: Path, seen: Mapping[str, Seen]) -> None:
    """Write what `read_seen` reads."""
    arrays = {
        f"{view}_{part}": getattr(one, part) for view, one in seen.items() for part in _ARRAYS
    }
    np.savez(folder / _FILE, **arrays)
    texts = {
        view: {part: dict(getattr(one, part)) for part in _MAPPINGS} for view, one in seen.items()
    }
    (folder / _TEXTS).write_text(json.dumps(texts), encoding="utf-8")


def read_seen(folder: Path, numbers: Mapping[str, int]) -> dict[str, Seen]:
    """Read what a pipeline makes of images.

    Args:
        folder: where `write_seen` wrote it.
        numbers: number of images of each view.

    Raises:
        ValueError: it is about others.
    """
    texts = json.loads((folder / _TEXTS).read_bytes())
    found = {}
    with (folder / _FILE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
        for view, number in numbers.items():
            arrays = [stored[f"{view}_{part}"] for part in _ARRAYS]
            if any(len(array) != number for array in arrays):
                raise ValueError(f"{folder} holds another number of {view}")
            found[view] = Seen(*arrays, *(dict(texts[view][part]) for part in _MAPPINGS))
    return found


def _close(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows are equal but for rounding, (M,) bool."""
    close = np.isclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)
    rows: NDArray[np.bool_] = close.all(axis=tuple(range(1, close.ndim)))
    return rows


def _of_one_shape(*both: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Embeddings filled up with NaN: a few images may tell neither how many nor how long."""
    shape = np.max([each.shape for each in both], axis=0)
    filled = [np.full(shape, np.nan, np.float32) for _ in both]
    for one, each in zip(filled, both, strict=True):
        one[tuple(map(slice, each.shape))] = each
    return filled
