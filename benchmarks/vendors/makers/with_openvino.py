"""OpenVINO's converter: an ONNX file that is quantized already becomes IR."""

from __future__ import annotations

import openvino

from ..job import Job, main


def make(job: Job) -> None:
    # As `ovc` does by default, weights that are still in float are stored in 16 bits.
    openvino.save_model(openvino.convert_model(job.original), job.target)


if __name__ == "__main__":
    main(make)
