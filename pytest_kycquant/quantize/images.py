"""Images as the quantizer reads them: named tensors, in any order and as often as needed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np

from ..errors import DataError
from ..spec import coerce

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ..data.prepared_rows import PreparedRows
    from ..runtimes.feeding import Sample

    Tensor = NDArray[np.float32]
    Named = tuple[str, Sample]


class Images(Protocol):
    """Preprocessed images for one model, each made on demand."""

    @property
    def digest(self) -> str:
        """Hexadecimal digest of names and contents."""

    def __len__(self) -> int:
        """Number of images, at least 1."""

    def named(self, indices: Sequence[int] | None = None) -> Iterator[Named]:
        """Yield (name, sample of the model's input shape) for all images or the given indices."""


class TensorImages:
    """Preprocessed images in memory.

    Args:
        images: float32 tensors of the model's input shape (1, ...), with or without the first axis;
            or (name, tensor) pairs, where the name appears in messages.

    Raises:
        DataError: there are no images, or one is not such a tensor, has another shape than the
            others, or contains NaN or Inf.
    """

    def __init__(self, images: Iterable[Tensor | tuple[str, Tensor]]) -> None:
        if isinstance(images, (str, bytes, os.PathLike, Mapping)) or not isinstance(
            images, Iterable
        ):
            raise DataError(
                "images",
                f"{coerce.shown(images)} is not a sequence of arrays",
                "give arrays or (name, array) pairs; pytest_kycquant.quantize() also reads folders",
            )
        self._named: list[tuple[str, Tensor]] = []
        once = isinstance(images, Iterator)
        for index, each in enumerate(iterator_of(images)):
            name, tensor = _checked(*as_named(index, each))
            shape = self._named[0][1].shape if self._named else tensor.shape
            if tensor.shape != shape:
                raise DataError(
                    name,
                    f"has shape {tensor.shape}, but {self._named[0][0]} has {shape}",
                    "give all images the model's input shape",
                )
            # A generator may fill one buffer again and again.
            self._named.append((name, tensor.copy() if once else tensor))
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


class RowImages:
    """Rows of named arrays of an ``.npz`` file in the place of images.

    Args:
        prepared: prepares the rows.
        path: the file.

    Raises:
        DataError: the file cannot be used.
    """

    def __init__(self, prepared: PreparedRows, path: Path) -> None:
        self._prepared = prepared
        self._rows = prepared.load(path)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array of a sample, (1, ...), by its name."""
        return self._prepared.shapes(self._rows)

    @property
    def digest(self) -> str:
        """Digest of names and contents."""
        return self._rows.digest

    def __len__(self) -> int:
        return len(self._rows)

    def named(self, indices: Sequence[int] | None = None) -> Iterator[Named]:
        """Yield (name, sample) for all rows or the given indices."""
        rows = self._rows if indices is None else self._rows.subset(indices)
        return self._prepared.samples(rows)


class HeldImages:
    """Some prepared images, held in memory.

    Args:
        images: (name, sample) of each, at least one.
        digest: a value that changes whenever they do.
    """

    def __init__(self, images: Iterable[Named], digest: str) -> None:
        self._named = list(images)
        self.digest = digest

    def __len__(self) -> int:
        return len(self._named)

    def named(self, indices: Sequence[int] | None = None) -> Iterator[Named]:
        """Yield (name, sample) for all images or the given indices."""
        return iter(self._named if indices is None else [self._named[i] for i in indices])


def iterator_of(images: Iterable[Any]) -> Iterator[Any]:
    """Begin to read images; what they raise later is an error of whoever makes them.

    Raises:
        DataError: they cannot be read, such as an array of no dimensions.
    """
    found: Iterator[Any] | None = coerce.guarded(lambda: iter(images))
    if found is None:
        problem = f"{coerce.shown(images)} is not a sequence of arrays"
        raise DataError("images", problem, "give arrays or (name, array) pairs")
    return found


def as_named(index: int, image: Any) -> tuple[str, NDArray[Any]]:
    """Give an image a name for messages, unless it is a (name, array) pair that has one.

    Args:
        index: position of the image among all.
        image: an array of any type and shape, or a (name, array) pair.

    Raises:
        DataError: the image is neither.
    """
    remedy = "give an array or a (name, array) pair; images in files are given as a folder"
    name, array = f"image {index}", image
    if isinstance(image, tuple):
        if len(image) != 2:
            raise DataError(name, f"is a tuple of {len(image)} items", remedy)
        if not isinstance(image[0], (str, os.PathLike)):
            raise DataError(name, "is a tuple that does not begin with a name", remedy)
        name, array = str(image[0]), image[1]
    if array is None or isinstance(array, (str, bytes, os.PathLike)):
        raise DataError(name, f"{coerce.shown(array)} is not an array", remedy)
    try:
        return name, np.asarray(array)
    except Exception as error:  # such as rows of different lengths; a class may raise anything
        reason = coerce.guarded(partial(str, error), type(error).__name__)
        raise DataError(name, f"is not an array ({reason})", remedy) from error


def _checked(name: str, array: NDArray[Any]) -> tuple[str, Tensor]:
    if array.dtype != np.float32 or array.ndim not in (3, 4):
        raise DataError(
            name,
            f"is {array.dtype} with {array.ndim} axes, not float32 in the model's input shape",
            "preprocess it as the model expects, for example to float32 of 1 x 3 x 112 x 112",
        )
    if array.ndim == 4 and array.shape[0] != 1:
        raise DataError(
            name, f"is a batch of {array.shape[0]} images", "give each image as an array of its own"
        )
    if not np.isfinite(array).all():
        raise DataError(name, "contains NaN or Inf", "remove it from the calibration images")
    return name, array if array.ndim == 4 else array[None]


class Chosen(Sequence["Sample"]):
    """A selection of images as a sequence of samples, each made on demand.

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

    def __iter__(self) -> Iterator[Sample]:
        return (sample for _, sample in self._images().named(self._indices))

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        chosen = self._indices[index]
        if isinstance(chosen, int):
            return next(self._images().named([chosen]))[1]
        return [sample for _, sample in self._images().named(chosen)]
