"""The finiteness gate of liveness: NaN, Inf, and scores that no longer depend on the image."""

import numpy as np
import pytest

from pytest_kycquant import Verdict
from tests.worlds.scores import captures, comparison, logits

ALL = captures(30)


def test_finite_passes() -> None:
    assert comparison(logits(ALL), ALL).finite().verdict is Verdict.PASS


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_fails_and_names_the_image(value: float) -> None:
    variant = logits(ALL)
    variant[17, 2] = value
    result = comparison(variant, ALL).finite()
    assert result.verdict is Verdict.FAIL
    assert "captures.npz[17]" in result.describe()


def test_edge_input_fails_and_names_it() -> None:
    result = comparison(logits(ALL), ALL, broken_edges=("white",)).finite()
    assert "FAIL edge inputs with NaN or Inf = 1 must be below 1\n  white\n" in result.describe()


@pytest.mark.parametrize("constant", [-3.0, 0.0, 3.0])
def test_collapsed_model_fails(constant: float) -> None:
    """A model that calls everything live, or everything an attack, fails as well."""
    variant = np.zeros_like(logits(ALL))
    variant[:, 1] = constant
    result = comparison(variant, ALL).finite()
    assert result.verdict is Verdict.FAIL
    assert "scores hardly depend on the image any more" in result.describe()


def test_nearly_collapsed_model_fails() -> None:
    variant = logits(ALL) * np.float32(0.1)
    result = comparison(variant, ALL).finite()
    assert result.checks[2].verdict is Verdict.FAIL
    assert result.checks[2].value is not None
    assert 0.1 < result.checks[2].value < 0.5


def test_nothing_finite_fails() -> None:
    result = comparison(np.full_like(logits(ALL), np.nan), ALL).finite()
    assert [check.verdict for check in result.checks] == [
        Verdict.FAIL,
        Verdict.PASS,
        Verdict.FAIL,
    ]
