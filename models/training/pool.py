"""Training pictures, rendered once and kept for the next training by the same renderer."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.rendering import faces, splits
from models.rendering.sets import renderer_digest

FOLDER = Path(__file__).resolve().parents[2] / ".rendered"


def pool_file(folder: Path, name: str) -> Path:
    """Path of a pool; each renderer has its own, so that no training uses a stale pool."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    return path.with_stem(f"{path.stem}-{renderer_digest()[:12]}")


def difficulty(seed: int, index: int) -> float:
    """Training pictures are of every difficulty: 0.1 to 1."""
    return 0.1 + 0.9 * float(np.random.default_rng([0xD1FF, seed, index]).random())


def face_pool(identities: int, pictures: int, workers: int = 1) -> NDArray[np.uint8]:
    """Aligned faces of the first identities of the training split.

    Args:
        identities: number of people.
        pictures: number of pictures of each person.
        workers: number of processes that render.

    Returns:
        (identities, pictures, 112, 112, 3) uint8, memory-mapped and read-only.
    """
    path = pool_file(FOLDER, f"faces-{identities}x{pictures}.npy")
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}.partial")
        shape = (identities, pictures, *faces.CROP, 3)
        pool = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
        seeds = splits.TRAINING[:identities]
        with ProcessPoolExecutor(workers) as executor:
            rows = executor.map(_pictures, seeds, [pictures] * identities, chunksize=4)
            for row, rendered in enumerate(rows):
                pool[row] = rendered
        pool.flush()
        del pool
        partial.replace(path)
    opened: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return opened


def _pictures(seed: int, pictures: int) -> NDArray[np.uint8]:
    return np.stack(
        [faces.aligned(seed, i, difficulty=difficulty(seed, i)) for i in range(pictures)]
    )
