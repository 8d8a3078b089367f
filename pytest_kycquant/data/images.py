"""Images as pixels: preprocessing, and sets of images that are decoded lazily."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .decoding import decode, image_size
from .files import find_images, read_file, relative_name
from .own_preprocessing import prepare_by_function
from .pixel_facts import PixelFacts
from .placement import Placement, place
from .resizing import resize_area, resize_linear, resize_nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..spec.model import Preprocess


def preprocess(image: NDArray[np.uint8], spec: Preprocess, where: str) -> NDArray[np.float32]:
    """Turn the pixels of one image into the input tensor of a model.

    Args:
        image: RGB pixels, shape (height, width, 3), uint8.
        spec: size, colours, normalization and layout. GRAY is the ITU-R 601 luma, rounded to
            8 bits exactly as Pillow does.
        where: name of the image, for messages.

    Returns:
        Contiguous tensor of shape ``spec.shape`` (a batch of one), float32.

    Raises:
        DataError: the image has another size and the specification forbids resizing, or a
            function of the user's fails.
    """
    if spec.function is not None:
        return prepare_by_function(image, spec, where)
    height, width = spec.size
    pixels: NDArray[Any] = _luma(image) if spec.channels == "GRAY" else image
    if image.shape[:2] != (height, width):
        if spec.resize == "none":
            raise DataError(
                where,
                f"is {image.shape[1]} x {image.shape[0]} pixels (width x height), "
                f"not {width} x {height}",
                'align it to that size or set Preprocess(resize="bilinear")',
            )
        pixels = _placed(pixels, place(image.shape[:2], spec), spec)
    if spec.channels == "GRAY":
        pixels = pixels[..., np.newaxis]
    elif spec.channels == "BGR":
        pixels = pixels[..., ::-1]
    if spec.standardize:
        tensor = _standardized(pixels)
    else:
        mean = np.asarray(spec.mean, dtype=np.float32)
        scale = np.asarray(spec.scale, dtype=np.float32)
        tensor = (pixels.astype(np.float32) - mean) * scale
    if spec.layout == "NCHW":
        tensor = tensor.transpose(2, 0, 1)
    return np.ascontiguousarray(tensor[np.newaxis])


class ImageSet:
    """Images in a fixed order, each decoded on demand. Treat a set as immutable.

    Build it with `from_folder`, `from_files` or `from_array`.

    Attributes:
        origin: the folder or the ``.npz`` file that the images come from.
        names: name of each image: its posix path below `origin`, or ``file.npz[17]``.
    """

    noun = "image"  # for messages

    def __init__(
        self, origin: Path, names: tuple[str, ...], source: tuple[Path, ...] | NDArray[np.uint8]
    ) -> None:
        if not names:
            raise DataError(origin, "contains no images", "add images or check the path")
        self.origin = origin
        self.names = names
        self._source = source

    @classmethod
    def from_folder(cls, root: Path, remedy: str) -> ImageSet:
        """Make a set of the image files below `root`, at any depth, sorted by their path.

        Args:
            root: the folder.
            remedy: what to do about a folder without images.

        Raises:
            DataError: see `find_images`, or the folder contains no images.
        """
        paths = find_images(root)
        if not paths:
            raise DataError(root, "contains no images", remedy)
        return cls.from_files(root, paths)

    @classmethod
    def from_files(cls, root: Path, paths: Sequence[Path]) -> ImageSet:
        """Make a set of the image files `paths`, which lie below `root`. Nothing is read yet.

        Raises:
            DataError: there are none, or a name cannot be shown on one line.
        """
        return cls(root, tuple(relative_name(path, root) for path in paths), tuple(paths))

    @classmethod
    def from_array(cls, array: NDArray[Any], origin: Path) -> ImageSet:
        """Make a set of the rows of an array.

        Args:
            array: N x H x W x 3 (RGB) or N x H x W (greyscale), uint8.
            origin: the ``.npz`` file that contains the array.

        Raises:
            DataError: the array has another type or shape, or is empty.
        """
        if array.dtype != np.uint8:
            raise DataError(
                origin,
                f"images are {array.dtype}, not uint8",
                "save raw pixels 0..255 as uint8: Preprocess does the normalization",
            )
        if not (array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3)):
            raise DataError(
                origin,
                f"images have the shape {array.shape}",
                "save them as N x H x W x 3 (RGB, channels last) or N x H x W (greyscale)",
            )
        if 0 in array.shape:
            raise DataError(
                origin, f"contains no pixels: images have the shape {array.shape}", "add images"
            )
        names = tuple(f"{origin.name}[{row}]" for row in range(len(array)))
        return cls(origin, names, array)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"ImageSet({len(self)} images from {str(self.origin)!r})"

    @property
    def is_array(self) -> bool:
        """Whether the images are rows of an array, not files."""
        return isinstance(self._source, np.ndarray)

    def where(self, index: int) -> str:
        """Full name of one image, for messages."""
        if isinstance(self._source, np.ndarray):
            return str(self.origin.with_name(self.names[index]))
        return str(self._source[index])

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Decode one image.

        Returns:
            RGB pixels, shape (height, width, 3), uint8.

        Raises:
            DataError: see `decode`, or the file has changed since its digest was taken.
        """
        if isinstance(self._source, np.ndarray):
            row = self._source[index]
            return np.stack([row] * 3, axis=-1) if row.ndim == 2 else row.copy()
        return decode(self._content(self._source[index], index), self.where(index))

    def _content(self, path: Path, index: int) -> bytes:
        """Read a file.

        Results are recorded under the digests, so these must match the content that is used.
        """
        content = read_file(path)
        if "digests" in self.__dict__ and _sha256(content) != self.digests[index]:
            raise DataError(self.where(index), "changed while it was in use", "run again")
        return content

    @cached_property
    def facts(self) -> PixelFacts:
        """Facts about the pixels, for which each image is decoded unless somebody did before.

        Raises:
            DataError: see `pixels`.
        """
        return PixelFacts.of(self.pixels(index) for index in range(len(self)))

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of each image in pixels, read without decoding the files.

        Raises:
            DataError: see `image_size`.
        """
        if isinstance(self._source, np.ndarray):
            height, width = self._source.shape[1:3]
            return ((height, width),) * len(self)
        return tuple(
            image_size(self._content(path, index), self.where(index))
            for index, path in enumerate(self._source)
        )

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the content of each image, before any decoding.

        The digest of a file covers its bytes; that of a row of an array, its shape and its bytes.

        Raises:
            DataError: a file cannot be read.
        """
        if isinstance(self._source, np.ndarray):
            shape = repr(self._source.shape[1:]).encode()
            return tuple(_sha256(shape + row.tobytes()) for row in self._source)
        return tuple(_sha256(read_file(path)) for path in self._source)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents; it does not depend on the order of the images."""
        items = zip(self.names, self.digests, strict=True)
        lines = sorted(f"{name}\n{digest}\n" for name, digest in items)
        return _sha256("".join(lines).encode())

    def subset(self, indices: NDArray[Any] | Sequence[int]) -> ImageSet:
        """Select images by index or by boolean mask, in the order given.

        Raises:
            DataError: no image is chosen.
        """
        chosen = np.arange(len(self))[indices]
        names = tuple(self.names[index] for index in chosen)
        if isinstance(self._source, np.ndarray):
            part = ImageSet(self.origin, names, self._source[chosen])
        else:
            part = ImageSet(self.origin, names, tuple(self._source[index] for index in chosen))
        for known in ("digests", "sizes"):
            if known in self.__dict__:
                values = self.__dict__[known]
                part.__dict__[known] = tuple(values[index] for index in chosen)
        if "facts" in self.__dict__:
            part.facts = self.facts.subset(chosen)
        return part


def _standardized(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Subtract the mean of an image and divide by its deviation, in float64 and rounded once.

    The deviation has a lower bound, as for FaceNet and in TensorFlow: an image of one colour would
    become NaN.
    """
    values = pixels.astype(np.float64)
    deviation = max(float(values.std()), 1.0 / np.sqrt(values.size))
    tensor: NDArray[np.float32] = ((values - values.mean()) / deviation).astype(np.float32)
    return tensor


def _placed(pixels: NDArray[np.uint8], where: Placement, spec: Preprocess) -> NDArray[Any]:
    """Resize the pixels and pad them, or cut off what lies outside of the input."""
    height, width = where.size
    resized = _RESIZE.get(spec.resize, _antialiased)(pixels, where.size)
    if where.size == spec.size:
        return resized
    if spec.placement == "crop":
        rows = slice(-where.top, -where.top + spec.size[0])
        return resized[rows, -where.left : -where.left + spec.size[1]]
    # A colour between two pixels, such as the mean of a data set, needs more than uint8.
    whole = all(isinstance(value, int) for value in np.atleast_1d(spec.pad).tolist())
    shape = (*spec.size, *pixels.shape[2:])
    canvas: NDArray[Any] = np.full(shape, spec.pad, np.uint8 if whole else np.float32)
    canvas[where.top : where.top + height, where.left : where.left + width] = resized
    return canvas


def _antialiased(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize to (height, width) as Pillow does."""
    from PIL import Image

    resized = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized)


_RESIZE = {
    "opencv-bilinear": resize_linear,
    "opencv-area": resize_area,
    "opencv-nearest": resize_nearest,
}
"""How `Preprocess.resize` resizes, unless it is Pillow's way."""


def _luma(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """ITU-R 601 luma in Pillow's fixed-point arithmetic, shape (height, width)."""
    weights = np.array([19595, 38470, 7471], dtype=np.uint32)
    return np.asarray((image.astype(np.uint32) @ weights + 0x8000) >> 16, dtype=np.uint8)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
