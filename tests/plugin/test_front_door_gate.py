"""A gate judges the same files that one call without pytest makes from the same images."""

from collections.abc import Callable

import pytest

from tests.worlds.population import FUNCTION, Run

GATE = (
    FUNCTION
    + """
import pytest_kycquant

RECIPES = (
    Recipe("int8", rewrites=False),
    Recipe("mixed", rewrites=False, keep_fp32=("first",)),
    Recipe("fp16", rewrites=False),
    Recipe("int8-weights", rewrites=False),
    Recipe("int8-dynamic", rewrites=False),
)

@pytest.mark.kycquant(model=MODEL, precisions=("fp16",), limits=LIMITS)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.precision)
def test_same(quantize, recipe):
    judged = quantize(recipe)
    made = pytest_kycquant.quantize(
        "models/face.onnx", "calibration.npz", recipe, preprocess=MODEL.preprocess
    )
    assert made.path.read_bytes() == judged.path.read_bytes()
    assert made.sha256 == judged.sha256
    assert made.resolved == judged.resolved
    assert made.notes == judged.notes
"""
)


def test_gates_and_one_call_make_the_same_files(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    (pytester.path / "test_gate.py").write_text(GATE)
    run("-q").assert_outcomes(passed=5)
