"""Whether a weight was rounded, for tests in which all of it was or none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.quantize.rounding_check import rounded_share


def is_rounded(array: NDArray[np.floating]) -> bool | None:
    """Whether all of a weight is rounded, and not only a part; None if that cannot be told."""
    share = rounded_share(array)
    assert share in (None, 0, 1)
    return None if share is None else share == 1
