"""Five landmarks of the face in each photograph, from a CSV file, and whether they can be that.

A similarity transform fits points to the template in any orientation and at any size. Landmarks in
reverse order, for example, fit a face that is upside down, and every image gets a wrong input
without an error. What all images have in common shows such mistakes: the faces in photographs are
upright, and in one order their points fit far better than in any other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import DataError, LandmarksWarning
from .files import listed
from .places import PlaceTable, load_places
from .sampling import spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]  # (N, 5, 2)

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
TABLE = PlaceTable("landmarks", tuple(f"{axis}{number}" for number in range(1, 6) for axis in "xy"))
_NAMES = ("left eye", "right eye", "nose", "left mouth", "right mouth")
_READ_AS: Mapping[str, Callable[[Points], Points]] = {
    "": lambda points: points,
    " with x and y exchanged": lambda points: points[..., ::-1],
    " with all x before all y": lambda points: points.reshape(-1, 2, 5).swapaxes(1, 2),
    " with all y before all x": lambda points: points.reshape(-1, 2, 5).swapaxes(1, 2)[..., ::-1],
}
_ORDERS = np.array(list(permutations(range(5))))  # the order of the template comes first
_REMEDY = (
    "give x and y of the eye on the left of the image, the eye on the right, the nose, the left "
    "and the right corner of the mouth"
)
# Pixels of the template, root of the mean square. YuNet's landmarks of 600 real faces are at most 8
# away from it, a face in profile 10 to 16; with exchanged eyes, landmarks are 19 away.
_FAR, _TOO_FAR = 14.0, 17.0
_TURNED = np.deg2rad(60)  # of 600 real faces, none is turned by more than 27 degrees
_LEAST_WIDE = 4.0  # pixels from the first to the last landmark, down or across
_FRACTION = 2.0  # a landmark of a face that the border cuts may lie outside of 0..1
_MOST_COMPARED = 1000  # images that are enough to know the order


class Landmarks(NamedTuple):
    """Five points of a face, in pixels from the image's upper left corner, after EXIF orientation.

    Left and right are those of the image.
    """

    left_eye: tuple[float, float]
    right_eye: tuple[float, float]
    nose: tuple[float, float]
    left_mouth: tuple[float, float]
    right_mouth: tuple[float, float]


def load_landmarks(path: Path) -> dict[Path, Landmarks]:
    """Read the landmarks of photographs.

    Args:
        path: a CSV file with the columns ``file`` (relative to the folder of the CSV) and ``x1``,
            ``y1`` to ``x5``, ``y5`` in pixels, in the order of `Landmarks`.

    Returns:
        The landmarks of each file, by its resolved path.

    Raises:
        DataError: a line is malformed, landmarks do not fit a face, most of them are not in pixels,
            in another order or of turned faces, or a file does not exist or is listed twice.

    Warns:
        LandmarksWarning: a few faces are turned by more than 60 degrees or hardly fit.
    """

    def make(numbers: Sequence[float]) -> Landmarks:
        return Landmarks(*zip(numbers[::2], numbers[1::2], strict=True))

    return load_places(path, TABLE, make, _check)


def _check(path: Path, places: Mapping[str, Landmarks]) -> None:
    """See `load_landmarks`; places are those of each line, by a name for messages."""
    points = np.array(list(places.values()), np.float64)
    _refuse_small(path, points)
    _refuse_another_order(path, points[spread(len(points), _MOST_COMPARED)])
    (apart, turned), names = _as_given(points), np.array(list(places))
    impossible = (apart > _TOO_FAR) | (_extents(points) < _LEAST_WIDE)
    if impossible.any():
        problem = f"has landmarks that do not fit a face: {listed(names[impossible].tolist())}"
        raise DataError(path, problem, _REMEDY)
    odd = (apart > _FAR) | (turned > _TURNED)
    if odd.any():
        warnings.warn(
            f"{path}: landmarks of faces that are turned by more than 60 degrees or hardly fit a "
            f"face: {listed(names[odd].tolist())}; make sure that they are those of these images",
            LandmarksWarning,
            stacklevel=2,
        )


def _refuse_small(path: Path, points: Points) -> None:
    """Refuse faces of which most are a few pixels wide, such as those in other units."""
    if np.median(_extents(points)) >= _LEAST_WIDE:
        return
    eyes = float(np.median(np.hypot(*(points[:, 1] - points[:, 0]).T)))
    fractions = np.median(np.abs(points).max(axis=(1, 2))) <= _FRACTION
    raise DataError(
        path,
        f"has landmarks that lie less than {_LEAST_WIDE:g} pixels apart in most images "
        f"(the eyes {eyes:.2g} pixels)",
        f"give coordinates in pixels{', not in 0..1' if fractions else ' of the images'}",
    )


def _refuse_another_order(path: Path, points: Points) -> None:
    """Refuse points that fit better if they are read otherwise, and faces that are not upright.

    Which points are which is judged by all images together: one face may fit in a wrong order.
    """
    given, turned = _as_given(points)
    usual = float(np.median(given))
    is_face = np.mean((given <= _FAR) & (turned <= _TURNED)) > 0.5
    found: list[tuple[float, str, str, Points]] = []
    for how, read in _READ_AS.items():
        apart, turns = _fits(read(points))
        apart = np.where(turns <= _TURNED, apart, np.inf)
        medians = np.median(apart, axis=0)
        best = int(medians.argmin())
        order = f" in the order {', '.join(_NAMES[point] for point in _ORDERS[best])}"
        found.append((float(medians[best]), how, order if best else "", apart[:, best]))
    least, how, order, apart = min(found, key=lambda one: one[0])
    better = np.mean(apart < given) >= 0.75
    clearly = least < usual / 2 and usual > _FAR / 3 if is_face else least <= _FAR / 2
    if (how or order) and better and clearly:
        raise DataError(path, f"has landmarks that fit faces only if read{how}{order}", _REMEDY)
    sideways = (given <= _TOO_FAR) & (turned > _TURNED)
    if sideways.mean() > 0.5:
        typical = np.rad2deg(np.median(turned[sideways]))
        raise DataError(
            path,
            f"has landmarks of faces that are turned by {typical:.0f} degrees in most images",
            "give landmarks of upright images, in pixels after their EXIF orientation is applied",
        )


def _extents(points: Points) -> NDArray[np.float64]:
    """Pixels from the first to the last point, down or across; shape (N,)."""
    found: NDArray[np.float64] = np.ptp(points, axis=1).max(axis=1)
    return found


def _as_given(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far points are from the template and how they are turned, in their own order; (N,)."""
    apart, turned = _fits(points, _ORDERS[:1])
    return apart[:, 0], turned[:, 0]


def _fits(
    points: Points, orders: NDArray[np.int64] = _ORDERS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How well points fit the template, by `alignment.similarity` in its closed form.

    Args:
        points: five points of each of N images, (N, 5, 2).
        orders: which point of the template each of them is, M orders, (M, 5).

    Returns:
        The root of the mean squared distance in pixels of the template, and the angle by which the
        face is turned either way, in radians; (N, M) both.
    """
    given, target = points @ [1, 1j], TEMPLATE.astype(np.float64) @ [1, 1j]
    given, target = given - given.mean(axis=1, keepdims=True), target - target.mean()
    wide = np.maximum((np.abs(given) ** 2).sum(axis=1, keepdims=True), 1e-9)
    common = given.conj() @ target[orders].T
    left = (np.abs(target) ** 2).sum() - np.abs(common) ** 2 / wide
    return np.sqrt(np.maximum(left, 0) / len(target)), np.abs(np.angle(common))
