"""Runs a user's function that prepares images, and checks what it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..spec.coerce import shown
from ..spec.functions import describe_raised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..spec.model import Preprocess

_WHERE = "Preprocess.function"


def prepare_by_function(
    image: NDArray[np.uint8], spec: Preprocess, where: str
) -> NDArray[np.float32]:
    """Call `Preprocess.function` for one image.

    Args:
        image: RGB pixels, shape (height, width, 3), uint8. The function gets a copy.
        spec: the function, and the size and layout of what it returns.
        where: name of the image, for messages.

    Returns:
        Contiguous tensor of shape ``spec.shape``, float32.

    Raises:
        DataError: the function raises, or returns another type, shape or value.
    """
    assert spec.function is not None
    try:
        answer: Any = spec.function(image.copy())
        found = np.asarray(answer)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's function may raise anything, a skip too
        raise DataError(
            where,
            f"{_WHERE} {describe_raised(error, spec.function)}",
            f"it was given pixels of shape {image.shape}, uint8, RGB; also black, white and noise "
            "are prepared",
        ) from error
    wanted = f"return float32 of shape {spec.shape}, or without the first axis"
    if np.ma.isMaskedArray(answer) or found.dtype not in (np.float32, np.float64):
        given = shown(answer) if found.dtype == object else f"{found.dtype} of shape {found.shape}"
        raise DataError(where, f"{_WHERE} returned {given}", wanted)
    if found.shape not in (spec.shape, spec.shape[1:]):
        raise DataError(where, f"{_WHERE} returned an array of shape {found.shape}", wanted)
    with np.errstate(over="ignore"):
        tensor = np.array(found, np.float32, order="C").reshape(spec.shape)
    if not np.isfinite(tensor).all():
        problem = "returned values that are not finite in float32"
        raise DataError(where, f"{_WHERE} {problem}", "return finite numbers for any pixels")
    return tensor


def check_repeats(image: NDArray[np.uint8], spec: Preprocess, where: str) -> None:
    """Refuse a function that returns something else for the same pixels.

    Raises:
        DataError: it draws random numbers, or remembers earlier images.
    """
    if spec.function is None:
        return
    one, other = (prepare_by_function(image, spec, where) for _ in range(2))
    if not np.array_equal(one, other):
        raise DataError(
            where,
            f"{_WHERE} does not return the same for the same pixels",
            "remove random augmentation, or fix its seed inside of the function",
        )
