"""Presets for common models: their preprocessing, how to read their outputs, and their limits.

A preset is a `KycModel` with the usual values filled in; every value can be overridden. The limits
are the defaults of the gate classes. A preset that does not fit a model is noticed: FP32 must meet
its own limits, and with a wrong channel order or scale it fails them.

Example::

    class TestArcFace(FaceGates):
        model = presets.arcface(
            "models/arcface_fp32.onnx", "data/faces", calibration="calibration/faces"
        )
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SpecError
from . import coerce
from .model import KycModel, Preprocess
from .task import StrPath, TaskSpec
from .tasks import FaceVerification, LivenessDetection, ObjectDetection

__all__ = ["ARCFACE", "MINIFASNET", "YOLOV8", "arcface", "minifasnet", "yolov8"]

ARCFACE = Preprocess(size=(112, 112), mean=127.5, scale=1 / 127.5, channels="RGB")
"""InsightFace's preprocessing: an aligned face, RGB, -1..1."""

MINIFASNET = Preprocess(size=(80, 80), channels="BGR", resize="opencv-bilinear")
"""Silent-Face-Anti-Spoofing's preprocessing: ``cv2.resize``, BGR, 0..255, unscaled."""

YOLOV8 = Preprocess(
    size=(640, 640), scale=1 / 255, channels="RGB", resize="opencv-bilinear", fit="letterbox"
)
"""Ultralytics' preprocessing: ``cv2.resize``, RGB, 0..1, aspect ratio kept, grey border."""

# Scales of the crops that the networks of Silent-Face-Anti-Spoofing were trained on.
_CROP_SCALES = {"minifasnetv2": 2.7, "minifasnetv1se": 4.0}


@coerce.call("presets.arcface", FaceVerification, Preprocess)
def arcface(
    path: StrPath,
    data: StrPath,
    *,
    calibration: StrPath | None = None,
    preprocess: Preprocess = ARCFACE,
    name: str = "",
    constants: Mapping[str, Any] | None = None,
    source: StrPath | tuple[StrPath, ...] | None = None,
    litert: StrPath | tuple[StrPath, ...] | None = None,
    **task: Any,
) -> KycModel:
    """Describe ArcFace, MobileFaceNet or another embedder of aligned faces.

    Args:
        path: the FP32 ONNX file.
        data: labelled faces, see `FaceVerification`.
        calibration: calibration images, see `KycModel`.
        preprocess: `ARCFACE`, or a changed one: ``replace(presets.ARCFACE, channels="BGR")``.
        name: name of the golden file, see `KycModel`.
        constants: values of inputs that never change, see `KycModel`.
        source: the torch model that the file was exported from, see `KycModel`.
        litert: the float file for LiteRT, see `KycModel`.
        **task: further arguments of `FaceVerification`.

    Raises:
        SpecError: an argument is unknown or impossible.
    """
    spec = _task(FaceVerification, {"data": data}, task)
    fixed = {} if constants is None else constants
    return KycModel(path, preprocess, spec, calibration, name, fixed, source, litert)


@coerce.call("presets.minifasnet", LivenessDetection, Preprocess)
def minifasnet(
    path: StrPath | Sequence[StrPath],
    data: StrPath,
    *,
    calibration: StrPath | None = None,
    preprocess: Preprocess = MINIFASNET,
    name: str = "",
    constants: Mapping[str, Any] | None = None,
    source: StrPath | tuple[StrPath, ...] | None = None,
    litert: StrPath | tuple[StrPath, ...] | None = None,
    **task: Any,
) -> KycModel:
    """Describe a MiniFASNet, or several whose scores are averaged as in the original system.

    Args:
        path: the FP32 ONNX file, or several. With `boxes`, files whose names contain MiniFASNetV2
            or MiniFASNetV1SE get the crops that these were trained on (2.7 and 4.0).
        data: labelled captures, see `LivenessDetection`.
        calibration: calibration images, see `KycModel`.
        preprocess: `MINIFASNET`, or a changed one.
        name: name of the golden file, see `KycModel`.
        constants: values of inputs that never change, see `KycModel`.
        source: the torch model that the file was exported from, see `KycModel`.
        litert: the float file for LiteRT, see `KycModel`.
        **task: further arguments of `LivenessDetection`.

    Raises:
        SpecError: an argument is unknown or impossible.
    """
    several = coerce.is_several(path)
    given: tuple[Any, ...] = tuple(path) if several else (path,)  # type: ignore[arg-type]
    paths = tuple(coerce.path("presets.minifasnet", one) for one in given)
    if "boxes" in task and "crop_scale" not in task:
        scales = tuple(_crop_scale(one) for one in paths)
        task["crop_scale"] = scales if several else scales[0]
    spec = _task(LivenessDetection, {"data": data}, task)
    chosen = paths if several else paths[0]
    fixed = {} if constants is None else constants
    return KycModel(chosen, preprocess, spec, calibration, name, fixed, source, litert)


@coerce.call("presets.yolov8", ObjectDetection, Preprocess)
def yolov8(
    path: StrPath,
    data: StrPath,
    labels: StrPath | None = None,
    classes: Sequence[str] = (),
    *,
    calibration: StrPath | None = None,
    preprocess: Preprocess = YOLOV8,
    name: str = "",
    constants: Mapping[str, Any] | None = None,
    source: StrPath | tuple[StrPath, ...] | None = None,
    litert: StrPath | tuple[StrPath, ...] | None = None,
    **task: Any,
) -> KycModel:
    """Describe YOLOv8 or a successor, exported without suppression; it reads both output layouts.

    Args:
        path: the FP32 ONNX file.
        data: images, see `ObjectDetection`.
        labels: boxes of the images; left out with ``labelled=False``.
        classes: names of the classes in the order of the model's outputs.
        calibration: calibration images, see `KycModel`.
        preprocess: `YOLOV8`, or a changed one: ``replace(presets.YOLOV8, size=(320, 320))``.
        name: name of the golden file, see `KycModel`.
        constants: values of inputs that never change, see `KycModel`.
        source: the torch model that the file was exported from, see `KycModel`.
        litert: the float file for LiteRT, see `KycModel`.
        **task: further arguments of `ObjectDetection`.

    Raises:
        SpecError: an argument is unknown or impossible.
    """
    given = {"data": data, "labels": labels, "classes": classes}
    spec = _task(ObjectDetection, given, task)
    fixed = {} if constants is None else constants
    return KycModel(path, preprocess, spec, calibration, name, fixed, source, litert)


def _crop_scale(path: StrPath) -> float:
    stem = Path(path).stem.lower()
    for network, scale in _CROP_SCALES.items():
        if network in stem:
            return scale
    raise SpecError(
        "presets.minifasnet",
        f"cannot tell from the name {Path(path).name} which crop the model was trained on",
        "give crop_scale=2.7, or the scale it was trained on",
    )


_PRESETS: Mapping[type[TaskSpec], str] = {
    FaceVerification: "arcface",
    LivenessDetection: "minifasnet",
    ObjectDetection: "yolov8",
}


def _task(cls: type[TaskSpec], given: Mapping[str, Any], more: Mapping[str, Any]) -> TaskSpec:
    preset = _PRESETS[cls]
    misplaced = sorted(set(more) & set(Preprocess.__dataclass_fields__))
    if misplaced:
        name = misplaced[0]
        changed = f"dataclasses.replace(presets.{preset.upper()}, {name}=...)"
        if name == "function":  # replaces all that a preset says
            changed = "Preprocess(size=..., function=...)"
        raise SpecError(
            f"presets.{preset}({name}=...)",
            "belongs to the preprocessing",
            f"give preprocess={changed}",
        )
    return cls(**given, **more)


def __getattr__(name: str) -> object:
    """Refuse a name that does not exist.

    Raises:
        AttributeError: always; the message suggests the name that was meant.
    """
    __tracebackhide__ = True
    close = "" if name.startswith("_") else coerce.did_you_mean(name, __all__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{close and f'; {close}'}")
