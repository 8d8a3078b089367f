"""MobileFaceNet: is this the same person?

The network of Chen et al. (arXiv 1804.07573) at half its width, trained with the additive angular
margin of ArcFace (Deng et al., arXiv 1801.07698) on invented people (see
`models.rendering.faces`). Since their anatomy is known exactly, an additional linear head learns
it from the embedding; that head is not exported. Run with::

    python -m models.training.arcface
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.rendering import faces, splits

from .export import export
from .layers import Bottleneck, convolution
from .pool import face_pool

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "arcface_fp32.onnx"
SHAPE = (3, *faces.CROP)
SEED = 0
IDENTITIES = 1600
PICTURES = 16
STEPS = 4000
BATCH = 32
RATE = 3e-3
DECAY = 0.05
SCALE = 32.0
MARGIN = 0.4  # radians
WARM_UP = 0.3  # share of the steps in which the margin grows from 0
ANATOMY = 10.0  # weight of the squared error of the anatomy, in standard deviations
SHIFT = 2  # pixels by which a crop may be off, in addition to the renderer's variation
EMBEDDING = 128

# Expansion, channels, repetitions and first stride of the bottlenecks, table 1 of the paper; here
# with half of the channels.
_STEM = 32
_BOTTLENECKS = ((2, 32, 5, 2), (4, 64, 1, 2), (2, 64, 6, 1), (4, 64, 1, 2), (2, 64, 2, 1))
_LAST = 256


class MobileFaceNet(nn.Module):
    """Maps (N, 3, 112, 112) aligned faces, RGB, -1 to 1, to (N, 128) embeddings."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            convolution(3, _STEM, 3, stride=2, padding=1),
            convolution(_STEM, _STEM, 3, groups=_STEM, padding=1),
        ]
        inputs = _STEM
        for expansion, outputs, repetitions, stride in _BOTTLENECKS:
            for i in range(repetitions):
                step = stride if i == 0 else 1
                layers.append(Bottleneck(inputs, expansion * inputs, outputs, step))
                inputs = outputs
        layers.append(convolution(inputs, _LAST, 1))
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            convolution(_LAST, _LAST, 7, groups=_LAST, linear=True),
            convolution(_LAST, EMBEDDING, 1, linear=True),
            nn.Flatten(),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Embed images; the cosine between two embeddings is their score."""
        return self.head(self.features(x))


class ArcMargin(nn.Module):
    """Cosines to one centre for each identity, with a margin on the right one.

    The target's angle is enlarged by `margin`, which equation 3 of the ArcFace paper writes as
    ``cos(theta + m)``; beyond pi - m, where that would grow again, it continues linearly.
    """

    def __init__(self, identities: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(identities, EMBEDDING) * 0.01)

    def forward(self, embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
        """Map (N, D) embeddings and (N,) labels to the mean cross-entropy."""
        cosines = functional.linear(
            functional.normalize(embeddings), functional.normalize(self.centres)
        )
        target = cosines.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        sine = torch.sqrt(1.0 - target.square())
        shifted = target * np.cos(margin) - sine * np.sin(margin)
        shifted = torch.where(target > -np.cos(margin), shifted, target - margin * np.sin(margin))
        logits = SCALE * cosines.scatter(1, labels[:, None], shifted)
        return functional.cross_entropy(logits, labels)


def standard_anatomy(identities: int) -> Tensor:
    """Anatomy as (identities, K) float32, each number with mean 0 and standard deviation 1."""
    numbers = np.array([faces.anatomy(faces.person(i)) for i in splits.TRAINING[:identities]])
    deviation = np.maximum(numbers.std(axis=0), 1e-9)
    return torch.from_numpy((numbers - numbers.mean(axis=0)) / deviation).float()


def normalise(pixels: NDArray[np.uint8]) -> Tensor:
    """Convert (N, H, W, 3) uint8 RGB to (N, 3, H, W) float32, -1 to 1."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # channels last in memory
    return (images.float() - 127.5) / 127.5


def batches(
    pool: NDArray[np.uint8], steps: int, size: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield `steps` batches of shifted pictures, each picture once before any comes again."""
    identities, pictures = pool.shape[:2]
    order = np.empty(0, np.int64)
    for _ in range(steps):
        while len(order) < size:
            order = np.concatenate([order, rng.permutation(identities * pictures)])
        chosen, order = order[:size], order[size:]
        labels = chosen // pictures
        pixels = np.stack([pool[i, j] for i, j in zip(labels, chosen % pictures, strict=True)])
        down, right = rng.integers(-SHIFT, SHIFT + 1, 2)
        pixels = np.roll(pixels, (int(down), int(right)), (1, 2))
        yield normalise(pixels), torch.from_numpy(labels)


def train(
    pool: NDArray[np.uint8], steps: int, *, batch: int = BATCH, checkpoint: Path | None = None
) -> MobileFaceNet:
    """Train on (identities, pictures, 112, 112, 3) uint8.

    Args:
        pool: pictures as `face_pool` returns them; row i shows the person with the i-th training
            seed.
        steps: number of steps of AdamW with a one-cycle rate.
        batch: number of pictures in a step.
        checkpoint: file that keeps the weights every 200 steps.
    """
    torch.manual_seed(SEED)
    network = MobileFaceNet().to(memory_format=torch.channels_last)
    margin_loss = ArcMargin(len(pool))
    anatomy = standard_anatomy(len(pool))
    anatomist = nn.Linear(EMBEDDING, anatomy.shape[1])
    weights = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [*weights, *margin_loss.parameters(), *anatomist.parameters()],
                "weight_decay": DECAY,
            },
            {"params": others, "weight_decay": 0.0},  # batch normalization and PReLU
        ],
        lr=RATE,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.15
    )
    network.train()
    started, losses = time.monotonic(), []
    rng = np.random.default_rng(SEED)
    for step, (images, labels) in enumerate(batches(pool, steps, batch, rng)):
        margin = MARGIN * min(1.0, step / max(WARM_UP * steps, 1.0))
        embeddings = network(images)
        recognition = margin_loss(embeddings, labels, margin)
        description = functional.mse_loss(anatomist(embeddings), anatomy[labels])
        loss = recognition + ANATOMY * description
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append((float(recognition.detach()), float(description.detach())))
        if step % 100 == 99:
            speed = (step + 1) * batch / (time.monotonic() - started)
            latest = np.mean(losses[-100:], axis=0)
            print(
                f"step {step + 1}: margin loss {latest[0]:.3f}, anatomy {latest[1]:.3f}, "
                f"{speed:.0f} images/s",
                flush=True,
            )
            if checkpoint is not None and step % 200 == 199:
                torch.save(network.state_dict(), checkpoint)
    return network


def embed(network: MobileFaceNet, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Embed (N, 112, 112, 3) uint8 pictures; rows of the (N, D) result have unit length."""
    network.eval()
    with torch.no_grad():
        parts = [
            functional.normalize(network(normalise(pictures[i : i + 100])))
            for i in range(0, len(pictures), 100)
        ]
    return torch.cat(parts).numpy()


def verification(
    embeddings: NDArray[np.float32], subjects: NDArray[np.int64], far: float = 5e-4
) -> float:
    """FRR over all pairs at the threshold that gives this FAR; for monitoring, not for gates."""
    scores = embeddings @ embeddings.T
    pairs = np.triu_indices(len(scores), 1)
    same = subjects[pairs[0]] == subjects[pairs[1]]
    impostors = np.sort(scores[pairs][~same])[::-1]
    threshold = impostors[int(far * len(impostors))]
    return float((scores[pairs][same] <= threshold).mean())


def validation(
    identities: int = 150, pictures: int = 4
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures of people at the end of the training split, which no training uses."""
    seeds = splits.TRAINING[-identities:]
    images = np.stack([faces.aligned(seed, i) for seed in seeds for i in range(pictures)])
    return images, np.repeat(np.arange(identities), pictures)


def main() -> None:
    """Train, export and print how well the model distinguishes unseen people."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--identities", type=int, default=IDENTITIES)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--out", type=Path, default=MODEL)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pool = face_pool(options.identities, options.pictures, options.workers)
    network = train(pool, options.steps, checkpoint=options.out.with_suffix(".pt"))
    export(network, SHAPE, options.out, output_names=("embedding",))
    images, subjects = validation()
    frr = verification(embed(network, images), subjects)
    print(f"FRR {frr:.2%} at FAR 0.05 % on unseen people; wrote {options.out}")


if __name__ == "__main__":
    main()
