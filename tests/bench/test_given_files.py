"""Outputs of a file of somebody else's must be those of FP32 by shape and type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.bench.given_files import _check
from pytest_kycquant.errors import ModelError

PATH = Path("vendor.onnx")


def check(found: tuple[int, ...], fp32: tuple[int, ...], declared: object) -> None:
    given, wanted = np.zeros(found, np.float32), {"rows": np.zeros(fp32, np.float32)}
    _check([given], wanted, {"rows": declared}, PATH)  # type: ignore[dict-item]


def test_rows_that_fp32_leaves_open_may_differ() -> None:
    """Detectors that suppress their own boxes give as many rows as they find."""
    check((1, 7, 6), (1, 9, 6), (1, None, 6))
    check((7, 6), (9, 6), (None, 6))
    check((1, 7), (1, 9), None)


@pytest.mark.parametrize(
    ("found", "declared"), [((1, 7, 6), (1, 9, 6)), ((1, 9, 7), (1, None, 6)), ((9, 6), None)]
)
def test_another_shape_is_another_model(
    found: tuple[int, ...], declared: tuple[int | None, ...] | None
) -> None:
    with pytest.raises(ModelError, match=r"vendor\.onnx: gives output 'rows' of shape"):
        check(found, (1, 9, 6), declared)
