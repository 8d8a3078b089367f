"""Train the detector of identity documents: ``python -m models.training.yolov8``.

Training has two stages, as in multi-scale training: most steps use small images, the rest images
of the model's input size. It uses AdamW with one cycle of the learning rate, and exports the
average of the weights over the last steps.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .detection_loss import loss
from .detection_pool import Pool, batches, render_pool, vary
from .export import export
from .pool import FOLDER
from .yolov8_network import SIZE, YoloV8

SEED = 8
SCENES = 8_000
STEPS = 4_200
BATCH = 16
SMALL, SMALL_SHARE = 192, 0.7  # pixels, and share of the steps on images of that size
RATE, DECAY = 2e-3, 0.02  # highest learning rate, weight decay
AVERAGE = 0.998  # memory of the average of the weights
OUT = Path("models/yolov8_fp32.onnx")


class Detector(nn.Module):
    """The exported network: maps images to boxes and probabilities."""

    def __init__(self, network: YoloV8) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Map N x 3 x 320 x 320 to N x 6 x 2100."""
        return self.network.decode(*self.network(images), SIZE, SIZE)


def train(pool: Pool, steps: int, *, checkpoint: Path | None = None, batch: int = BATCH) -> YoloV8:
    """Train from scratch.

    Args:
        pool: training scenes.
        steps: number of batches.
        checkpoint: file that keeps the state every 250 steps; if it exists, training resumes.
        batch: number of scenes in a batch.

    Returns:
        The network with averaged weights, in evaluation mode.
    """
    torch.manual_seed(SEED)
    network = YoloV8().to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(_groups(network), lr=RATE, betas=(0.9, 0.99))
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.1, final_div_factor=1e3
    )
    first = 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        first = state["step"]
        for part, name in ((network, "network"), (average, "average"), (optimizer, "optimizer")):
            part.load_state_dict(state[name])
        cycle.load_state_dict(state["cycle"])
    mean, began = 0.0, time.monotonic()
    for step, rows in zip(range(steps), batches(pool, batch, SEED), strict=False):
        if step < first:
            continue
        size = SMALL if step < SMALL_SHARE * steps else SIZE
        data = vary(pool, rows, size, np.random.default_rng([SEED, step]))
        images = data.images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(images)
        value = loss(network, outputs, (size, size), data.boxes, data.classes)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        cycle.step()
        _follow(average, network, min(AVERAGE, (1 + step) / (10 + step)))
        mean += (float(value.detach()) - mean) * max(0.02, 1 / (step - first + 1))
        if (step + 1) % 50 == 0 or step + 1 == steps:
            minutes = (time.monotonic() - began) / 60
            print(f"step {step + 1} of {steps}: loss {mean:.3f}, {minutes:.1f} min", flush=True)
        if checkpoint is not None and (step + 1) % 250 == 0:
            state = {
                "step": step + 1,
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "cycle": cycle.state_dict(),
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    return average.eval()


def _groups(network: nn.Module) -> list[dict[str, object]]:
    """Parameter groups: weights decay, biases and normalization do not."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, memory: float) -> None:
    """Move the averaged weights and statistics towards the current ones."""
    state = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(state[name], 1 - memory)


def main() -> None:
    """Render, train, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="batches to learn from")
    parser.add_argument("--scenes", type=int, default=SCENES, help="training scenes to render")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch, and to render")
    parser.add_argument("--out", type=Path, default=OUT, help="ONNX file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pool = render_pool(FOLDER, arguments.scenes, arguments.threads)
    checkpoint = FOLDER / f"yolov8-{arguments.scenes}-{arguments.steps}.pt"
    network = train(pool, arguments.steps, checkpoint=checkpoint)
    export(
        Detector(network.to(memory_format=torch.contiguous_format)),
        (3, SIZE, SIZE),
        arguments.out,
        input_name="images",
        output_names=["output0"],
    )
    checkpoint.unlink(missing_ok=True)  # the next run starts afresh


if __name__ == "__main__":
    main()
