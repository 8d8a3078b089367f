"""Drift of one stage that stays just inside the budgets of its own gates.

The size of the drift is found with these gates: FP32's outputs for their own images are changed
until .8 of the budget that is used most is used. The same change is then made to what the stage
answers in the pipeline.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.faults.judging import FaultJudge, usage
from pytest_kycquant.tasks.outputs import Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_kycquant.verdicts import Check

SHARE = 0.8  # of the budget that a stage uses
NOISE, BIAS = "noise", "bias"
_LEAST, _MOST = 1e-4, 3.0  # sizes that are tried
_STEPS = 9  # the size is then known to about 2 %
_COLUMNS = 4  # of a box


@dataclass(frozen=True)
class Drift:
    """A change of what a model answers, the same for the same answer.

    Noise moves each answer in a direction of its own, as rounding does; bias moves all in the same
    one, as a wrong range does. Boxes move relative to their width and height: noise moves each
    side, bias the whole box. Class values of a liveness model move that of a live face. Embeddings
    move relative to their length.

    Args:
        stage: "detector", "liveness" or "embedder".
        kind: "noise" or "bias".
        seed: seed of the directions.
        size: how far, relative to the above; a standard deviation for noise on boxes and values.
        live: index of the live class.
    """

    stage: str
    kind: str
    seed: int
    size: float = 0.0
    live: int = 0

    def __call__(self, given: Outputs) -> Outputs:
        if not len(given.values):
            return given
        rows = given.values.astype(np.float64)
        moved = getattr(self, f"_{self.stage}")(rows)
        return replace(given, values=moved.astype(np.float32))

    def _detector(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        sides = (rows[:, [2, 3]] - rows[:, [0, 1]])[:, [0, 1, 0, 1]]
        if self.kind == NOISE:
            way = self._own(rows, _COLUMNS)
        else:
            angle = self._rng().uniform(0, 2 * np.pi)
            way = np.tile([np.cos(angle), np.sin(angle)], 2)[None]
        moved = rows.copy()
        moved[:, :_COLUMNS] += self.size * sides * way
        return moved

    def _liveness(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = rows.copy()
        way = self._own(rows, 1)[:, 0] if self.kind == NOISE else (-1.0, 1.0)[self.seed % 2]
        moved[:, self.live] += self.size * way
        return moved

    def _embedder(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        width = rows.shape[1]
        way = self._own(rows, width) if self.kind == NOISE else self._rng().normal(size=(1, width))
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        moved: NDArray[np.float64] = (
            rows + self.size * np.linalg.norm(rows, axis=1, keepdims=True) * way
        )
        return moved

    def _own(self, rows: NDArray[np.float64], width: int) -> NDArray[np.float64]:
        """Normal numbers for each row, drawn from the row itself; (R, width)."""
        return np.array([self._rng(zlib.crc32(row.tobytes())).normal(size=width) for row in rows])

    def _rng(self, *more: int) -> np.random.Generator:
        return np.random.default_rng([zlib.crc32(self.stage.encode()), self.seed, *more])


@dataclass(frozen=True)
class Sized:
    """Drift that uses .8 of its stage's budget.

    Args:
        drift: the drift.
        most: the check of the stage's own gates that uses most of its budget, as they print it.
        used: the share of that budget.
        verdict: what its own gates say together, without latency.
    """

    drift: Drift
    most: str
    used: float
    verdict: str


def sized(judge: FaultJudge, drift: Drift, share: float = SHARE) -> Sized:
    """Find the largest drift of a kind that uses a share of the budgets of a stage's own gates.

    Estimates count, not bounds, so that the size does not depend on the number of images.

    Args:
        judge: the judge of the stage's own gates.
        drift: the kind of drift; its size is not used.
        share: of the budget that is used most.
    """
    judged = Own(judge)
    low, high = np.log(_LEAST), np.log(_MOST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        _, used = judged.most(replace(drift, size=float(np.exp(middle))))
        low, high = (middle, high) if used <= share else (low, middle)
    found = replace(drift, size=float(np.exp(low)))
    check, used = judged.most(found)
    return Sized(found, check.describe(), used, judged.verdict(found))


class Own:
    """A stage's own gates, on their own images.

    Args:
        judge: their judge.
    """

    def __init__(self, judge: FaultJudge) -> None:
        self._threshold = judge.require_golden().threshold
        variants = judge.variants
        self._task = variants.task
        self._baseline = judge.baseline.comparison(self._threshold)
        self._fp32 = variants.outputs(variants.fp32, variants.data.evaluation.images, "evaluation")

    def most(self, drift: Drift) -> tuple[Check, float]:
        """The check against FP32 that uses most of its budget, and the share that it uses."""
        compared = self._task.compare(self._baseline, drift(self._fp32))
        checks = [
            check
            for check in compared.against_fp32(float_variant=False).checks
            if check.limit is not None and check.value is not None
        ]
        worst = max(checks, key=usage)
        return worst, usage(worst)

    def verdict(self, drift: Drift) -> str:
        """The worst verdict of all gates that look at outputs."""
        compared = self._task.compare(self._baseline, drift(self._fp32))
        gates = [*compared.accuracy(), compared.against_fp32(float_variant=False)]
        found = {gate.verdict.value for gate in gates}
        return next(one for one in ("FAIL", "INCONCLUSIVE", "PASS") if one in found)
