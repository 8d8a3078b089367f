"""Gates choose ranges and biases by their effect on the outputs of calibration images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.quantize import static
from pytest_kycquant.quantize.steps import STEP
from tests.worlds.population import FUNCTION, Run

GATE = (
    FUNCTION
    + """
@pytest.mark.kycquant(model=MODEL, precisions=("fp16",), limits=LIMITS)
def test_recipes(quantize):
    quantize({recipe})
"""
)
WATCH = """
from pathlib import Path
from pytest_kycquant.quantize import static

correct = static.correct_shifts

def watched(before, after, names, images):
    with Path("shifts.txt").open("a") as file:
        print(len(names), len(images), file=file)
    correct(before, after, names, images)

static.correct_shifts = watched
"""
TRIALS = """
from pathlib import Path
from pytest_kycquant.quantize.steps import STEP

tune = STEP["tune"]

def watched(prepared, ranges, images):
    Path("trials.txt").write_text(str(len(images)))
    return tune.make(prepared, ranges, images)

STEP["tune"] = tune._replace(make=watched)
"""


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what the conftest files of these tests replace: inner runs share our modules."""
    monkeypatch.setattr(static, "correct_shifts", static.correct_shifts)
    monkeypatch.setitem(STEP, "tune", STEP["tune"])


@pytest.mark.parametrize(
    ("recipe", "measured"),
    [
        ('Recipe("int8")', 1),
        ('Recipe("int8", calibration_method="minmax")', 0),
        ('Recipe("int8", activation_type="uint16")', 0),
    ],
    ids=["mse", "minmax", "uint16"],
)
def test_sensitivity_is_measured_for_mse_and_kept(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester, recipe: str, measured: int
) -> None:
    project()
    (pytester.path / "test_gate.py").write_text(GATE.format(recipe=recipe))

    def found(cache: Path) -> dict[str, bytes]:
        run("--kycquant-cache", str(cache)).assert_outcomes(passed=1)
        return {
            kind: b"".join(sorted(path.read_bytes() for path in cache.rglob(kind)))
            for kind in ("sensitivity.npz", "model.onnx")
        }

    first, second = (found(pytester.path / name) for name in "ab")
    assert bool(first["sensitivity.npz"]) is bool(measured)
    assert first == second == found(pytester.path / "a")


@pytest.mark.parametrize("corrected", [True, False])
def test_shifts_are_measured_on_calibration_images(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester, corrected: bool
) -> None:
    project()
    recipe = f'Recipe("int8", bias_correction={corrected})'
    (pytester.path / "test_gate.py").write_text(GATE.format(recipe=recipe))
    (pytester.path / "conftest.py").write_text(WATCH)
    run().assert_outcomes(passed=1)
    shifts = pytester.path / "shifts.txt"
    assert shifts.exists() is corrected
    if corrected:
        operators, images = map(int, shifts.read_text().split())
        assert operators > 0
        assert 2 <= images <= 32


@pytest.mark.parametrize(("method", "tried"), [("mse", True), ("percentile", False)])
def test_ranges_are_tried_on_calibration_images(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester, method: str, tried: bool
) -> None:
    project()
    recipe = f'Recipe("int8", calibration_method={method!r})'
    (pytester.path / "test_gate.py").write_text(GATE.format(recipe=recipe))
    (pytester.path / "conftest.py").write_text(TRIALS)
    run().assert_outcomes(passed=1)
    trials = pytester.path / "trials.txt"
    assert trials.exists() is tried
    assert not tried or 2 <= int(trials.read_text()) <= 32
