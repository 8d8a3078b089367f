"""Presets prepare images as the models' own code does, written anew here with OpenCV."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_kycquant import Box, Preprocess, presets
from pytest_kycquant.data.crops import crop_box
from pytest_kycquant.data.images import preprocess
from tests.worlds.published import minifasnet_input

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(
        rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), (width, height), interpolation=2
    )
    noise = rng.normal(0, 12, smooth.shape)
    return (smooth + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (721, 1283), (200, 100), (640, 640)])
def test_yolov8(size: tuple[int, int]) -> None:
    """Ultralytics' LetterBox(new_shape=640, auto=False), then / 255."""
    rgb = photograph(*size)
    bgr = rgb[..., ::-1]
    shape, new = bgr.shape[:2], (640, 640)
    r = min(new[0] / shape[0], new[1] / shape[1])
    unpadded = round(shape[1] * r), round(shape[0] * r)
    dw, dh = (new[1] - unpadded[0]) / 2, (new[0] - unpadded[1]) / 2
    image = bgr
    if shape[::-1] != unpadded:
        image = cv2.resize(np.ascontiguousarray(bgr), unpadded, interpolation=cv2.INTER_LINEAR)
    top, bottom = round(dh - 0.1), round(dh + 0.1)
    left, right = round(dw - 0.1), round(dw + 0.1)
    image = cv2.copyMakeBorder(
        np.ascontiguousarray(image), top, bottom, left, right, cv2.BORDER_CONSTANT,
        value=(114, 114, 114),
    )  # fmt: skip
    wanted = (image[..., ::-1].transpose(2, 0, 1)[None] / 255).astype(np.float32)
    found = preprocess(rgb, presets.YOLOV8, "x")
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize("scale", [2.7, 4.0])
@pytest.mark.parametrize("box", [(200, 120, 90, 110), (3, 5, 150, 200), (500, 300, 120, 140)])
def test_minifasnet(scale: float, box: tuple[int, int, int, int]) -> None:
    rgb = photograph(480, 640, 1)
    wanted = minifasnet_input(rgb[..., ::-1], box, scale)
    x, y, width, height = box
    left, top, right, bottom = crop_box(640, 480, Box(x, y, x + width, y + height), scale)
    found = preprocess(rgb[top:bottom, left:right], presets.MINIFASNET, "x")
    assert np.array_equal(found, wanted)


def test_arcface() -> None:
    """InsightFace's ``cv2.dnn.blobFromImages(..., 1 / 127.5, ..., (127.5,) * 3, swapRB=True)``."""
    rgb = photograph(112, 112, 2)
    wanted = ((rgb.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(preprocess(rgb, presets.ARCFACE, "x"), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (333, 777)])
def test_insightface_detector(size: tuple[int, int]) -> None:
    """SCRFD.detect: resized, then put into the upper left corner of a black image."""
    rgb = photograph(*size, 3)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    ratio, model_ratio = bgr.shape[0] / bgr.shape[1], 1.0
    if ratio > model_ratio:
        new_height = 640
        new_width = int(new_height / ratio)
    else:
        new_width = 640
        new_height = int(new_width * ratio)
    canvas = np.zeros((640, 640, 3), np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(bgr, (new_width, new_height))
    wanted = ((canvas[..., ::-1].astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
    spec = Preprocess(
        size=(640, 640),
        mean=127.5,
        scale=1 / 128,
        resize="opencv-bilinear",
        fit="top-left",
        pad=0,
    )
    np.testing.assert_allclose(preprocess(rgb, spec, "x"), wanted, rtol=0, atol=1e-6)
