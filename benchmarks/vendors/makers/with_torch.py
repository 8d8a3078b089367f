"""torch: a short quantization-aware training of the reference embedder, with torchao.

The student learns to embed the calibration images as FP32 does. Then its program, which has integer
weights, is saved as it is (``.pt2``) or as ONNX.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

from models.training.arcface import MobileFaceNet
from models.training.layers import PReLU

from ..job import Array, Job, main

STEPS, BATCH, RATE, SEED = 40, 8, 1e-5, 0


def network(path: Path) -> nn.Module:
    """The network of an exported file, in which batch normalization is part of the convolutions."""
    graph = onnx.load(path).graph
    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}

    def given(kind: str) -> Any:
        return iter(
            [[torch.tensor(np.array(values[name])) for name in node.input[1:]]
             for node in graph.node if node.op_type == kind]
        )  # fmt: skip

    convolutions, slopes = given("Conv"), given("PRelu")
    found = MobileFaceNet()
    for layers in [each for each in found.modules() if isinstance(each, nn.Sequential)]:
        for place, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                layers[place] = nn.Identity()
            elif isinstance(layer, PReLU):
                layers[place] = nn.PReLU(layer.num_parameters)
    for layer in found.modules():
        if isinstance(layer, nn.Conv2d):
            weight, bias = next(convolutions)
            layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        elif isinstance(layer, nn.PReLU):
            layer.weight = nn.Parameter(next(slopes)[0].flatten())
    return found.eval()


def trained(teacher: nn.Module, images: Array) -> nn.Module:
    """Train with the rounding of 8 bits in the loop."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    tensors = torch.from_numpy(images)
    with torch.no_grad():
        wanted = functional.normalize(teacher(tensors))
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
    free = {0: torch.export.Dim("batch")}
    program = torch.export.export(teacher, (tensors[:2],), dynamic_shapes=(free,))
    student = prepare_qat_pt2e(program.module(), quantizer)
    optimizer = torch.optim.Adam(student.parameters(), lr=RATE)
    random = np.random.default_rng(SEED)
    for step in range(STEPS):
        chosen = torch.from_numpy(random.choice(len(images), BATCH, replace=False))
        found = functional.normalize(student(tensors[chosen]))
        loss = 1 - (found * wanted[chosen]).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 9:
            print(f"step {step + 1}: 1 - cosine {loss.item():.4f}", flush=True)
    move_exported_model_to_eval(student)
    return convert_pt2e(student)


def make(job: Job) -> None:
    warnings.simplefilter("ignore")
    student = trained(network(job.original), job.calibration)
    image = torch.from_numpy(job.calibration[:1])
    program = torch.export.export(student, (image,))
    if job.mode == "pt2":
        torch.export.save(program, job.target)
    else:
        torch.onnx.export(program, (), job.target, dynamo=True, external_data=False)


if __name__ == "__main__":
    main(make)
