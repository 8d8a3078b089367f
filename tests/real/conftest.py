"""Where the real models and faces lie; tests that need them skip where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DEFAULT = Path(__file__).parents[3] / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    """Folder of real models and real faces (third-party data, not part of this repository)."""
    folder = Path(os.environ.get("KYCQUANT_REAL", DEFAULT))
    if not (folder / "models" / "mobilefacenet_fp32.onnx").is_file():
        pytest.skip(f"real models and faces are not at {folder} (set KYCQUANT_REAL)")
    return folder


@pytest.fixture(scope="session")
def people(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People of the calibration folder, 100 to calibrate and 100 to search a fallback on."""
    root = tmp_path_factory.mktemp("people")
    for index, person in enumerate(sorted((real / "faces" / "calibration").iterdir())[:200]):
        role = "calibration" if index < 100 else "selection"
        (root / role).mkdir(exist_ok=True)
        (root / role / person.name).symlink_to(person)
    return root


@pytest.fixture(scope="session")
def real_cache(pytestconfig: pytest.Config) -> Path:
    """A cache that outlives the run, so that a second run is warm."""
    cache = pytestconfig.cache
    assert cache is not None
    return cache.mkdir("kycquant-real")
