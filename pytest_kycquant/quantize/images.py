"""Images as the quantizer sees them: tensors with names, in any order and as often as it likes."""

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
    """Preprocessed images of one model, each made when it is asked for."""

    @property
    def digest(self) -> str:
        """Digest of names and contents, in hexadecimal digits."""

    def __len__(self) -> int:
        """Their number, at least 1."""

    def named(self, indices: Sequence[int] | None = None) -> Iterator[Named]:
        """Yield (name, tensor of the model's input shape) of all images or of some."""


class TensorImages:
    """Preprocessed images in memory.

    Args:
        images: tensors, float32, each of the model's input shape (1, ...), or without its first
            axis; or pairs of a name, which messages show, and a tensor.

    Raises:
        DataError: there are none, or one is not such a tensor.
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
        """Yield (name, tensor) of all images or of some."""
        for index in range(len(self)) if indices is None else indices:
            yield self._named[index]


def _checked(name: str, tensor: Tensor) -> Named:
    array = np.asarray(tensor)
    if array.dtype != np.float32 or array.ndim not in (3, 4):
        raise DataError(
            name,
            f"is {array.dtype} of {array.ndim} axes, not a float32 tensor of a model's input shape",
            "preprocess it as the model wants it, such as to float32 of 1 x 3 x 112 x 112",
        )
    if not np.isfinite(array).all():
        raise DataError(name, "contains NaN or Inf", "remove it from the calibration images")
    return name, array if array.ndim == 4 else array[None]


class Chosen(Sequence["Tensor"]):
    """Some images as a sequence of tensors; none is made before it is asked for.

    Args:
        images: asked for all images when the first thing is done with these.
        choose: tells which of so many images.
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
