"""Neural Compressor with its defaults: static, as integer operators or as QDQ, or dynamic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from neural_compressor import PostTrainingQuantConfig, quantization

from ..job import Array, Job, main

MODES: dict[str, dict[str, Any]] = {
    "static": {},
    "static, QDQ": {"quant_format": "QDQ"},
    "dynamic": {"approach": "dynamic"},
}


class _Loader:
    batch_size = 1

    def __init__(self, images: Array) -> None:
        self._images = images

    def __iter__(self) -> Iterator[tuple[Array, int]]:
        return ((image[None], 0) for image in self._images)


def make(job: Job) -> None:
    import neural_compressor.utils.utility as utility

    utility.set_workspace(str(job.folder / "workspace"))
    config = PostTrainingQuantConfig(
        calibration_sampling_size=[len(job.calibration)], **MODES[job.mode]
    )
    model = onnx.load(job.prepared)
    made = quantization.fit(model, config, calib_dataloader=_Loader(job.calibration))
    if made is None:
        raise SystemExit("Neural Compressor made no model")
    onnx.save(made.model, job.target)


if __name__ == "__main__":
    main(make)
