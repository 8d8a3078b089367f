"""The finiteness gate fails for NaN and Inf anywhere, and for a collapsed embedder."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pytest_kycquant import Verdict
from pytest_kycquant.results import GateResult
from tests.worlds.embeddings import comparison, embeddings


def judge(variant: np.ndarray, **options: Any) -> GateResult:
    return comparison(variant, **options).finite()


def test_finite_passes() -> None:
    assert judge(embeddings()).verdict is Verdict.PASS


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_fails_and_names_the_image(value: float) -> None:
    variant = embeddings()
    variant[17, 3] = value
    result = judge(variant)
    assert result.verdict is Verdict.FAIL
    assert "17.jpg" in result.describe()


def test_edge_input_fails_and_names_it() -> None:
    result = judge(embeddings(), broken_edges=("white",))
    assert result.verdict is Verdict.FAIL
    assert "FAIL edge inputs with NaN or Inf = 1 must be below 1\n  white\n" in result.describe()


@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_collapsed_embedder_fails(constant: float) -> None:
    result = judge(np.full_like(embeddings(), constant))
    assert result.verdict is Verdict.FAIL
    assert "outputs hardly depend on the image any more" in result.describe()


def test_nearly_collapsed_embedder_fails() -> None:
    variant = 0.1 * embeddings() + 10 * np.ones(64, np.float32)
    assert judge(variant).verdict is Verdict.FAIL


def test_names_must_fit() -> None:
    whole = comparison(embeddings())
    short = replace(whole, baseline=replace(whole.baseline, names=whole.baseline.names[:-1]))
    with pytest.raises(ValueError, match="zip"):
        short.finite()
