"""YOLOv8 nano for identity documents and their portraits.

The architecture follows the published layer table of YOLOv8 (Ultralytics, 2023: a CSP backbone
with C2f blocks and SPPF, a path aggregation neck, a decoupled head without anchors) at the depth of
the nano model; only the width is smaller, to shorten training on a CPU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SIZE = 320  # pixels, width and height of the input
STRIDES = (8, 16, 32)
BINS = 16  # bins of the distribution of each box side: "reg_max"
WIDTH = 0.1875  # multiple of the table's channels; nano has .25
CLASSES = ("document", "portrait")


class ConvBlock(nn.Module):
    """Convolution without bias, batch normalization, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H/stride x W/stride."""
        return nn.functional.silu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, with a residual connection if requested."""

    def __init__(self, channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels, 3)
        self.second = ConvBlock(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape."""
        y = self.second(self.first(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    """Cross-stage partial block that concatenates the output of every bottleneck."""

    def __init__(self, inputs: int, outputs: int, repeats: int, *, shortcut: bool) -> None:
        super().__init__()
        self.hidden = hidden = outputs // 2
        self.entry = ConvBlock(inputs, 2 * hidden)
        self.blocks = nn.ModuleList(Bottleneck(hidden, shortcut=shortcut) for _ in range(repeats))
        self.exit = ConvBlock((2 + repeats) * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H x W."""
        parts = list(self.entry(x).split(self.hidden, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.exit(torch.cat(parts, 1))


class SPPF(nn.Module):
    """Spatial pyramid pooling by three 5x5 max poolings in a row."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.entry = ConvBlock(channels, channels // 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.exit = ConvBlock(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape."""
        parts = [self.entry(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.exit(torch.cat(parts, 1))


class Head(nn.Module):
    """Decoupled head of one scale: distributions of the four box sides, and class logits."""

    def __init__(self, inputs: int, box: int, scores: int, stride: int) -> None:
        super().__init__()
        self.box = nn.Sequential(
            ConvBlock(inputs, box, 3), ConvBlock(box, box, 3), nn.Conv2d(box, 4 * BINS, 1)
        )
        self.scores = nn.Sequential(
            ConvBlock(inputs, scores, 3),
            ConvBlock(scores, scores, 3),
            nn.Conv2d(scores, len(CLASSES), 1),
        )
        # Start with rare objects: about five in 640 x 640 pixels.
        nn.init.constant_(self.box[-1].bias, 1.0)
        nn.init.constant_(self.scores[-1].bias, math.log(5 / len(CLASSES) / (640 / stride) ** 2))

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x (64 + 2) x H x W logits."""
        return torch.cat([self.box(x), self.scores(x)], 1)


class YoloV8(nn.Module):
    """YOLOv8 nano with two classes.

    `forward` gives what the loss needs, `decode` what a user needs.

    Args:
        width: multiple of the channels of the published table.
    """

    def __init__(self, width: float = WIDTH) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (
            max(8, math.ceil(c * width / 8) * 8) for c in (64, 128, 256, 512, 1024)
        )
        self.stem = nn.Sequential(
            ConvBlock(3, c1, 3, 2),
            ConvBlock(c1, c2, 3, 2),
            C2f(c2, c2, 1, shortcut=True),
            ConvBlock(c2, c3, 3, 2),
            C2f(c3, c3, 2, shortcut=True),
        )
        self.middle = nn.Sequential(ConvBlock(c3, c4, 3, 2), C2f(c4, c4, 2, shortcut=True))
        self.deep = nn.Sequential(ConvBlock(c4, c5, 3, 2), C2f(c5, c5, 1, shortcut=True), SPPF(c5))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.top_down_4 = C2f(c5 + c4, c4, 1, shortcut=False)
        self.top_down_3 = C2f(c4 + c3, c3, 1, shortcut=False)
        self.down_3 = ConvBlock(c3, c3, 3, 2)
        self.bottom_up_4 = C2f(c3 + c4, c4, 1, shortcut=False)
        self.down_4 = ConvBlock(c4, c4, 3, 2)
        self.bottom_up_5 = C2f(c4 + c5, c5, 1, shortcut=False)
        box, scores = max(16, c3 // 4, 4 * BINS), max(c3, len(CLASSES))
        self.heads = nn.ModuleList(
            Head(inputs, box, scores, stride)
            for inputs, stride in zip((c3, c4, c5), STRIDES, strict=True)
        )
        self.dfl = nn.Conv2d(BINS, 1, 1, bias=False).requires_grad_(False)
        self.dfl.weight.data[:] = torch.arange(BINS, dtype=torch.float32).view(1, BINS, 1, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network.

        Args:
            images: N x 3 x H x W, RGB / 255, H and W multiples of 32.

        Returns:
            Logits of the box sides, N x 64 x A, and of the classes, N x 2 x A; A is the number of
            cells of all three scales, 2100 for 320 x 320.
        """
        p3 = self.stem(images)
        p4 = self.middle(p3)
        p5 = self.deep(p4)
        n4 = self.top_down_4(torch.cat([self.up(p5), p4], 1))
        n3 = self.top_down_3(torch.cat([self.up(n4), p3], 1))
        m4 = self.bottom_up_4(torch.cat([self.down_3(n3), n4], 1))
        m5 = self.bottom_up_5(torch.cat([self.down_4(m4), p5], 1))
        maps = [head(x).flatten(2) for head, x in zip(self.heads, (n3, m4, m5), strict=True)]
        boxes, scores = torch.cat(maps, 2).split((4 * BINS, len(CLASSES)), 1)
        return boxes, scores

    def decode(self, boxes: Tensor, scores: Tensor, height: int, width: int) -> Tensor:
        """Turn logits into boxes and probabilities, as the usual export of YOLOv8 does.

        Returns:
            N x (4 + 2) x A: centre x, centre y, width and height in pixels, then the sigmoid of
            each class.
        """
        centres, strides = cells(height, width, boxes)
        sides = self.distances(boxes, count_cells(height, width))
        before, after = sides.split(2, 1)
        left_top, right_bottom = centres - before, centres + after
        box = torch.cat([(left_top + right_bottom) / 2, right_bottom - left_top], 1)
        return torch.cat([box * strides, scores.sigmoid()], 1)

    def distances(self, boxes: Tensor, anchors: int) -> Tensor:
        """Expected distances of left, top, right and bottom in cells: N x 4 x A."""
        bins = boxes.reshape(-1, 4, BINS, anchors).transpose(1, 2).softmax(1)
        return self.dfl(bins).squeeze(1)


def count_cells(height: int, width: int) -> int:
    """Number of cells of all scales: 2100 for 320 x 320."""
    return sum((height // stride) * (width // stride) for stride in STRIDES)


def cells(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of all cells in units of their stride, 2 x A (x, y), and the strides, 1 x A."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y = torch.arange(rows, dtype=like.dtype, device=like.device) + 0.5
        x = torch.arange(columns, dtype=like.dtype, device=like.device) + 0.5
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        centres.append(torch.stack([grid_x.flatten(), grid_y.flatten()]))
        strides.append(torch.full((1, rows * columns), float(stride), dtype=like.dtype))
    return torch.cat(centres, 1), torch.cat(strides, 1)
