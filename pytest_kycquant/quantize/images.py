"""Images as the quantizer reads them: named tensors, in any order and as often as needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, overload

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Tensor = NDArray[np.float32]
    Named = tuple[str, Tensor]


class Images(Protocol):
    """Preprocessed images for one model, each made on demand."""

    @property
    def digest(self) -> str:
        """Hexadecimal digest of names and contents."""

    def __len__(self) -> int:
        """Number of images, at least 1."""

    def named(self, indices: Sequence[int] | None = None) -> Iterator[Named]:
        """Yield (name, tensor of the model's input shape) for all images or the given indices."""


class TensorImages:
    """Preprocessed images in memory.

    Args:
        images: float32 tensors of the model's input shape (1, ...), with or without the first axis;
            or (name, tensor) pairs, where the name appears in messages.

    Raises:
        DataError: there are no images, or one is not such a tensor or contains NaN or Inf.
    """

    def __init__(self, images: Iterable[Tensor | Named]) -> None:
        self._named = [
            _checked(*each) if isinstance(each, tuple) else _checked(f"image {index}", each)
            for index, each in enumerate(images)
        ]
        if not self._named:
            raise DataError("images", "there are none", "give 100 to 500 typical images")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, shapes and values."""
        state = hashlib.sha256()
        for name, tensor in self._named:
            state.update(f"{name}\n{tensor.shape}\n".encode())
            state.update(np.ascontiguousarray(tensor).tobytes())
        return state.hexdigest()

    def __len__(self) -> int:
        return len(self._named)

    def named(self, indices: Sequence[int] | None = None) -> Iterator[Named]:
        """Yield (name, tensor) for all images or the given indices."""
        for index in range(len(self)) if indices is None else indices:
            yield self._named[index]


def _checked(name: str, tensor: Tensor) -> Named:
    array = np.asarray(tensor)
    if array.dtype != np.float32 or array.ndim not in (3, 4):
        raise DataError(
            name,
            f"is {array.dtype} with {array.ndim} axes, not float32 in the model's input shape",
            "preprocess it as the model expects, for example to float32 of 1 x 3 x 112 x 112",
        )
    if not np.isfinite(array).all():
        raise DataError(name, "contains NaN or Inf", "remove it from the calibration images")
    return name, array if array.ndim == 4 else array[None]


class Chosen(Sequence["Tensor"]):
    """A selection of images as a sequence of tensors, each made on demand.

    Args:
        images: function that returns all images, called on first use.
        choose: function from the number of images to the indices of the selected ones.
    """

    def __init__(
        self, images: Callable[[], Images], choose: Callable[[int], Sequence[int]]
    ) -> None:
        self._images = images
        self._choose = choose

    @cached_property
    def _indices(self) -> Sequence[int]:
        return self._choose(len(self._images()))

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Tensor]:
        return (tensor for _, tensor in self._images().named(self._indices))

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        chosen = self._indices[index]
        if isinstance(chosen, int):
            return next(self._images().named([chosen]))[1]
        return [tensor for _, tensor in self._images().named(chosen)]
