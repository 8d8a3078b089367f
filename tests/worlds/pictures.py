"""Pictures and data sets that the data tests write: small, different from each other, seeded."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pytest_kycquant.data.faces import FaceSet, load_faces


def pixels(seed: int, height: int = 8, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(array: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def write_image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pixels(seed)))
    return path


def write_faces(root: Path, counts: dict[str, int]) -> Path:
    """Write ``name/name_0001.png`` and so on, as LFW names them."""
    seed = 0
    for name, count in counts.items():
        for number in range(1, count + 1):
            seed += 1
            write_image(root / name / f"{name}_{number:04d}.png", seed)
    return root


def npz_faces(path: Path, subjects: list) -> FaceSet:
    """Make faces of the given subjects, one image each, all different."""
    images = np.zeros((len(subjects), 1, 4, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(len(subjects)), 256)
    np.savez(path, images=images, subjects=np.array(subjects))
    return load_faces(path)


def write_captures(
    root: Path, counts: dict[str, int], people: int = 0, *, first_seed: int = 0
) -> Path:
    """Write ``live/0001.png``, ``print/0001.png`` and so on.

    With `people`, each class has that many folders ``person00`` ..., each with `counts` captures.
    """
    seed = first_seed
    for kind, count in counts.items():
        for person in [f"person{i:02d}" for i in range(people)] or [""]:
            for number in range(1, count + 1):
                seed += 1
                write_image(root / kind / person / f"{number:04d}.png", seed)
    return root
