"""Facts about pixels, kept from run to run: unchanged images are not decoded for them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from .images import ImageSet
from .pixel_facts import SIDE, PixelFacts
from .rows import RowSet

_FILE = "facts.npz"
_SAMPLED = 8  # images whose remembered facts are compared with the images themselves


class Load(Protocol):
    """Reads facts from an artefact, which is made if it does not exist (`context.Store.load`)."""

    def __call__(
        self,
        kind: str,
        depends_on: object,
        build: Callable[[Path], None],
        read: Callable[[Path], PixelFacts],
        check: Callable[[PixelFacts], str] | None = None,
    ) -> PixelFacts:
        """See `context.Store.load`."""


Prepare = Callable[[ImageSet], None]
"""Provides a set of images with its `facts` before anything asks for them."""


def remembering(load: Load) -> Prepare:
    """Return a function that gives image sets their facts, and keeps them as artefacts.

    Args:
        load: see `Load`.
    """

    def prepare(images: ImageSet) -> None:
        if isinstance(images, RowSet):
            return  # no pixels to decode
        first: dict[str, int] = {}
        for index, digest in enumerate(images.digests):
            first.setdefault(digest, index)
        contents = sorted(first)

        def build(folder: Path) -> None:
            facts = PixelFacts.of(images.pixels(first[content]) for content in contents)
            digests = np.frombuffer(bytes.fromhex("".join(facts.digests)), np.uint8)
            np.savez(folder / _FILE, digests=digests, thumbnails=facts.thumbnails)

        def read(folder: Path) -> PixelFacts:
            with (folder / _FILE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                digests = stored["digests"].reshape(len(contents), 32)
                thumbnails = stored["thumbnails"].reshape(len(contents), SIDE, SIDE)
                return PixelFacts(tuple(map(bytes.hex, map(bytes, digests))), thumbnails)

        def check(found: PixelFacts) -> str:
            # Chosen anew in each run: whoever wrote the cache cannot know which.
            number = min(_SAMPLED, len(contents))
            sample = np.random.default_rng().choice(len(contents), number, replace=False)
            again = PixelFacts.of(images.pixels(first[contents[index]]) for index in sample)
            mine = found.subset(sample)
            same = np.array_equal(mine.thumbnails, again.thumbnails)
            if same and mine.digests == again.digests:
                return ""
            return f"holds other pixels than {images.origin}"

        known = load("pixels", contents, build, read, check)
        place = {content: number for number, content in enumerate(contents)}
        images.facts = known.subset([place[digest] for digest in images.digests])

    return prepare


def directly(images: ImageSet) -> None:
    """Leave it to the set to look at its images when somebody asks."""
