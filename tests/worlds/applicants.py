"""A small world of applicants for the pipeline of `pipelines`: documents, selfies and attacks.

A photograph is a scene of `scenery` with one face: a bright red square of 16 x 16 pixels, in whose
green and blue the person's pattern is seen. Attacks add the textures of `presentations`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.worlds.scenery import CELL, HEIGHT, WIDTH

SIZE = 16
KINDS = ("bona fide", "print", "screen")
_RED = 240  # what the detector looks for


def pattern(rng: np.random.Generator) -> NDArray[np.float64]:
    """What a person looks like, (16, 16, 3)."""
    return rng.normal(128, 55, (SIZE, SIZE, 3))


def texture(kind: str) -> NDArray[np.float64]:
    """What an attack adds, (16, 16, 1)."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    if kind == "print":
        return np.sign(np.sin(rows * np.pi / 4) * np.sin(columns * np.pi / 4))[..., None]
    if kind == "screen":
        return np.where((rows + columns) % 2, 1.0, -1.0)[..., None]
    return np.zeros((SIZE, SIZE, 1))


def photograph(
    rng: np.random.Generator, face: NDArray[np.float64], kind: str, *, red: int = _RED
) -> NDArray[np.uint8]:
    """A scene with one face at a place of its own, (48, 64, 3) uint8."""
    image = rng.integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    seen = face + 45.0 * texture(kind) + rng.normal(0, 10, face.shape)
    seen[..., 0] = red
    left = CELL * int(rng.integers(0, (WIDTH - SIZE) // CELL + 1))
    top = CELL * int(rng.integers(0, (HEIGHT - SIZE) // CELL + 1))
    image[top : top + SIZE, left : left + SIZE] = seen.clip(0, 255).astype(np.uint8)
    return image


def write_applicants(
    root: Path,
    people: int,
    *,
    seed: int = 7,
    attacked: int | None = None,
    dim: Iterable[int] = (),
) -> Path:
    """Write ``applicants.csv`` and its images; return the CSV.

    Args:
        root: where to.
        people: number of people, each with a document and a bona fide selfie.
        seed: seed of all random numbers.
        attacked: number of people whom attacks of each species imitate; None for all.
        dim: people whose documents are too dark for the detector.
    """
    rng = np.random.default_rng(seed)
    dark = set(dim)
    rows = []
    for number in range(people):
        name, face = f"applicant{number:03d}", pattern(rng)
        red = 100 if number in dark else _RED
        given = {"document": photograph(rng, face, "bona fide", red=red)}
        chosen = KINDS if attacked is None or number < attacked else KINDS[:1]
        given |= {kind: photograph(rng, face, kind) for kind in chosen}
        for kind, pixels in given.items():
            file = root / kind.replace(" ", "_") / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
        for kind in chosen:
            place = f"{kind.replace(' ', '_')}/{name}.png"
            half = "one" if number % 2 else "two"
            rows.append([name, f"document/{name}.png", place, kind, half])
    path = root / "applicants.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "document", "selfie", "presentation", "half"])
        writer.writerows(rows)
    return path
