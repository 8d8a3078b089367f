"""A cache of decoded pixels, since every variant of a model sees the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .images import ImageSet


class HeldPixels:
    """Keeps the pixels of images in memory until it is full; later images are decoded each time.

    Nothing is evicted: images are read in the same order each time, so the oldest are needed next.

    Args:
        limit: capacity in bytes.
    """

    def __init__(self, limit: int = 128 << 20) -> None:
        self._free = limit
        self._held: dict[tuple[str, str], NDArray[np.uint8]] = {}

    def pixels(self, images: ImageSet, index: int) -> NDArray[np.uint8]:
        """Return the pixels of one image, decoded unless they are kept.

        Returns:
            RGB pixels, shape (height, width, 3), uint8; read-only.

        Raises:
            DataError: see `ImageSet.pixels`.
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
