"""Which seeds belong to which split: no identity, layout or scene is ever in two of them."""

from __future__ import annotations

TRAINING = range(0, 100_000)
CALIBRATION = range(100_000, 200_000)
SELECTION = range(200_000, 300_000)
EVALUATION = range(300_000, 400_000)

ALL = {
    "training": TRAINING,
    "calibration": CALIBRATION,
    "selection": SELECTION,
    "evaluation": EVALUATION,
}
