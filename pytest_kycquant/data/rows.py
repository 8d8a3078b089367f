"""Rows of named arrays in the place of images: pairs of images, features, ids of tokens.

The names of the arrays are those of the inputs of a model. An array of images is N x H x W x 3,
uint8; `Preprocess` prepares it. All others are given to the model as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .files import listed, load_npz, npz_names
from .images import ImageSet
from .pixel_facts import PixelFacts

LABELS = ("labels", "subjects")
"""Names of arrays that are not inputs."""


class RowSet(ImageSet):
    """Rows of named arrays, each in the place of one image.

    Wherever only names and contents count (splits, leakage, copies, digests), rows are images. They
    have no pixels and no thumbnails.

    Args:
        origin: the ``.npz`` file.
        names: name of each row, such as ``file.npz[17]``.
        arrays: the arrays by name, N rows each, at least one.
    """

    noun = "row"

    def __init__(
        self, origin: Path, names: tuple[str, ...], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        super().__init__(origin, names, np.empty((len(names), 0, 0), np.uint8))
        self.arrays = dict(arrays)

    @classmethod
    def load(cls, path: Path) -> RowSet:
        """Read all arrays of an ``.npz`` file but those of `LABELS`.

        Raises:
            DataError: there are none, they differ in length, or one holds anything but finite
                numbers and booleans.
        """
        wanted = [name for name in npz_names(path) if name not in LABELS]
        if not wanted:
            raise DataError(
                path, "contains no arrays for the inputs of the model", "save one for each input"
            )
        arrays = load_npz(path, *wanted)
        for name, array in arrays.items():
            if array.dtype.kind not in "biuf" or not array.ndim or not array.size:
                raise DataError(
                    path,
                    f"array {name!r} is {array.dtype} of shape {array.shape}",
                    "save numbers or booleans with a row for each label; text as ids of tokens",
                )
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            each = listed([f"{name} {count}" for name, count in lengths.items()])
            raise DataError(path, f"has arrays of different lengths: {each}", "save rows alike")
        count = next(iter(lengths.values()))
        names = tuple(f"{path.name}[{row}]" for row in range(count))
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                wrong = ~np.isfinite(array.reshape(count, -1)).all(axis=1)
                rows = listed([names[row] for row in np.flatnonzero(wrong)])
                raise DataError(
                    path, f"array {name!r} is not finite in {rows}", "correct or remove these rows"
                )
        return cls(path, names, arrays)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self.arrays)

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of the arrays of images."""
        return tuple(name for name, array in self.arrays.items() if is_images(array))

    def row(self, index: int) -> dict[str, NDArray[Any]]:
        """The arrays of one row by name, of shape (1, ...)."""
        return {name: array[index : index + 1] for name, array in self.arrays.items()}

    def rows(self) -> Iterator[dict[str, NDArray[Any]]]:
        """The arrays of each row; see `row`."""
        return map(self.row, range(len(self)))

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Rows have no pixels.

        Raises:
            DataError: always.
        """
        raise DataError(self.where(index), "is a row of arrays, not an image", "report this")

    @cached_property
    def facts(self) -> PixelFacts:
        """Digests alone; thumbnails are blank, since rows are not looked at."""
        return PixelFacts(self.digests, np.zeros((len(self), 1, 1), np.uint8))

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the images of each row, array by array, in pixels."""
        found = [array.shape[1:3] for array in self.arrays.values() if is_images(array)]
        return tuple((height, width) for height, width in found)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the names, types, shapes and values of the arrays of each row."""
        head = "\n".join(
            f"{name} {self.arrays[name].dtype} {self.arrays[name].shape[1:]}"
            for name in sorted(self.arrays)
        ).encode()
        found = []
        for row in self.rows():
            state = hashlib.sha256(head)
            for name in sorted(row):
                state.update(row[name].tobytes())
            found.append(state.hexdigest())
        return tuple(found)

    @cached_property
    def picture_digests(self) -> dict[str, str]:
        """SHA-256 of the pixels of each image in a row, and where it stands."""
        found = {}
        for name in self.pictures:
            array = self.arrays[name]
            head = repr(array.shape[1:]).encode()
            for row, image in zip(self.names, array, strict=True):
                found[hashlib.sha256(head + image.tobytes()).hexdigest()] = f"{row} {name}"
        return found

    def subset(self, indices: NDArray[Any] | Sequence[int]) -> RowSet:
        """Select rows by index or by boolean mask, in the order given.

        Raises:
            DataError: no row is chosen.
        """
        chosen = np.arange(len(self))[indices]
        names = tuple(self.names[index] for index in chosen)
        arrays = {name: array[chosen] for name, array in self.arrays.items()}
        part = RowSet(self.origin, names, arrays)
        if "digests" in self.__dict__:
            part.__dict__["digests"] = tuple(self.digests[index] for index in chosen)
        return part


def is_images(array: NDArray[Any]) -> bool:
    """Whether an array holds RGB images: N x H x W x 3, uint8."""
    return array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == 3
