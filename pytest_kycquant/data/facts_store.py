"""Facts about pixels, kept from run to run: unchanged images are not decoded for them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .images import ImageSet
from .pixel_facts import PixelFacts

_FILE = "facts.npz"

Entry = Callable[[str, object, Callable[[Path], None]], Path]
"""Returns the folder of an artefact that its third argument makes (`context.Store.entry`)."""
Prepare = Callable[[ImageSet], None]
"""Provides a set of images with its `facts` before anything asks for them."""


def remembering(entry: Entry) -> Prepare:
    """Return a function that gives image sets their facts, and keeps them as artefacts.

    Args:
        entry: see `Entry`.
    """

    def prepare(images: ImageSet) -> None:
        first: dict[str, int] = {}
        for index, digest in enumerate(images.digests):
            first.setdefault(digest, index)
        contents = sorted(first)

        def build(folder: Path) -> None:
            facts = PixelFacts.of(images.pixels(first[content]) for content in contents)
            digests = np.frombuffer(bytes.fromhex("".join(facts.digests)), np.uint8)
            np.savez(folder / _FILE, digests=digests, thumbnails=facts.thumbnails)

        with np.load(entry("pixels", contents, build) / _FILE, allow_pickle=False) as stored:
            digests = stored["digests"].reshape(len(contents), -1)
            known = PixelFacts(tuple(map(bytes.hex, map(bytes, digests))), stored["thumbnails"])
        place = {content: number for number, content in enumerate(contents)}
        images.facts = known.subset([place[digest] for digest in images.digests])

    return prepare


def directly(images: ImageSet) -> None:
    """Leave it to the set to look at its images when somebody asks."""
