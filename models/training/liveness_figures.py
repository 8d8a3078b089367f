"""Error rates of a liveness model in FP32, as ISO/IEC 30107-3 counts them.

Run with::

    python -m models.training.liveness_figures models/minifasnet_fp32.onnx

The gates measure the same for all variants; a training needs only these rates.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from models.rendering import liveness
from pytest_kycquant.statistics import Counts, Rate, rate

LIVE_CLASS = liveness.LABELS[liveness.LIVE]
SPECIES = [kind for kind in liveness.KINDS if kind != liveness.LIVE]
ROOM = 0.025  # upper bound of APCER on the selection split: half of the limit of the gate
LEAST = 0.5


class Scores:
    """Probability of a live face for every crop below a folder, by kind and by subject."""

    def __init__(self, session: onnxruntime.InferenceSession, folder: Path) -> None:
        self.values: dict[str, NDArray[np.float64]] = {}
        self.subjects: dict[str, NDArray[np.int64]] = {}
        name = session.get_inputs()[0].name
        for kind in liveness.KINDS:
            files = sorted((folder / kind).rglob("*.jpg"))
            people = sorted({file.parent.name for file in files})
            logits = [session.run(None, {name: _tensor(file)})[0][0] for file in files]
            self.values[kind] = _softmax(np.array(logits, np.float64))[:, LIVE_CLASS]
            self.subjects[kind] = np.array([people.index(file.parent.name) for file in files])

    def rate(self, kind: str, threshold: float) -> Rate:
        """BPCER of live captures, or APCER of a species; live iff score >= threshold."""
        live = self.values[kind] >= threshold
        wrong = ~live if kind == liveness.LIVE else live
        subjects = self.subjects[kind]
        errors = np.bincount(subjects, weights=wrong).astype(np.int64)
        return rate(Counts(int(wrong.sum()), len(wrong), errors, np.bincount(subjects)))

    def threshold(self) -> float:
        """Smallest threshold from 1/2 up whose bound of APCER is below `ROOM` for every species."""
        attacks = np.concatenate([self.values[kind] for kind in SPECIES])
        candidates = [LEAST, *np.nextafter(np.unique(attacks[attacks >= LEAST]), np.inf)]
        for candidate in candidates:
            if all(self.rate(kind, candidate).upper < ROOM for kind in SPECIES):
                return float(candidate)
        raise ValueError(f"no threshold gives every species an APCER below {ROOM:.1%}")


def _tensor(file: Path) -> NDArray[np.float32]:
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"))
    return np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1), np.float32)[None]


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def report(model: Path) -> None:
    """Print the threshold, chosen on the selection split, and the rates on the evaluation split."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as folder:
        liveness.write_selection(Path(folder) / "selection")
        liveness.write_evaluation(Path(folder) / "evaluation")
        threshold = Scores(session, Path(folder) / "selection").threshold()
        scores = Scores(session, Path(folder) / "evaluation")
    print(f"threshold {threshold:.4f}")
    for kind in liveness.KINDS:
        found = scores.rate(kind, threshold)
        name = "BPCER" if kind == liveness.LIVE else f"APCER {kind}"
        print(
            f"{name:12} {found.value:.2%} [{found.lower:.2%}, {found.upper:.2%}] "
            f"{found.errors} of {found.trials} on {found.subjects} people"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=report.__doc__)
    parser.add_argument("model", type=Path)
    report(parser.parse_args().model)
