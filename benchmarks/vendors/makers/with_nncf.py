"""NNCF with its defaults, on an ONNX file."""

from __future__ import annotations

import nncf
import onnx

from ..job import Array, Job, main


def make(job: Job) -> None:
    def feed(image: Array) -> dict[str, Array]:
        return {job.input_name: image[None]}

    model = onnx.load(job.prepared)
    images = nncf.Dataset(list(job.calibration), feed)
    made = nncf.quantize(model, images, subset_size=len(job.calibration))
    onnx.save(made, job.target)


if __name__ == "__main__":
    main(make)
