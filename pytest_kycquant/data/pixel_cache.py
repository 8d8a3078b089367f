"""Decoded pixels that are kept, since every variant of a model is shown the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .images import ImageSet


class HeldPixels:
    """Keeps the pixels of images in memory until it is full; what comes later is decoded anew.

    Nothing is dropped for what comes later: images are read in the same order each time, and the
    oldest of them are those that are wanted next.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int = 128 << 20) -> None:
        self._free = limit
        self._held: dict[tuple[str, str], NDArray[np.uint8]] = {}

    def pixels(self, images: ImageSet, index: int) -> NDArray[np.uint8]:
        """Decode one image, or remember it.

        Returns:
            RGB pixels, shape (height, width, 3), uint8; read-only.

        Raises:
            DataError: as `ImageSet.pixels`.
        """
        # The digest of a set covers names and contents, not their order.
        key = images.digest, images.names[index]
        pixels = self._held.get(key)
        if pixels is None:
            pixels = images.pixels(index)
            pixels.flags.writeable = False
            if pixels.nbytes <= self._free:
                self._held[key] = pixels
                self._free -= pixels.nbytes
        return pixels
