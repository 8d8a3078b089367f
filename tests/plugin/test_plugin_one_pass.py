"""Gates calibrate once: recipes that start from the same graph share their passes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.population import Run

FUNCTION = """
import pytest
from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess, Recipe

MODEL = KycModel(
    "models/face.onnx",
    preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5),
    calibration={calibration},
    task=FaceVerification("faces.npz", selection="selection.npz"),
)
LIMITS = FaceLimits(latency_ratio=1000.0, size_ratio=10.0)

@pytest.mark.kycquant(model=MODEL, precisions=("fp16",), limits=LIMITS)
def test_recipes(quantize):
    for recipe in ({recipes}):
        quantize(recipe)
"""
PLAIN = (
    'Recipe("fp16")',
    *(
        f'Recipe("int8", calibration_method={method!r}, equalize=False)'
        for method in ("minmax", "moving-average", "percentile", "entropy", "mse")
    ),
    'Recipe("int8", calibration_method="percentile", percentile=99, equalize=False)',
)
EQUALIZED = ('Recipe("int8")', 'Recipe("int8", calibration_method="minmax")')


def passes(run: Run, cache: Path, *arguments: str) -> dict[str, list[bytes]]:
    """Return the passes that a run leaves in its own cache."""
    run("--kycquant-cache", str(cache), *arguments).assert_outcomes(passed=1)
    kinds = ("channels", "extremes", "activations")
    return {kind: sorted(p.read_bytes() for p in cache.rglob(f"{kind}.npz")) for kind in kinds}


def write(folder: Path, recipes: tuple[str, ...], calibration: str = '"calibration.npz"') -> None:
    text = FUNCTION.format(recipes=", ".join((*recipes, "")), calibration=calibration)
    (folder / "test_gate.py").write_text(text)


def test_all_recipes_share_their_passes_with_any_number_of_threads(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    write(pytester.path, (*PLAIN, *EQUALIZED))
    found = [passes(run, pytester.path / n, "--kycquant-threads", n) for n in ("1", "2")]
    # Channels are seen once, before equalization; the others before and after it.
    assert {kind: len(seen) for kind, seen in found[0].items()} == {
        "channels": 1,
        "extremes": 2,
        "activations": 2,
    }
    assert found[0] == found[1]


def test_fp16_needs_no_calibration_images(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    write(pytester.path, PLAIN[:1], calibration="None")
    found = passes(run, pytester.path / "own")
    assert {kind: len(seen) for kind, seen in found.items()} == {
        "channels": 0,
        "extremes": 1,
        "activations": 0,
    }
