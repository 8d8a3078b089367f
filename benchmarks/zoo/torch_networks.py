"""Networks as they are defined in torch; only loaded where torch is installed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

_OUTPUTS = 32


def _unit(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.PReLU(outputs),
    )


class Embedder(nn.Module):
    """In the style of InsightFace: PReLU, a depthwise convolution as pooling, BatchNorm1d."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_unit(3, 16, 2), _unit(16, 32, 2), _unit(32, 32, 1, 32))
        self.pool = nn.Conv2d(32, 32, 12, groups=32, bias=False)
        self.last = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.1), nn.Linear(32, _OUTPUTS), nn.BatchNorm1d(_OUTPUTS)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A normalized embedding, (N, 32)."""
        return functional.normalize(self.last(self.pool(self.body(x))))


class Mobile(nn.Module):
    """In the style of MobileNetV3: hard swish, squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.Hardswish())
        self.deep = nn.Sequential(
            nn.Conv2d(24, 24, 5, 1, 2, groups=24), nn.BatchNorm2d(24), nn.Hardswish()
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(24, 8, 1), nn.ReLU(), nn.Conv2d(8, 24, 1)
        )
        self.last = nn.Linear(24, _OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, (N, 32)."""
        x = self.stem(x)
        deep = self.deep(x)
        x = x + deep * functional.hardsigmoid(self.gate(deep))
        return self.last(x.mean(dim=(2, 3)))


class Pyramid(nn.Module):
    """In the style of detectors: upsampling to the size of another map, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = _unit(3, 16, 2), _unit(16, 32, 2)
        self.side, self.merge = nn.Conv2d(32, 16, 1), _unit(16, 16)
        self.scores, self.boxes = nn.Conv2d(16, 2, 3, 1, 1), nn.Conv2d(16, 8, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores, (N, A, 1), and boxes, (N, A, 4)."""
        fine = self.first(x)
        coarse = functional.interpolate(
            self.side(self.second(fine)), size=fine.shape[2:], mode="nearest"
        )
        x = self.merge(fine + coarse)
        count = x.shape[0]
        scores = self.scores(x).permute(0, 2, 3, 1).reshape(count, -1, 1).sigmoid()
        return scores, self.boxes(x).permute(0, 2, 3, 1).reshape(count, -1, 4)


class Transformer(nn.Module):
    """A vision transformer of two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 48, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, 48))
        self.place = nn.Parameter(torch.randn(1, 37, 48) * 0.1)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(48, 4, 96, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.last = nn.Linear(48, _OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, (N, 32)."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.place
        for block in self.blocks:
            x = block(x)
        return self.last(x[:, 0])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "embedder": Embedder,
    "mobile": Mobile,
    "pyramid": Pyramid,
    "transformer": Transformer,
}
