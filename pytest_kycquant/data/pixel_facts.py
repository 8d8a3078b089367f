"""Facts about the pixels of images, for which each image is decoded once and never again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32  # of a thumbnail, in pixels


@dataclass(frozen=True, eq=False)
class PixelFacts:
    """Facts about the pixels of N images.

    Attributes:
        digests: SHA-256 of the shape and the RGB pixels of each image. Equal images have equal
            digests, whatever format, metadata or compression they are stored in.
        thumbnails: luma of each image at a size of 32 x 32; shape (N, 32, 32), uint8.
    """

    digests: tuple[str, ...]
    thumbnails: NDArray[np.uint8]

    @classmethod
    def of(cls, images: Iterable[NDArray[np.uint8]]) -> Self:
        """Look at images, one at a time.

        Args:
            images: RGB pixels, (height, width, 3) each.
        """
        found = [(_digest(pixels), _thumbnail(pixels)) for pixels in images]
        return cls(tuple(digest for digest, _ in found), np.array([small for _, small in found]))

    def subset(self, chosen: NDArray[np.int64] | Sequence[int]) -> PixelFacts:
        """Select images by index."""
        digests = tuple(self.digests[index] for index in chosen)
        return PixelFacts(digests, self.thumbnails[np.asarray(chosen, np.int64)])


def _digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    # Luma first: it is a third of the work. The triangular filter blurs a little, so that an image
    # that was made smaller before still has the same thumbnail.
    small = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small)
