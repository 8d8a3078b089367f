"""Keypoints are read with the boxes that they belong to, in pixels of the input."""

from __future__ import annotations

import pytest

from pytest_kycquant.tasks.detection.decode import Decoder
from tests.tasks.test_detection_decode import ROWS, SIZE, decoder, dfl, table


@pytest.mark.parametrize("transposed", [False, True])
def test_of_a_table(transposed: bool) -> None:
    """x, y and visibility of each: the worse of two candidates takes its own with it."""
    rows = [(*row, *(10.0 * index + place for place in range(6))) for index, row in enumerate(ROWS)]
    output = table(*reversed(rows))
    found = decoder(keypoints=2)([output.transpose(0, 2, 1) if transposed else output])
    assert found.keypoints is not None
    assert found.keypoints.tolist() == [[[0, 1], [3, 4]], [[10, 11], [13, 14]]]


def test_of_raw_heads() -> None:
    """Twice the channel and the place of the cell, in strides: Ultralytics' `kpts_decode`."""
    head = dfl(8, {(1, 2): ((0, 0, 0, 0), (3.0, 0.5, -0.25, 9.0))})
    found = Decoder(1, 1, "logits", 0.7, SIZE)([head])
    assert found.keypoints is not None
    assert found.keypoints.tolist() == [[[(1.0 + 2) * 8, (-0.5 + 1) * 8]]]


def test_none_without_keypoints() -> None:
    assert decoder()([table(*ROWS)]).keypoints is None
    assert decoder().candidates([table(*ROWS)]).keypoints is None
