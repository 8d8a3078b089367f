"""Loss of YOLOv8: task-aligned assignment, complete IoU, distribution focal loss.

Sources: Feng et al., TOOD: task-aligned one-stage object detection, arXiv 2108.07755; Zheng et al.,
distance-IoU loss, arXiv 1911.08287 (complete IoU); Li et al., generalized focal loss, arXiv
2006.04388. Constants are those of YOLOv8.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .yolov8_network import BINS, YoloV8, cells

TOP = 10  # cells that may be assigned to one box
ALPHA, BETA = 0.5, 6.0  # exponents of score and overlap in the alignment of a cell with a box
BOX, SCORE, DISTRIBUTION = 7.5, 0.5, 1.5  # weights of the three terms
_TINY = 1e-9


class Assignment(NamedTuple):
    """The box that is assigned to each of A cells, for each of N images.

    Args:
        box: index of the cell's box, N x A; meaningless if the cell is free.
        taken: whether the cell has a box, N x A.
        weight: target score of the box's class, 0 for free cells, N x A.
    """

    box: Tensor
    taken: Tensor
    weight: Tensor


def assign(
    scores: Tensor, predicted: Tensor, centres: Tensor, boxes: Tensor, classes: Tensor
) -> Assignment:
    """Give each box the cells that are best aligned with it (TOOD, equations 5 to 7).

    Args:
        scores: probabilities, N x A x C.
        predicted: boxes x1, y1, x2, y2 in pixels, N x A x 4.
        centres: centres of the cells in pixels, A x 2.
        boxes: true boxes, N x M x 4; rows of zeros if an image has fewer than M.
        classes: classes of the true boxes, N x M.
    """
    real = (boxes[..., 2] > boxes[..., 0])[..., None]
    low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    inside = ((centres > low) & (centres < high)).all(-1) & real
    overlap = complete_iou(boxes[:, :, None], predicted[:, None]).clamp(min=0) * inside
    index = classes[..., None].expand(-1, -1, scores.shape[1])
    chosen = scores.transpose(1, 2).gather(1, index)
    alignment = chosen**ALPHA * overlap**BETA * inside
    best = alignment.topk(TOP, -1)
    candidate = torch.zeros_like(inside).scatter(2, best.indices, best.values > _TINY)
    # A cell that several boxes claim is assigned to the one that it overlaps most.
    box = torch.where(candidate, overlap, -1.0).argmax(1)
    taken = candidate.any(1)
    owner = functional.one_hot(box, boxes.shape[1]).transpose(1, 2).bool() & taken[:, None]
    alignment, overlap = alignment * owner, overlap * owner
    strongest, largest = alignment.amax(-1, keepdim=True), overlap.amax(-1, keepdim=True)
    weight = (alignment * largest / (strongest + _TINY)).amax(1)
    return Assignment(box, taken, weight)


def loss(
    network: YoloV8,
    outputs: tuple[Tensor, Tensor],
    size: tuple[int, int],
    boxes: Tensor,
    classes: Tensor,
) -> Tensor:
    """Loss of a batch.

    Args:
        network: the network, which decodes distances.
        outputs: outputs of `YoloV8.forward`.
        size: height and width of the images in pixels.
        boxes: true boxes, N x M x 4, x1, y1, x2, y2 in pixels, padded with rows of zeros.
        classes: classes of the true boxes, N x M.

    Returns:
        A scalar.
    """
    sides, logits = (output.float() for output in outputs)
    grid, strides = cells(*size, sides)
    distances = network.distances(sides, grid.shape[1])
    predicted = torch.cat([grid - distances[:, :2], grid + distances[:, 2:]], 1) * strides
    predicted, logits = predicted.transpose(1, 2), logits.transpose(1, 2)
    centres = (grid * strides).T
    with torch.no_grad():
        found = assign(logits.sigmoid(), predicted, centres, boxes, classes)
    total = found.weight.sum().clamp(min=1.0)
    label = classes.gather(1, found.box)
    target = functional.one_hot(label, logits.shape[2]) * found.weight[..., None]
    score = functional.binary_cross_entropy_with_logits(logits, target, reduction="sum") / total
    if not found.taken.any():
        return SCORE * score
    weight = found.weight[found.taken]
    truth = boxes.gather(1, found.box[..., None].expand(-1, -1, 4))[found.taken]
    box = ((1 - complete_iou(truth, predicted[found.taken])) * weight).sum() / total
    image, cell = found.taken.nonzero(as_tuple=True)
    middle, stride = centres[cell], strides[0, cell][:, None]
    aim = torch.cat([middle - truth[:, :2], truth[:, 2:] - middle], 1) / stride
    bins = sides.reshape(-1, 4, BINS, sides.shape[2])[image, :, :, cell]
    distribution = (_focal(bins, aim) * weight).sum() / total
    return BOX * box + SCORE * score + DISTRIBUTION * distribution


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """Overlap of boxes ... x 4 (x1, y1, x2, y2) less penalties for distance and aspect ratio."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    size1, size2 = first[..., 2:] - first[..., :2], second[..., 2:] - second[..., :2]
    iou = common / (size1.prod(-1) + size2.prod(-1) - common + 1e-7)
    hull_low = torch.minimum(first[..., :2], second[..., :2])
    hull_high = torch.maximum(first[..., 2:], second[..., 2:])
    diagonal = (hull_high - hull_low).square().sum(-1) + 1e-7
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]).square().sum(
        -1
    ) / 4
    angle1 = torch.atan(size1[..., 0] / (size1[..., 1] + 1e-7))
    angle2 = torch.atan(size2[..., 0] / (size2[..., 1] + 1e-7))
    ratio = 4 / math.pi**2 * (angle1 - angle2).square()
    with torch.no_grad():
        trade = ratio / (1 - iou + ratio + 1e-7)
    return iou - apart / diagonal - trade * ratio


def _focal(bins: Tensor, aim: Tensor) -> Tensor:
    """Distribution focal loss: cross entropy with the two bins around the aim, mean of the sides.

    Args:
        bins: logits, K x 4 x 16.
        aim: target distances in cells, K x 4.
    """
    aim = aim.clamp(0, BINS - 1 - 0.01)
    left = aim.long()
    share = aim - left
    spread = bins.log_softmax(-1)
    lower = spread.gather(-1, left[..., None])[..., 0]
    upper = spread.gather(-1, left[..., None] + 1)[..., 0]
    return -((1 - share) * lower + share * upper).mean(-1)
