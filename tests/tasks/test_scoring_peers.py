"""Scoring gives the same results as scikit-learn."""

import numpy as np
from sklearn.metrics import roc_curve

from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.tasks.face.measures import normalise
from pytest_kycquant.tasks.face.scores import errors_at


def test_false_accepts_and_rejects_at_every_threshold():
    rng = np.random.default_rng(0)
    subjects = np.arange(30).repeat(3)
    people = rng.normal(size=(30, 8))[subjects]
    unit = normalise((people + 0.5 * rng.normal(size=people.shape)).astype(np.float32))
    unit[7] = unit[6]  # ties
    pairs = np.triu_indices(len(subjects), 1)
    genuine = subjects[pairs[0]] == subjects[pairs[1]]
    scores = (unit.astype(np.float64)[pairs[0]] * unit[pairs[1]]).sum(axis=1).astype(np.float32)
    comparisons = Comparisons(subjects)
    accepted, correct, thresholds = roc_curve(genuine, scores, drop_intermediate=False)
    for far, tar, threshold in list(zip(accepted, correct, thresholds, strict=True))[1::97]:
        found = errors_at(unit, unit, comparisons, float(threshold))
        assert len(found.false_accepts) == round(far * (~genuine).sum())
        assert len(found.false_rejects) == round((1 - tar) * genuine.sum())
