"""Flat things in space: projective maps, quadrilaterals and the pixels that they cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .canvas import Floats

SIZE = 320  # pixels, width and height of a scene
X = np.arange(SIZE)[None, :] + 0.5
Y = np.arange(SIZE)[:, None] + 0.5


def pose(
    rng: np.random.Generator,
    size: tuple[int, int],
    centre: Floats,
    *,
    tilt: float,
    upright: bool = False,
    roll: float = 0.18,
) -> Floats:
    """Projective map of a flat thing, turned in space, from its pixels to those of the scene.

    Args:
        rng: source of randomness.
        size: height and width of the thing in pixels; seen from the front it keeps them.
        centre: where its middle goes.
        tilt: standard deviation of the angles out of the plane of the picture, in radians.
        upright: not turned in the plane of the picture by more than some degrees.
        roll: standard deviation of those degrees, in radians.

    Returns:
        3 x 3.
    """
    height, width = size
    kind = rng.random()
    angle = roll * rng.normal()
    if kind > 0.85 and not upright:
        angle = rng.uniform(-np.pi, np.pi)
    elif kind > 0.72 and not upright:
        angle += np.pi / 2 * int(rng.integers(1, 4))
    pitch, yaw = np.clip(rng.normal(0.0, tilt, 2), -0.8, 0.8)
    turn = _rotation(2, angle) @ _rotation(0, pitch) @ _rotation(1, yaw)
    distance = max(height, width) * rng.uniform(2.0, 5.0)
    camera = np.array([[distance, 0, centre[0]], [0, distance, centre[1]], [0, 0, 1]])
    plane = np.column_stack([turn[:, 0], turn[:, 1], [0, 0, distance]])
    middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    return camera @ plane @ middle


def _rotation(axis: int, angle: float) -> Floats:
    """Rotation about one axis, 3 x 3."""
    turn = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn[first, first] = turn[second, second] = np.cos(angle)
    turn[second, first] = np.sin(angle)
    turn[first, second] = -turn[second, first]
    return turn


def fitted(pose: Floats, size: tuple[int, int], slack: float) -> Floats:
    """Shrink and shift a pose so that at most `slack` pixels stick out of the picture."""
    corners = projected(pose, rectangle(size))
    room = SIZE + 2 * slack
    shrink = min(1.0, room / float((corners.max(0) - corners.min(0)).max()))
    middle = corners.mean(0)
    corners = middle + shrink * (corners - middle)
    low, high = corners.min(0), corners.max(0)
    shift = np.maximum(-slack - low, 0) + np.minimum(SIZE + slack - high, 0)
    move = np.array(
        [
            [shrink, 0, (1 - shrink) * middle[0] + shift[0]],
            [0, shrink, (1 - shrink) * middle[1] + shift[1]],
            [0, 0, 1],
        ]
    )
    return move @ pose


def rectangle(size: tuple[int, int]) -> Floats:
    """Corners of a picture of this height and width, clockwise from the top left: 4 x 2."""
    height, width = size
    return np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])


def mapped(matrix: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Apply a projective map to coordinates."""
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    u = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
    v = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
    return u / w, v / w


def projected(pose: Floats, points: Floats) -> Floats:
    """Apply a projective map to n x 2 points."""
    return np.column_stack(mapped(pose, points[:, 0], points[:, 1]))


def window(points: Floats, margin: float) -> tuple[slice, slice]:
    """The part of the picture around some points, n x 2."""
    low = np.clip(np.floor(points.min(0) - margin), 0, SIZE).astype(int)
    high = np.clip(np.ceil(points.max(0) + margin), 0, SIZE).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def depth(corners: Floats, x: Floats, y: Floats) -> Floats:
    """Distance of each point to the nearest side of a convex quadrilateral, positive inside.

    Args:
        corners: 4 x 2, clockwise on the screen.
        x: 1 x columns.
        y: rows x 1.

    Returns:
        rows x columns, in pixels.
    """
    sides = np.roll(corners, -1, axis=0) - corners
    sides /= np.maximum(np.hypot(sides[:, :1], sides[:, 1:]), 1e-9)
    depths = [
        right * (y - corner[1]) - down * (x - corner[0])
        for corner, (right, down) in zip(corners, sides, strict=True)
    ]
    return np.minimum(np.minimum(depths[0], depths[1]), np.minimum(depths[2], depths[3]))


def inside(corners: Floats) -> NDArray[np.bool_]:
    """Which pixels lie in a quadrilateral."""
    return depth(corners, X, Y) >= 0


def area(corners: Floats) -> float:
    """Area of a polygon, in pixels (shoelace formula)."""
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
