"""Counts that no set of trials could give are refused."""

import json

import numpy as np
import pytest

from pytest_kycquant.plain import plain
from pytest_kycquant.statistics import Counts, rate


@pytest.mark.parametrize(
    ("errors", "trials", "subject_errors", "subject_trials"),
    [
        (-1, 3, [0], [3]),
        (4, 3, [3], [3]),
        (1, 3, [2], [1]),
        (1, 3, [-1], [1]),
        (1, 3, [2], [3]),
        (1, 3, [0], [3]),
        (1, 3, [1], [4]),
        (1, 3, [1, 0], [3]),
        (1, 3, [[1]], [[3]]),
        (1, 3, [1.0], [3.0]),
        (1, 3, [True], [True]),
    ],
    ids=[
        "negative errors",
        "more errors than trials",
        "more errors than trials of a subject",
        "negative errors of a subject",
        "more errors of a subject than of all",
        "more successes of a subject than of all",
        "more trials of a subject than of all",
        "unequal lengths",
        "two dimensions",
        "floats",
        "booleans",
    ],
)
def test_impossible_counts_are_refused(errors, trials, subject_errors, subject_trials):
    with pytest.raises(ValueError, match=r"errors|subject"):
        Counts(errors, trials, np.array(subject_errors), np.array(subject_trials))


def test_fractional_totals_are_refused():
    with pytest.raises(TypeError):
        Counts(1.0, 3, np.array([1]), np.array([3]))  # type: ignore[arg-type]


def test_subjects_without_trials_take_no_part():
    counts = Counts(1, 4, np.array([0, 1, 0]), np.array([0, 2, 2]))
    assert counts.subject_trials.tolist() == [2, 2]
    assert counts.subject_errors.tolist() == [1, 0]


def test_arrays_are_private_int64_copies():
    errors = np.array([1, 0], dtype=np.uint8)
    counts = Counts(1, 4, errors, np.array([2, 2], dtype=np.int32))
    errors[0] = 0
    assert counts.subject_errors.tolist() == [1, 0]
    assert counts.subject_errors.dtype == counts.subject_trials.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        counts.subject_errors[0] = 0


def test_unsigned_counts_do_not_wrap():
    with pytest.raises(ValueError, match="subjects"):
        Counts(2, 4, np.array([2], dtype=np.uint8), np.array([1], dtype=np.uint8))


def test_numpy_totals_become_plain_integers():
    counts = Counts(np.int64(1), np.int64(4), np.array([1, 0]), np.array([2, 2]))
    assert type(counts.errors) is type(counts.trials) is int
    json.dumps(plain(rate(counts)), allow_nan=False)


def test_unknown_subjects_are_empty_arrays():
    assert Counts(1, 4, np.array([]), np.array([])).subject_trials.shape == (0,)
