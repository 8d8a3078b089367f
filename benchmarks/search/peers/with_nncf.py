"""NNCF with its defaults: plain, or with accuracy control."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import nncf
import onnx
import onnxruntime as ort

from ..job import Array, Job, main


def compete(job: Job) -> None:
    model = onnx.load(job.prepared)

    def feed(image: Array) -> dict[str, Array]:
        return {job.input_name: image[None]}

    def validate(candidate: onnx.ModelProto, _: Iterable[Any]) -> tuple[float, list[float]]:
        content = candidate.SerializeToString()
        session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        found = job.cosines(lambda image: session.run(None, {job.input_name: image}))
        return float(found.mean()), found.tolist()

    calibration = nncf.Dataset(list(job.calibration), feed)
    count = len(job.calibration)
    job.start()
    if "control" in job.method:
        made = nncf.quantize_with_accuracy_control(
            model,
            calibration,
            nncf.Dataset(list(job.search), feed),
            validate,
            max_drop=1 - job.target,  # FP32 has a cosine of 1
            drop_type=nncf.DropType.ABSOLUTE,
            subset_size=count,
        )
    else:
        made = nncf.quantize(model, calibration, subset_size=count)
    job.finish(made.SerializeToString())


if __name__ == "__main__":
    main(compete)
