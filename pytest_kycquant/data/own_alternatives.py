"""What can be changed about images that a function of the user's prepares, whatever it does.

Nobody can look inside of the function. But its pixels can be exchanged, and what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..spec.alternatives import SAME, Alternative
from .own_preprocessing import prepare_by_function

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..spec.model import Preprocess

    Pixels = NDArray[np.uint8]
    Tensor = NDArray[np.float32]

_RANGES = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
_RESULT = "what Preprocess.function returns brought to the range "
_SEED = 0  # of the noise on which two changes are compared


def own_alternatives(spec: Preprocess) -> Iterator[Alternative]:
    """Yield the usual other ways that a function can be wrong in, each with one change.

    Args:
        spec: a preprocessing with a function of its own.

    Raises:
        DataError: the function cannot prepare black, white or noise.
    """
    own = _Own(spec)
    if spec.depth == 3:
        before = own.changed(lambda pixels: pixels[..., ::-1])
        after = own.changed(result=lambda tensor: np.flip(tensor, own.axis))
        yield Alternative(
            "channels",
            before,
            "the colours of the pixels exchanged before Preprocess.function gets them",
        )
        noise = np.random.default_rng(_SEED).integers(0, 256, (*spec.size, 3), dtype=np.uint8)
        one, other = (prepare_by_function(noise, way, "noise") for way in (before, after))
        if not np.allclose(one, other, rtol=1e-5, atol=1e-5 * float(np.abs(one).max())):
            yield Alternative(
                "channels", after, "the channels of what Preprocess.function returns exchanged"
            )
    yield from own.ranges()


def own_stretched(spec: Preprocess, low: float, high: float) -> Preprocess:
    """The same function for images whose pixels are first stretched to 0..255."""

    def stretch(pixels: Pixels) -> Pixels:
        wide = (pixels.astype(np.float32) - low) * (255 / (high - low))
        found: Pixels = wide.round().clip(0, 255).astype(np.uint8)
        return found

    return _Own(spec).changed(stretch)


class _Own:
    """A preprocessing by a function, and others around the same function."""

    def __init__(self, spec: Preprocess) -> None:
        self._spec = spec
        self.axis = 1 if spec.layout == "NCHW" else 3  # of the channels

    def changed(
        self,
        pixels: Callable[[Pixels], Pixels] | None = None,
        result: Callable[[Tensor], Tensor] | None = None,
    ) -> Preprocess:
        """The preprocessing with something done before the function, or after it."""
        spec = self._spec

        def function(image: Pixels) -> Tensor:
            given = image if pixels is None else np.ascontiguousarray(pixels(image))
            found = prepare_by_function(given, spec, "image")
            return found if result is None else result(found)

        return replace(spec, function=function)

    def ranges(self) -> Iterator[Alternative]:
        """Yield its result brought to other ranges, if it follows from the pixels what its is."""
        black, white = (self._levels(value) for value in (0, 255))
        if not (white - black > 1e-6 * np.abs([black, white]).max()).all():
            return  # such as images that are standardized one by one
        for name, (low, high) in _RANGES.items():
            apart = max(np.abs(black - low).max(), np.abs(white - high).max())
            if apart > SAME * (high - low):
                yield Alternative("range", self._brought(black, white, low, high), _RESULT + name)

    def _levels(self, value: int) -> NDArray[np.float64]:
        """What a black or white image becomes, for each channel; padding is a smaller part."""
        image = np.full((*self._spec.size, 3), value, np.uint8)
        tensor = prepare_by_function(image, self._spec, "black" if not value else "white")
        others = tuple(axis for axis in range(4) if axis != self.axis)
        found: NDArray[np.float64] = np.median(
            tensor.astype(np.float64), axis=others, keepdims=True
        )
        return found

    def _brought(
        self, black: NDArray[np.float64], white: NDArray[np.float64], low: float, high: float
    ) -> Preprocess:
        factor = (high - low) / (white - black)
        offset = low - black * factor
        return self.changed(result=lambda tensor: (tensor * factor + offset).astype(np.float32))
