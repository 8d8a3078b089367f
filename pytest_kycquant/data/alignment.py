"""Faces aligned by five landmarks, as ArcFace and its relatives were trained on.

A similarity transform (rotation, scale and shift) moves the eyes, the nose and the corners of the
mouth as near as possible to their places in InsightFace's template. Production code does this with
``cv2.warpAffine``; what is here gives the same pixels, bit for bit, without OpenCV.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, LandmarksWarning, SpecError
from .files import listed
from .landmarks import TABLE, TEMPLATE
from .places import MOST_PIXELS, ImageParts, places_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .images import ImageSet
    from .landmarks import Landmarks

_MOST_OUTSIDE = 2  # landmarks: a detector guesses where a hidden eye or mouth is
_PATTERN = 10  # images in which something cannot be chance
_LEAST_WIDE = 1.0  # pixels from the first to the last landmark, down or across
_OF_THIS_IMAGE = "give landmarks in pixels of this image, after its EXIF orientation is applied"


def template(
    size: tuple[int, int], where: str = "FaceVerification.landmarks"
) -> NDArray[np.float64]:
    """The places of the landmarks in an image of `size` (height, width) pixels, (5, 2).

    Args:
        size: (height, width) of the aligned face.
        where: the attribute that asks for alignment, for messages.

    Raises:
        SpecError: it is not a square of a multiple of 112 or 128 pixels, for which InsightFace
            defines them.
    """
    height, width = size
    if height == width and width % 112 == 0:
        return TEMPLATE.astype(np.float64) * (width / 112)
    if height == width and width % 128 == 0:
        return TEMPLATE.astype(np.float64) * (width / 128) + [8.0 * width / 128, 0.0]
    raise SpecError(
        where,
        f"the template is not defined for faces of {height} x {width} pixels",
        "set Preprocess(size=...) to multiples of 112 or 128, or align the images yourself",
    )


def similarity(
    source: NDArray[np.floating], target: NDArray[np.floating]
) -> tuple[NDArray[np.float64], float]:
    """The similarity transform that moves points nearest to others, by least squares.

    As complex numbers, ``target = a * source + b`` has this closed solution; it equals that of
    Umeyama (IEEE PAMI 13 (4), 1991) wherever no reflection would be better.

    Args:
        source: points, (N, 2).
        target: where they should come to lie, (N, 2).

    Returns:
        The matrix (2, 3) float64, and the root of the mean squared distance that remains; the
        distance is infinite if all source points are one.
    """
    one, other = (np.asarray(p, np.float64) @ [1, 1j] for p in (source, target))
    centred = one - one.mean()
    spread = float((np.abs(centred) ** 2).sum())
    if spread == 0:
        return np.full((2, 3), np.nan), np.inf
    a = centred.conj() @ (other - other.mean()) / spread
    b = other.mean() - a * one.mean()
    left = float(np.sqrt((np.abs(a * one + b - other) ** 2).mean()))
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]]), left


def warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """``cv2.warpAffine(image, matrix, ...)``: bilinear, black outside of the image.

    It follows the arithmetic of OpenCV 5 on CPUs with fused multiply-add, in float32. OpenCV
    computes the last columns otherwise if the width is not a multiple of 16; some pixels then
    differ by one.

    Args:
        image: pixels, (height, width, channels), uint8.
        matrix: from pixels of the image to those of the result, (2, 3).
        size: (height, width) of the result.
    """
    inverse = _inverse(matrix).astype(np.float32)
    columns = np.arange(size[1], dtype=np.float32)[None]
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    whole, rest = [], []
    for factors in inverse:
        start = factors[1] * rows + factors[2]
        place = _fused(factors[0], columns, start)
        floor = np.floor(place)
        whole.append(floor.astype(np.int64))
        rest.append((place - floor)[..., None])
    (x, y), (right, below) = whole, rest
    first, second, third, fourth = (_at(image, y + i, x + j) for i in (0, 1) for j in (0, 1))
    above = _fused(right, second - first, first)
    under = _fused(right, fourth - third, third)
    values = np.rint(_fused(below, under - above, above))
    found: NDArray[np.uint8] = np.clip(values, 0, 255).astype(np.uint8)
    return found


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """``cv2.invertAffineTransform``, in its order of operations."""
    (a, b, c), (d, e, f) = matrix
    determinant = a * e - b * d
    factor = 1.0 / determinant if determinant else 0.0
    a, b, d, e = e * factor, -b * factor, -d * factor, a * factor
    return np.array([[a, b, -a * c - b * f], [d, e, -d * c - e * f]])


def _at(
    image: NDArray[np.uint8], y: NDArray[np.int64], x: NDArray[np.int64]
) -> NDArray[np.float32]:
    height, width = image.shape[:2]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    found = np.zeros((*y.shape, image.shape[2]), np.float32)
    found[inside] = image[y[inside], x[inside]]
    return found


def _fused(a: Any, b: NDArray[np.float32], c: NDArray[np.float32]) -> NDArray[np.float32]:
    """``a * b + c``, rounded once: the product of two float32 is exact in float64."""
    found: NDArray[np.float32] = (np.float64(a) * b.astype(np.float64) + c).astype(np.float32)
    return found


def aligned(
    image: NDArray[np.uint8], points: NDArray[np.float64], size: tuple[int, int], where: str
) -> NDArray[np.uint8]:
    """Align the face in an image to the template.

    Args:
        image: the whole image, RGB, (height, width, 3), uint8.
        points: its landmarks in pixels, in the order of `Landmarks`, (5, 2).
        size: (height, width) of the result.
        where: name of the image, for messages.

    Returns:
        The upright face, RGB, (*size, 3), uint8; black where it lies outside of the image.

    Raises:
        DataError: the landmarks cannot be those of a face: fewer than three lie in the image, or
            all in one place.
        SpecError: the template is not defined for this size.
    """
    height, width = image.shape[:2]
    far = not (np.abs(points) <= MOST_PIXELS).all()  # or not a number
    if far or (~_inside(points, np.array([width, height]))).sum() > _MOST_OUTSIDE:
        raise DataError(
            where,
            f"its landmarks lie outside the image, which is {width} x {height} pixels",
            _OF_THIS_IMAGE,
        )
    if np.ptp(points, axis=0).max() < _LEAST_WIDE:
        raise DataError(where, "its landmarks lie within one pixel", _OF_THIS_IMAGE)
    matrix, _ = similarity(points, template(size))
    return warp(image, matrix, size)


class AlignedFaces(ImageParts):
    """Faces aligned to the template; build it with `align_faces`."""

    def check_places(self) -> None:
        """Refuse landmarks that cannot be those of these images, by the sizes of the images.

        Raises:
            DataError: an image does not contain three of its landmarks, more than half of the
                images do not contain all of them, or all lie in the same small corner.

        Warns:
            LandmarksWarning: all landmarks of all images lie in the upper left quarter.
        """
        sizes = np.array(self._images.sizes, np.float64)[:, ::-1]
        points = np.array(self._places, np.float64)
        outside = (~_inside(points, sizes[:, np.newaxis])).sum(axis=1)
        lost = [self.names[index] for index in np.flatnonzero(outside > _MOST_OUTSIDE)]
        if lost:
            problem = f"contains images outside of which their landmarks lie: {listed(lost)}"
            raise DataError(self.origin, problem, _OF_THIS_IMAGE)
        if len(points) < _PATTERN:
            return
        if np.mean(outside > 0) > 0.5:
            problem = f"landmarks lie outside of {np.sum(outside > 0):,} of {len(points):,} images"
            raise DataError(self.origin, problem, _OF_THIS_IMAGE)
        right, low = (points / sizes[:, np.newaxis]).max(axis=(0, 1))
        if max(right, low) >= 0.5:
            return
        problem = (
            f"in all {len(points):,} images, the landmarks lie in the upper left corner, within "
            f"{right:.0%} of the width and {low:.0%} of the height"
        )
        remedy = "give pixels of these images, not percent nor pixels of smaller copies"
        if max(right, low) < 0.25:
            raise DataError(self.origin, problem, remedy)
        warnings.warn(f"{self.origin}: {problem}; {remedy}", LandmarksWarning, stacklevel=2)

    def _part(self, pixels: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Align the face.

        Raises:
            DataError: fewer than three landmarks lie in the image.
        """
        points = np.array(self._places[index], np.float64)
        return aligned(pixels, points, self._way, self.where(index))


def _inside(points: NDArray[np.float64], size: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether points (..., 2) lie in an image of `size` (..., 2), its width and height."""
    return np.asarray(((points >= 0) & (points <= size)).all(axis=-1))


def align_faces(
    images: ImageSet, landmarks: Mapping[Path, Landmarks], size: tuple[int, int]
) -> AlignedFaces:
    """Align the face in each image.

    Args:
        images: whole photographs, as files.
        landmarks: what `load_landmarks` returns; that of other images is ignored.
        size: (height, width) of the model's input.

    Raises:
        DataError: the images are an array, to which landmarks cannot refer, or an image has none.
        SpecError: the template is not defined for this size.
    """
    template(size)
    return AlignedFaces(images, places_in(images, landmarks, TABLE.what), size)
