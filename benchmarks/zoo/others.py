"""Models of a folder about which nothing is known but what their files say."""

from __future__ import annotations

from pathlib import Path

import onnx

from .case import CLOSE, Case, drifting

_USUAL = 224  # where the file leaves the size of the input open


def others(models: Path, images: Path) -> list[Case]:
    """A case for each model file of a folder.

    All outputs are compared with those of FP32. The layout and the size of the input are those of
    the file; pixels are scaled to -1..1, which may not be what the model was trained on.

    Args:
        models: the folder.
        images: images for all of them.

    Raises:
        SystemExit: the folder has no models.
    """
    paths = sorted(models.rglob("*.onnx"))
    if not paths:
        raise SystemExit(f"{models} contains no .onnx files")
    return [_case(path, str(path.relative_to(models)), images) for path in paths]


def _case(path: Path, name: str, images: Path) -> Case:
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception:  # the gate says what is wrong with the file
        size = f"size=({_USUAL}, {_USUAL})"
        task = "CustomTask('images', metric=drift, labelled=False)"
        return Case(name, path, task, size, CLOSE, (images, images))
    stored = {tensor.name for tensor in graph.initializer}
    given = next((one for one in graph.input if one.name not in stored), None)
    dims = [axis.dim_value for axis in given.type.tensor_type.shape.dim] if given else []
    last = len(dims) == 4 and dims[3] in (1, 3) and dims[1] not in (1, 3)
    channels, size = (dims[3], dims[1:3]) if last else ((dims + [0] * 4)[1], (dims + [0] * 4)[2:4])
    height, width = (axis or _USUAL for axis in size)
    preprocess = f"size=({height}, {width}), mean=127.5, scale=1 / 127.5"
    preprocess += ", channels='GRAY'" if channels == 1 else ""
    preprocess += ", layout='NHWC'" if last else ""
    return Case(name, path, drifting(path), preprocess, CLOSE, (images, images))
