"""On real faces, a wrong preprocessing of the real embedder is found, and the right one is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess, presets
from pytest_kycquant.bench.better_preprocessing import refuse_worse
from pytest_kycquant.bench.variants import Variants
from pytest_kycquant.context import Context
from pytest_kycquant.context.scratch import Scratch
from pytest_kycquant.errors import GoldenError
from pytest_kycquant.runtimes.environment import environment
from pytest_kycquant.tasks.registry import task_of

RIGHT = replace(presets.ARCFACE, channels="BGR")
GOLDEN = Path("golden.json")


def look(real: Path, faces: Path, spec: Preprocess) -> None:
    """Try the other preprocessings on some people."""
    model = KycModel(
        real / "models" / "mobilefacenet_fp32.onnx",
        spec,
        FaceVerification(faces, threshold=0.345),
    )

    def resolve(path: object, attribute: str) -> Path:
        return Path(str(path))

    task = task_of(model, FaceLimits(), resolve)
    context = Context(Scratch(), environment())
    refuse_worse(Variants(context, model, task, resolve), GOLDEN)


def test_the_right_one_is_left_alone(real: Path, people: Path) -> None:
    look(real, people / "selection", RIGHT)
    look(real, people / "selection", replace(RIGHT, scale=1 / 128))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (presets.ARCFACE, 'Preprocess(channels="BGR")'),
        (replace(RIGHT, mean=0.0, scale=1 / 255), "Preprocess(mean=127.5, scale=1 / 127.5)"),
        (replace(RIGHT, mean=0.0, scale=1.0), "Preprocess(mean=127.5, scale=1 / 127.5)"),
        (
            replace(presets.ARCFACE, mean=0.0, scale=1 / 255),
            'Preprocess(channels="BGR", mean=127.5, scale=1 / 127.5)',
        ),
    ],
)
def test_a_wrong_one_is_named(real: Path, people: Path, wrong: Preprocess, named: str) -> None:
    with pytest.raises(GoldenError) as caught:
        look(real, people / "selection", wrong)
    assert named in str(caught.value)
    assert "FRR" in str(caught.value)


def evaluated(real: Path, count: int) -> list[Path]:
    return sorted((real / "faces" / "evaluation").iterdir())[:count]


def test_a_wrong_one_is_named_although_it_is_ahead_on_the_first_people(
    real: Path, tmp_path: Path
) -> None:
    for person in evaluated(real, 100):
        (tmp_path / person.name).symlink_to(person)
    with pytest.raises(GoldenError, match=r'better beyond doubt with Preprocess\(channels="BGR"\)'):
        look(real, tmp_path, presets.ARCFACE)


def test_the_right_one_is_left_alone_on_images_of_low_contrast(real: Path, tmp_path: Path) -> None:
    for person in evaluated(real, 60):
        (tmp_path / person.name).mkdir()
        for photo in sorted(person.iterdir())[:4]:
            pixels = (np.asarray(Image.open(photo).convert("RGB")) - 127.0) * 0.2 + 100
            Image.fromarray(pixels.round().astype(np.uint8)).save(
                tmp_path / person.name / f"{photo.stem}.png"
            )
    look(real, tmp_path, RIGHT)
