"""What the networks of several reference models share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PReLU(nn.PReLU):
    """PReLU that trains faster on CPUs and is exported as the ONNX operator.

    The function of He et al. (arXiv 1502.01852), written as ``x + (a - 1) min(x, 0)``:
    PyTorch's own kernel takes nearly half of the training time of a MobileFaceNet.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the slopes to an (N, C, ...) tensor, channel by channel."""
        if torch.onnx.is_in_onnx_export():
            return functional.prelu(x, self.weight)
        slopes = self.weight.view(1, -1, *([1] * (x.dim() - 2)))
        return _PiecewiseLinear.apply(x, slopes)


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


class Bottleneck(nn.Module):
    """Expand with 1x1, filter each channel with 3x3, project with 1x1; optionally add the input."""

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


class _PiecewiseLinear(torch.autograd.Function):
    """PReLU with few passes over memory and one tensor kept for backward, which limit the speed."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(x, slopes)
        return x.clamp_max(0).mul_(slopes - 1).add_(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, slopes = ctx.saved_tensors
        # torch.where is slow here, so the two sides of the kink are separated by ReLU's gradient.
        right = torch.ops.aten.threshold_backward(grad, x, 0)
        left = grad - right
        towards_x = right.addcmul_(left, slopes)
        summed = [0, *range(2, x.dim())]
        return towards_x, left.mul_(x).sum(summed, keepdim=True)
