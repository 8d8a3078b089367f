"""MiniFASNetV2: is the face in front of the camera alive?

The network of minivision-ai's Silent-Face-Anti-Spoofing (2020): a MobileFaceNet (Chen et al., arXiv
1804.07573) whose channels were pruned block by block, 0.43 million parameters, for 80x80 crops at
scale 2.7. Trained with cross-entropy on the images of `models.rendering.liveness`. Run with::

    python -m models.training.minifasnet
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.rendering import liveness

from .export import export
from .layers import PReLU

ROOT = Path(__file__).parents[2]
SHAPE = (3, liveness.SIZE, liveness.SIZE)
CLASSES = 3
EMBEDDING = 128

# Channels that pruning left: of the expansion in each block; the blocks' own are 64 and 128.
_STEM = 32
_DOWN_1, _BLOCKS_1 = 103, (13, 13, 13, 13)
_DOWN_2, _BLOCKS_2 = 231, (231, 52, 26, 77, 26, 26)
_DOWN_3, _BLOCKS_3 = 308, (26, 26)
_LAST = 512


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    padding: int = 0,
    linear: bool = False,
) -> nn.Sequential:
    """Make a convolution with batch normalization and, unless it is `linear`, PReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if linear else [PReLU(outputs)]))


class DepthWise(nn.Module):
    """Expand with 1x1, filter each channel with 3x3, project with 1x1; the input may be added."""

    def __init__(self, inputs: int, expanded: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            convolution(inputs, expanded, 1),
            convolution(expanded, expanded, 3, stride=stride, groups=expanded, padding=1),
            convolution(expanded, outputs, 1, linear=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return x + self.body(x) if self.residual else self.body(x)


class MiniFASNetV2(nn.Module):
    """(N, 3, 80, 80) images, BGR, 0 to 255, to (N, 3) logits; class 1 is a live face.

    Args:
        dropout: share of the embedding that is dropped in training.
    """

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            convolution(3, _STEM, 3, stride=2, padding=1),
            convolution(_STEM, _STEM, 3, groups=_STEM, padding=1),
            DepthWise(_STEM, _DOWN_1, 64, stride=2),
            *(DepthWise(64, width, 64) for width in _BLOCKS_1),
            DepthWise(64, _DOWN_2, 128, stride=2),
            *(DepthWise(128, width, 128) for width in _BLOCKS_2),
            DepthWise(128, _DOWN_3, 128, stride=2),
            *(DepthWise(128, width, 128) for width in _BLOCKS_3),
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
