"""Faces aligned by five landmarks, as ArcFace and its relatives were trained on.

A similarity transform (rotation, scale and shift) moves the eyes, the nose and the corners of the
mouth as near as possible to their places in InsightFace's template. Production code does this with
``cv2.warpAffine``; what is here gives the same pixels, bit for bit, without OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DataError, SpecError
from .places import ImageParts, PlaceTable, load_places, places_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .images import ImageSet

TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)
"""Eyes, nose and corners of the mouth in 112 x 112 pixels (insightface.utils.face_align)."""
# Pixels of the template, root of the mean square. A face in profile is 10 away from it, landmarks
# in another order or with exchanged axes 17 and more.
_MOST_APART = 14.0
_TABLE = PlaceTable(
    "landmarks",
    tuple(f"{axis}{number}" for number in range(1, 6) for axis in "xy"),
    (
        "has landmarks that do not fit a face",
        "give x and y of the eye on the left of the image, the eye on the right, the nose, the "
        "left and the right corner of the mouth",
    ),
)


class Landmarks(NamedTuple):
    """Five points of a face, in pixels from the image's upper left corner, after EXIF orientation.

    Left and right are those of the image.
    """

    left_eye: tuple[float, float]
    right_eye: tuple[float, float]
    nose: tuple[float, float]
    left_mouth: tuple[float, float]
    right_mouth: tuple[float, float]


def template(size: tuple[int, int]) -> NDArray[np.float64]:
    """The places of the landmarks in an image of `size` (height, width) pixels, (5, 2).

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
        "FaceVerification.landmarks",
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


def load_landmarks(path: Path) -> dict[Path, Landmarks]:
    """Read the landmarks of photographs.

    Args:
        path: a CSV file with the columns ``file`` (relative to the folder of the CSV) and ``x1``,
            ``y1`` to ``x5``, ``y5`` in pixels, in the order of `Landmarks`.

    Returns:
        The landmarks of each file, by its resolved path.

    Raises:
        DataError: a line is malformed, landmarks do not fit a face, or a file does not exist or is
            listed twice.
    """

    def make(numbers: Sequence[float]) -> Landmarks:
        return Landmarks(*zip(numbers[::2], numbers[1::2], strict=True))

    def is_face(points: Landmarks) -> bool:
        return similarity(np.array(points), TEMPLATE)[1] <= _MOST_APART

    return load_places(path, _TABLE, make, is_face)


class AlignedFaces(ImageParts):
    """Faces aligned to the template; build it with `align_faces`."""

    def _part(self, pixels: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Align the face.

        Raises:
            DataError: fewer than three landmarks lie in the image.
        """
        points = np.array(self._places[index], np.float64)
        height, width = pixels.shape[:2]
        inside = (points >= 0).all(axis=1) & (points <= [width, height]).all(axis=1)
        # A detector guesses where a hidden eye is; beyond that, the landmarks are another image's.
        if inside.sum() < 3:
            raise DataError(
                self.where(index),
                f"its landmarks lie outside the image, which is {width} x {height} pixels",
                "give landmarks in pixels of this image, after its EXIF orientation is applied",
            )
        matrix, _ = similarity(points, template(self._way))
        return warp(pixels, matrix, self._way)


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
    return AlignedFaces(images, places_in(images, landmarks, _TABLE.what), size)
