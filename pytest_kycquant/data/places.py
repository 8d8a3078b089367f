"""Places of faces in photographs, from a CSV file, and images of what lies there."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import numpy as np

from ..errors import DataError
from .files import is_file, listed
from .images import ImageSet
from .pixel_facts import PixelFacts
from .tables import image_name, malformed, read_table, read_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

Place = TypeVar("Place")
MOST_PIXELS = 1e6  # no image of a face is as large; beyond, squares of float64 may overflow


class PlaceTable(NamedTuple):
    """What a CSV file says about places.

    Args:
        what: places in words, such as "face boxes".
        columns: the columns of numbers, after ``file``.
    """

    what: str
    columns: tuple[str, ...]


def load_places(
    path: Path,
    table: PlaceTable,
    make: Callable[[Sequence[float]], Place],
    check: Callable[[Path, Mapping[str, Place]], None],
) -> dict[Path, Place]:
    """Read a place in each photograph.

    Args:
        path: a CSV file with a line for each image; ``file`` is relative to the folder of the CSV,
            numbers are pixels.
        table: what the file says.
        make: makes a place of the numbers of a line.
        check: raises DataError if places cannot be those of faces. It gets the path and the place
            of each line, by the name of its image and the number of the line.

    Returns:
        The place in each file, by its resolved path.

    Raises:
        DataError: a line is malformed, a place is impossible, or a file does not exist or is listed
            twice.
    """
    columns = ("file", *table.columns)
    remedy = f"fill in {','.join(columns)} with coordinates in pixels"
    empty = f"list the {table.what} of all images"
    rows = read_table(read_text(path, empty), path, columns, empty_remedy=empty, row_remedy=remedy)
    folder = path.parent.resolve()
    places: dict[Path, Place] = {}
    lines: dict[str, Place] = {}
    missing, twice = [], []
    for line, values in rows:
        name = image_name(values["file"], path)
        try:
            numbers = [float(values[column]) for column in table.columns]
        except ValueError as error:
            raise malformed(path, line, remedy) from error
        # A number that is not finite fails this, too.
        if not values["file"] or not all(abs(number) <= MOST_PIXELS for number in numbers):
            raise malformed(path, line, remedy)
        file = Path(os.path.realpath(folder / name))
        label = f"{name} (line {line})"
        lines[label] = place = make(numbers)
        if not is_file(file):
            missing.append(label)
        elif file in places:
            twice.append(label)
        places[file] = place
    check(path, lines)
    relative = "paths are relative to the folder of the CSV"
    for labels, problem, advice in (
        (missing, "lists images that do not exist", relative),
        (twice, "lists images twice", f"keep the line of the person who is captured; {relative}"),
    ):
        if labels:
            raise DataError(path, f"{problem}: {listed(labels)}", advice)
    return places


def places_in(images: ImageSet, places: Mapping[Path, Place], what: str) -> list[Place]:
    """The place in each image; those of other images are ignored.

    Args:
        images: whole photographs, as files.
        places: the places that `load_places` returns.
        what: places in words.

    Raises:
        DataError: the images are an array, to which a CSV cannot refer, or an image has no place.
    """
    if images.is_array:
        raise DataError(
            images.origin,
            f"is an array, but {what} need image files",
            "save the part that the model sees itself",
        )
    files = [Path(images.where(index)).resolve() for index in range(len(images))]
    missing = [name for name, file in zip(images.names, files, strict=True) if file not in places]
    if missing:
        raise DataError(
            images.origin,
            f"contains images without {what}: {listed(missing)}",
            "add a line for each to the CSV",
        )
    return [places[file] for file in files]


class ImageParts(ImageSet, ABC):
    """The part of each photograph that a model sees.

    `digests` and `facts` are those of the whole images: a photograph used for two purposes is a
    leak, whichever part of it is used. `digest` also covers the parts.

    Args:
        images: the whole photographs.
        places: where in each of them the face is.
        way: how the part is made of it; its representation is part of the digest.
    """

    def __init__(self, images: ImageSet, places: Sequence[Any], way: Any) -> None:
        super().__init__(images.origin, images.names, images._source)
        self._images = images
        self._places = tuple(places)
        self._way = way

    @abstractmethod
    def _part(self, pixels: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """The part of one image, RGB, (height, width, 3), uint8.

        Raises:
            DataError: the place does not lie in the image.
        """

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Decode one image and return the part.

        Returns:
            RGB pixels, shape (height, width, 3), uint8.

        Raises:
            DataError: see `ImageSet.pixels`, or the place does not lie in the image.
        """
        return self._part(self._images.pixels(index), index)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the content of each whole image."""
        return self._images.digests

    @cached_property
    def facts(self) -> PixelFacts:
        """Facts about the pixels of each whole image."""
        return self._images.facts

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, contents and places; it does not depend on the order."""
        lines = sorted(
            f"{name}\n{place!r}\n" for name, place in zip(self.names, self._places, strict=True)
        )
        text = f"{self._images.digest}\n{self._way!r}\n{''.join(lines)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def subset(self, indices: NDArray[Any] | Sequence[int]) -> Self:
        """Select images by index or by boolean mask, in the order given.

        Raises:
            DataError: no image is chosen.
        """
        chosen = np.arange(len(self))[indices]
        places = [self._places[index] for index in chosen]
        return type(self)(self._images.subset(indices), places, self._way)
