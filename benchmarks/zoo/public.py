"""The models of this repository, and public ones in `KYCQUANT_REAL` where these are present."""

from __future__ import annotations

import os
from pathlib import Path

from .case import CLOSE, Case, drifting

ROOT = Path(__file__).resolve().parent.parent.parent
REAL = Path(os.environ.get("KYCQUANT_REAL", ROOT.parent / "shared" / "real"))

_MATCH = "FaceVerification('images', labelled=False, threshold={})"
_LIVE = "LivenessDetection('images', labelled=False, threshold=0.5{})"
_FIND = "ObjectDetection('images', classes={}, labelled=False, confidence=0.5{})"
_FACE = "('face',)"
_CROPPED = ", boxes='boxes.csv', crop_scale={}"

# 200 images are fewer than the defaults need for a verdict on a variant that changes little.
_FLIPS = "LivenessLimits(flips=0.05)"
_FOUND = "DetectionLimits(agreement=0.95)"

_RGB = "channels='RGB', resize='opencv-bilinear', "

# name of the images: task, preprocessing and limits
_REFERENCE = {
    "arcface": (
        "faces",
        _MATCH.format(0.4),
        "size=(112, 112), mean=127.5, scale=1 / 127.5, channels='RGB'",
        "FaceLimits()",
    ),
    "minifasnet": (
        "liveness",
        _LIVE.format(""),
        "size=(80, 80), channels='BGR', resize='opencv-bilinear'",
        _FLIPS,
    ),
    "yolov8": (
        "documents",
        _FIND.format("('document', 'portrait')", ""),
        _RGB + "size=(320, 320), scale=1 / 255, fit='letterbox'",
        _FOUND,
    ),
}

# file: task ("" for one that compares all outputs), preprocessing, limits, and the images: aligned
# faces or photographs
_PUBLIC = {
    "mobilefacenet_fp32.onnx": (
        _MATCH.format(0.345),
        "size=(112, 112), mean=127.5, scale=1 / 128, channels='BGR'",
        "FaceLimits()",
        "faces",
    ),
    "MiniFASNetV2.onnx": (
        _LIVE.format(_CROPPED.format(2.7)),
        "size=(80, 80), channels='BGR', resize='opencv-bilinear'",
        _FLIPS,
        "scenes",
    ),
    "MiniFASNetV1SE.onnx": (
        _LIVE.format(_CROPPED.format(4.0)),
        "size=(80, 80), channels='BGR', resize='opencv-bilinear'",
        _FLIPS,
        "scenes",
    ),
    "antispoofing_bin_128.onnx": (
        _LIVE.format(", live_class=0" + _CROPPED.format(1.5)),
        _RGB + "size=(128, 128), scale=1 / 255",
        _FLIPS,
        "scenes",
    ),
    "yolov8-lite-t.onnx": (
        _FIND.format(_FACE, ", scores='logits', keypoints=5"),
        _RGB + "size=(640, 640), scale=1 / 255, fit='letterbox'",
        _FOUND,
        "scenes",
    ),
    "det_500m.onnx": (
        _FIND.format(_FACE, ", nms_iou=0.4"),
        _RGB + "size=(640, 640), mean=127.5, scale=1 / 128, fit='top-left', pad=0",
        _FOUND,
        "scenes",
    ),
    "yunet_n_dynamic.onnx": (
        _FIND.format(_FACE, ""),
        "size=(256, 256), channels='BGR', resize='opencv-bilinear'",
        _FOUND,
        "scenes",
    ),
    "version-RFB-320.onnx": (
        _FIND.format(_FACE, ""),
        _RGB + "size=(240, 320), mean=127, scale=1 / 128",
        _FOUND,
        "scenes",
    ),
    "RetinaFace_mobile320.onnx": (
        _FIND.format(_FACE, ""),
        "size=(320, 320), mean=(104, 117, 123), channels='BGR', resize='opencv-bilinear'",
        _FOUND,
        "scenes",
    ),
    "onet.onnx": (
        "",
        _RGB + "size=(48, 48), mean=127.5, scale=1 / 127.5, layout='NHWC'",
        CLOSE,
        "faces",
    ),
}


def reference() -> list[Case]:
    """The models of this repository, on its calibration images."""
    return [
        Case(
            f"{name}_fp32.onnx",
            ROOT / "models" / f"{name}_fp32.onnx",
            task,
            preprocess,
            limits,
            (ROOT / "calibration" / folder,) * 2,
        )
        for name, (folder, task, preprocess, limits) in _REFERENCE.items()
    ]


def public() -> list[Case]:
    """The public models that are present, on real faces and photographs."""
    faces = (REAL / "faces" / "evaluation", REAL / "faces" / "calibration")
    scenes = (REAL / "scenes" / "images",) * 2
    return [
        Case(
            name,
            REAL / "models" / name,
            task or drifting(REAL / "models" / name),
            preprocess,
            limits,
            faces if images == "faces" else scenes,
            boxes=REAL / "scenes" / "face_boxes.csv" if "boxes=" in task else None,
        )
        for name, (task, preprocess, limits, images) in _PUBLIC.items()
        if (REAL / "models" / name).is_file()
    ]
