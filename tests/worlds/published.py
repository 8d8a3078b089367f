"""Preprocessing that the authors of models published, written anew with OpenCV."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def minifasnet_input(
    bgr: NDArray[np.uint8], box: tuple[float, float, float, float], scale: float
) -> NDArray[np.float32]:
    """Silent-Face-Anti-Spoofing's CropImage and its ToTensor, which does not divide by 255.

    Args:
        bgr: pixels as OpenCV reads them, (height, width, 3).
        box: left, top, width and height of the face.
        scale: 2.7 for MiniFASNetV2, 4.0 for MiniFASNetV1SE.

    Returns:
        The input of the network, (1, 3, 80, 80).
    """
    import cv2

    src_h, src_w = bgr.shape[:2]
    x, y, box_w, box_h = box
    own = min((src_h - 1) / box_h, min((src_w - 1) / box_w, scale))
    new_width, new_height = box_w * own, box_h * own
    center_x, center_y = box_w / 2 + x, box_h / 2 + y
    left_top_x, left_top_y = center_x - new_width / 2, center_y - new_height / 2
    right_bottom_x, right_bottom_y = center_x + new_width / 2, center_y + new_height / 2
    if left_top_x < 0:
        right_bottom_x -= left_top_x
        left_top_x = 0
    if left_top_y < 0:
        right_bottom_y -= left_top_y
        left_top_y = 0
    if right_bottom_x > src_w - 1:
        left_top_x -= right_bottom_x - src_w + 1
        right_bottom_x = src_w - 1
    if right_bottom_y > src_h - 1:
        left_top_y -= right_bottom_y - src_h + 1
        right_bottom_y = src_h - 1
    x1, y1, x2, y2 = map(int, (left_top_x, left_top_y, right_bottom_x, right_bottom_y))
    crop = np.ascontiguousarray(bgr[y1 : y2 + 1, x1 : x2 + 1])
    resized = cv2.resize(crop, (80, 80))
    found: NDArray[np.float32] = resized.transpose(2, 0, 1)[None].astype(np.float32)
    return found
