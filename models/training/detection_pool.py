"""Training scenes: rendered once, then varied while they are read."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.rendering import documents, splits

from .pool import pool_file

MOST = 4  # boxes in a scene: two documents and their portraits
_CHUNK = 100


class Pool(NamedTuple):
    """Rendered scenes.

    Args:
        pixels: N x 320 x 320 x 3, uint8.
        boxes: N x 4 x 4, x1, y1, x2, y2 in pixels, padded with zeros.
        classes: N x 4.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]


class Batch(NamedTuple):
    """What the network sees.

    Args:
        images: N x 3 x S x S, 0..1.
        boxes: N x 4 x 4 in pixels of these images.
        classes: N x 4.
    """

    images: Tensor
    boxes: Tensor
    classes: Tensor


def render_pool(folder: Path, scenes: int, workers: int) -> Pool:
    """Render the first scenes of the training split, or read them if they already exist.

    Args:
        folder: folder that keeps the scenes.
        scenes: number of scenes.
        workers: number of processes that render.
    """
    path = pool_file(folder, f"documents-{scenes}.npy")
    truth = path.with_suffix(".npz")
    if not truth.exists():
        shape = (scenes, documents.SIZE, documents.SIZE, 3)
        pixels = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        boxes = np.zeros((scenes, MOST, 4), np.float32)
        classes = np.zeros((scenes, MOST), np.int64)
        starts = range(0, scenes, _CHUNK)
        with ProcessPoolExecutor(workers) as executor:
            parts = executor.map(_render, starts, [min(_CHUNK, scenes - start) for start in starts])
            for start, part in zip(starts, parts, strict=True):
                rows = slice(start, start + len(part.pixels))
                pixels[rows], boxes[rows], classes[rows] = part
                print(f"rendered {rows.stop} of {scenes} scenes", flush=True)
        pixels.flush()
        np.savez(truth, boxes=boxes, classes=classes)  # last: it says that the pool is complete
    with np.load(truth) as found:
        return Pool(np.load(path, mmap_mode="r"), found["boxes"], found["classes"])


def _render(start: int, count: int) -> Pool:
    pixels = np.empty((count, documents.SIZE, documents.SIZE, 3), np.uint8)
    boxes = np.zeros((count, MOST, 4), np.float32)
    classes = np.zeros((count, MOST), np.int64)
    for row, seed in enumerate(splits.TRAINING[start : start + count]):
        scene = documents.scene(seed)
        pixels[row] = np.asarray(Image.open(io.BytesIO(scene.jpeg)))
        boxes[row, : len(scene.boxes)] = scene.boxes
        classes[row, : len(scene.classes)] = scene.classes
    return Pool(pixels, boxes, classes)


def batches(pool: Pool, batch: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield rows of the pool endlessly, in a new order in each epoch."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(pool.pixels))
        yield from order[: len(order) // batch * batch].reshape(-1, batch)


def vary(pool: Pool, rows: NDArray[np.int64], size: int, rng: np.random.Generator) -> Batch:
    """Read scenes and vary them: mirror, turn by quarters, zoom, shift, change colours."""
    images, boxes = [], []
    for row in rows:
        margin = int(rng.integers(256))
        image, box = moved(pool.pixels[row], pool.boxes[row], size, rng, margin=margin)
        images.append(image)
        boxes.append(box)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255)
    return Batch(
        _recoloured(pixels, rng),
        torch.from_numpy(np.stack(boxes)),
        torch.from_numpy(pool.classes[rows]),
    )


def plain(pool: Pool, rows: NDArray[np.int64]) -> Batch:
    """Read scenes unchanged."""
    images = torch.from_numpy(pool.pixels[rows]).permute(0, 3, 1, 2).float() / 255
    return Batch(images, torch.from_numpy(pool.boxes[rows]), torch.from_numpy(pool.classes[rows]))


def moved(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    size: int,
    rng: np.random.Generator,
    *,
    margin: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Mirror, turn by quarters, zoom and shift one scene.

    Args:
        pixels: image, S x S x 3.
        boxes: boxes on it, M x 4, padded with zeros.
        size: side of the result in pixels.
        rng: source of randomness.
        margin: grey, 0..255, outside the scene; a reflection would repeat documents.

    Returns:
        The image, size x size x 3, and the boxes on it.
    """
    side = pixels.shape[0]
    boxes = boxes.copy()
    used = boxes[:, 2] > boxes[:, 0]
    if rng.random() < 0.5:
        pixels, boxes = (
            pixels[:, ::-1],
            np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], 1),
        )
    for _ in range(max(0, int(rng.integers(-3, 4)))):  # (x, y) becomes (y, side - x)
        pixels, boxes = (
            np.rot90(pixels),
            np.stack([boxes[:, 1], side - boxes[:, 2], boxes[:, 3], side - boxes[:, 0]], 1),
        )
    zoom = math.exp(rng.uniform(math.log(0.75), math.log(1.3)))
    centre = side / 2 + rng.uniform(-0.12, 0.12, 2) * side
    # Coefficients of the map from the result to the scene.
    step = side / (zoom * size)
    left, top = centre - side / (2 * zoom)
    image = Image.fromarray(np.ascontiguousarray(pixels)).transform(
        (size, size),
        Image.Transform.AFFINE,
        (step, 0, left, 0, step, top),
        Image.Resampling.BILINEAR,
        fillcolor=(margin, margin, margin),
    )
    moved = (boxes - np.tile(centre, 2)) * zoom * size / side + size / 2
    area = (moved[:, 2:] - moved[:, :2]).prod(1)
    moved = moved.clip(0, size)
    kept = used & ((moved[:, 2:] - moved[:, :2]).prod(1) > documents.LEAST_VISIBLE * area)
    return np.asarray(image), np.where(kept[:, None], moved, 0).astype(np.float32)


def _recoloured(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Change exposure, colour balance, brightness and saturation, in place."""
    count = len(images)
    gain = np.exp(rng.normal(0, 0.15, (count, 1)) + rng.normal(0, 0.06, (count, 3)))
    offset = rng.normal(0, 0.04, (count, 1))
    images.mul_(torch.from_numpy(gain).float()[..., None, None])
    images.add_(torch.from_numpy(offset).float()[..., None, None])
    fade = rng.uniform(0, 1, count) * (rng.random(count) < 0.3)
    images.lerp_(images.mean(1, keepdim=True), torch.from_numpy(fade).float()[:, None, None, None])
    return images.clamp_(0, 1)
