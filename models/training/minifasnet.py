"""MiniFASNetV2: is the face in front of the camera alive?

The network of minivision-ai's Silent-Face-Anti-Spoofing (2020): a MobileFaceNet (Chen et al., arXiv
1804.07573) whose channels were pruned block by block, 0.43 million parameters, for 80x80 crops at
scale 2.7. Trained as published, with cross-entropy and SGD (without the Fourier branch, which is
not part of the exported network), on the images of `models.rendering.liveness`. Run with::

    python -m models.training.minifasnet
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.rendering import liveness, splits

from .export import export
from .layers import Bottleneck, convolution
from .liveness_figures import report
from .pool import FOLDER, pool_file

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "minifasnet_fp32.onnx"
SHAPE = (3, liveness.SIZE, liveness.SIZE)
SEED = 0
SUBJECTS = 2400
EPOCHS = 8
BATCH = 64
RATE = 0.1
DECAY = 5e-4
MARGIN = 2  # pixels by which a crop may be off
CLASSES = 3
EMBEDDING = 128

# Channels of the expansion in each block after pruning; the blocks themselves have 64 and 128.
_STEM = 32
_DOWN_1, _BLOCKS_1 = 103, (13, 13, 13, 13)
_DOWN_2, _BLOCKS_2 = 231, (231, 52, 26, 77, 26, 26)
_DOWN_3, _BLOCKS_3 = 308, (26, 26)
_LAST = 512


class MiniFASNetV2(nn.Module):
    """Maps (N, 3, 80, 80) images, BGR, 0 to 255, to (N, 3) logits; class 1 is a live face.

    Args:
        dropout: share of the embedding that is dropped in training.
    """

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            convolution(3, _STEM, 3, stride=2, padding=1),
            convolution(_STEM, _STEM, 3, groups=_STEM, padding=1),
            Bottleneck(_STEM, _DOWN_1, 64, stride=2),
            *(Bottleneck(64, width, 64) for width in _BLOCKS_1),
            Bottleneck(64, _DOWN_2, 128, stride=2),
            *(Bottleneck(128, width, 128) for width in _BLOCKS_2),
            Bottleneck(128, _DOWN_3, 128, stride=2),
            *(Bottleneck(128, width, 128) for width in _BLOCKS_3),
            convolution(128, _LAST, 1),
        )
        self.head = nn.Sequential(
            convolution(_LAST, _LAST, 5, groups=_LAST, linear=True),
            nn.Flatten(),
            nn.Linear(_LAST, EMBEDDING, bias=False),
            nn.BatchNorm1d(EMBEDDING),
            nn.Dropout(dropout),
            nn.Linear(EMBEDDING, CLASSES, bias=False),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; softmax is left to the caller, as in the published network."""
        return self.head(self.features(x))


class Pool(NamedTuple):
    """Training images: (N, 3, 80, 80) uint8 BGR, and (N,) int64 classes."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def render_pool(subjects: int, folder: Path) -> Pool:
    """Render the training images, or read them if this renderer already did.

    Args:
        subjects: number of people; there are seven images of each.
        folder: folder that keeps the images for the next training.
    """
    path = pool_file(folder, f"liveness-{subjects}.npz")
    if not path.exists():
        drawn = list(liveness.training(splits.TRAINING[:subjects]))
        images = np.stack([image.transpose(2, 0, 1)[::-1] for image, _ in drawn])
        labels = np.array([label for _, label in drawn], np.int64)
        draft = path.with_suffix(".part.npz")
        np.savez(draft, images=images, labels=labels)
        draft.replace(path)
    with np.load(path) as stored:
        return Pool(stored["images"], stored["labels"])


def batches(
    pool: Pool, rng: np.random.Generator, size: int = BATCH
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffle a pool and yield whole batches, mirrored, moved and brightened at random."""
    order = rng.permutation(len(pool.labels))
    edges = ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        images = np.empty((size, *SHAPE), np.float32)
        for place, image in zip(images, pool.images[chosen], strict=True):
            row, column = rng.integers(0, 2 * MARGIN + 1, 2)
            moved = np.pad(image, edges, mode="edge")[:, row:, column:][:, : SHAPE[1], : SHAPE[2]]
            place[:] = moved if rng.random() < 0.5 else moved[..., ::-1]
        images *= rng.uniform(0.9, 1.1, (size, 1, 1, 1)).astype(np.float32)
        np.clip(images, 0.0, 255.0, out=images)
        tensor = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        yield tensor, torch.from_numpy(pool.labels[chosen])


def train(
    pool: Pool, steps: int, *, batch: int = BATCH, checkpoint: Path | None = None
) -> MiniFASNetV2:
    """Train from scratch with SGD, the rate warming up and then falling along a cosine.

    Args:
        pool: the training images.
        steps: number of batches.
        batch: number of images in each batch.
        checkpoint: file that keeps the weights every 100 steps.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    network = MiniFASNetV2().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        network.parameters(), RATE, momentum=0.9, weight_decay=DECAY, nesterov=True
    )
    warm_up = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm_up, 0.5 + 0.5 * math.cos(math.pi * step / steps)),
    )
    started, losses, done = time.monotonic(), [], 0
    while done < steps:
        for images, labels in batches(pool, rng, batch):
            loss = functional.cross_entropy(network(images), labels)
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"loss is {loss.item()} at step {done}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            done += 1
            if done % 100 == 0 or done == steps:
                elapsed = time.monotonic() - started
                print(f"{done}/{steps} loss {np.mean(losses):.4f} {elapsed:.0f} s", flush=True)
                losses.clear()
                if checkpoint is not None:
                    torch.save(network.state_dict(), checkpoint)
            if done == steps:
                break
    return network


def main() -> None:
    """Render, train, export and evaluate."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--subjects", type=int, default=SUBJECTS, help="people to render")
    parser.add_argument("--steps", type=int, help=f"batches; default: {EPOCHS} epochs")
    parser.add_argument("--out", type=Path, default=MODEL, help="ONNX file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pool = render_pool(options.subjects, FOLDER)
    steps = options.steps or EPOCHS * len(pool.labels) // BATCH
    network = train(pool, steps, checkpoint=options.out.with_suffix(".pt"))
    export(network, SHAPE, options.out, output_names=["logits"])
    report(options.out)


if __name__ == "__main__":
    main()
