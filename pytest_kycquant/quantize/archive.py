"""Reading cached ``.npz`` files, with one error for all that are damaged."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import KycquantError, QuantizationError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def open_archive(path: Path, what: str) -> Iterator[Any]:
    """Open an ``.npz`` file without pickles; exceptions that damage causes in the body count, too.

    Args:
        path: the file.
        what: expected content, for the message.

    Raises:
        QuantizationError: the file is missing, damaged or of another kind.
    """
    try:
        # From memory: numpy leaves the file open when it is damaged.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            yield file
    except KycquantError:
        raise
    except Exception as error:  # numpy, zipfile and zlib each raise their own errors on damage
        raise QuantizationError(
            path,
            f"contains no {what} ({one_line(error)})",
            "delete it; it will be made again from the calibration images",
        ) from error
