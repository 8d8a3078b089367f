"""litert-quantizer alone, on the float file that onnx2tf converts."""

from __future__ import annotations

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import quantizer, recipe

from pytest_kycquant.runtimes.onnx2tf import convert

from ..job import Job, main

MODES = {
    "static": recipe.static_wi8_ai8,
    "dynamic": recipe.dynamic_wi8_afp32,
    "weights": recipe.weight_only_wi8_afp32,
}


def make(job: Job) -> None:
    model = onnx.load(job.prepared)
    shape = model.graph.input[0].type.tensor_type.shape
    shape.dim[0].dim_value = 1  # onnx2tf wants fixed shapes
    content = convert(model.SerializeToString(), job.prepared.name).content
    tool = quantizer.Quantizer(content)
    tool.load_quantization_recipe(MODES[job.mode]())
    known = None
    if tool.need_calibration:
        signatures = Interpreter(model_content=content).get_signature_list()
        ((signature, ports),) = signatures.items()
        (name,) = ports["inputs"]
        images = np.ascontiguousarray(job.calibration.transpose(0, 2, 3, 1))  # channels last
        known = tool.calibrate(
            {signature: [{name: image[None]} for image in images]}, num_threads=1
        )
    made = tool.quantize(known, enable_progress_bar=False, enable_progress_report=False)
    job.target.write_bytes(made.quantized_model)


if __name__ == "__main__":
    main(make)
