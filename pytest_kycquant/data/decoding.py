"""Decoding of image files: strictly, and always in the same way."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .files import short
from .whole_file import check_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Listed so that no file, whatever its suffix, reaches a decoder such as Ghostscript's.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_EIGHT_BIT_MODES = frozenset(
    {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"},
)
# Tag and values of EXIF 2.32, section 4.6.4: rows and columns are swapped from 5 on.
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNED = (5, 6, 7, 8)
_REPLACE = "replace it with an intact image or remove it from the data"


def decode(content: bytes, where: str) -> NDArray[np.uint8]:
    """Decode the bytes of one image file.

    The EXIF orientation, which phones write, is applied. Greyscale, palette and CMYK images become
    RGB; an alpha channel is dropped, as in OpenCV. The first picture of a multi-picture JPEG (MPO,
    another format of phones) is taken. Not thread-safe: the function sets process-wide switches of
    Pillow and of warnings, and restores them.

    Args:
        content: the whole file.
        where: its name, for messages.

    Returns:
        RGB pixels, shape (height, width, 3), uint8, writable and contiguous.

    Raises:
        DataError: the file is empty, unreadable, truncated or zero-sized; lacks a part of its
            picture (`whole_file.py`); has more than 8 bits per channel; is an animation or has
            several pages; is so large that Pillow suspects a decompression bomb; or has damaged
            metadata, which may hide the orientation.
    """
    with _opened(content, where) as image:
        image.load()
        check_whole(image, content)
        return _rgb(image)


def image_size(content: bytes, where: str) -> tuple[int, int]:
    """Read (height, width) from the header of an image file, as `decode` would orient it.

    Raises:
        DataError: see `decode`, as far as the header shows.
    """
    with _opened(content, where) as image:
        width, height = image.size
        # Pillow has turned the size of a TIFF already.
        turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _EXIF_TURNED
        return (width, height) if turned and image.format != "TIFF" else (height, width)


@contextlib.contextmanager
def _opened(content: bytes, where: str) -> Iterator[Any]:
    """Open an image strictly; anything that its decoder raises becomes a `DataError`."""
    from PIL import Image, ImageFile, UnidentifiedImageError

    if not content:
        raise DataError(where, "is an empty file", _REPLACE)
    # Another test may have allowed truncated images: here they would be half grey and pass.
    tolerant = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            # Pillow only warns where this must fail, whatever the caller's filters are.
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                _check(image, content, where)
                yield image
    except DataError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(
            where, "has so many pixels that it may be a decompression bomb", "scale it down"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            where, "is not an image: unknown format, damaged header or no pixels", _REPLACE
        ) from error
    except Exception as error:  # decoders raise anything on damaged bytes, even IndexError
        reason = short(" ".join(str(error).split())) or type(error).__name__
        raise DataError(where, f"cannot be decoded ({reason})", _REPLACE) from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


def _check(image: Any, content: bytes, where: str) -> None:
    """Reject files that Pillow would decode to something other than the picture."""
    # The tile says how many bits are stored: Pillow shows 16-bit colour as mode RGB.
    if image.mode not in _EIGHT_BIT_MODES or ";16" in str(image.tile):
        raise DataError(
            where,
            f"is stored as {image.mode} with a depth other than 8 bits per channel",
            "convert it to 8-bit RGB or greyscale",
        )
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise DataError(
            where, f"is an animation or document of {image.n_frames} frames", "save one as an image"
        )
    if image.format == "GIF" and image.tile[0][1] != (0, 0, *image.size):
        raise DataError(where, "is a frame that covers a part of its image", _REPLACE)


def _rgb(image: Any) -> NDArray[np.uint8]:
    """Apply orientation and convert to RGB, shape (height, width, 3)."""
    from PIL import ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("P", "PA"):
        # Pillow warns if a palette with transparency is converted straight to RGB.
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"), dtype=np.uint8)
