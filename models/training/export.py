"""From a trained network to a checked ONNX file, the same way for all reference models."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

OPSET = 17
_BATCHES = (1, 3)


def export(
    network: nn.Module,
    shape: tuple[int, int, int],
    path: Path,
    *,
    input_name: str = "input",
    output_names: Sequence[str] = ("output",),
    tolerance: float = 1e-4,
) -> None:
    """Write a network in FP32 with a dynamic batch axis, then compare it with PyTorch.

    Batch normalization after a convolution is folded into its weights by the exporter.

    Args:
        network: any module with one image input; it is put into evaluation mode.
        shape: channels, height and width of the input.
        path: ONNX file to write; it is removed if the check fails.
        input_name: name of the input.
        output_names: names of the outputs, in order.
        tolerance: largest difference from PyTorch on random images with values 0 to 255, relative
            to the largest absolute output.

    Raises:
        RuntimeError: onnxruntime and PyTorch disagree.
    """
    network.eval()
    draft = path.with_suffix(".part")
    names = [input_name, *output_names]
    with warnings.catch_warnings():
        # The newer exporter needs further packages for PReLU and folding.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, *shape),),
            str(draft),
            dynamo=False,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    onnx.checker.check_model(str(draft))
    try:
        _compare(network, shape, draft, tolerance)
    except RuntimeError:
        draft.unlink()
        raise
    draft.replace(path)


def _compare(network: nn.Module, shape: tuple[int, int, int], path: Path, tolerance: float) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for batch in _BATCHES:
        pixels = np.random.default_rng(batch).integers(0, 256, (batch, *shape))
        images = pixels.astype(np.float32)
        found = session.run(None, {name: images})
        with torch.no_grad():
            expected = network(torch.from_numpy(images))
        expected = expected if isinstance(expected, (tuple, list)) else (expected,)
        for got, tensor in zip(found, expected, strict=True):
            wanted = tensor.numpy()
            difference = np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1.0)
            if not difference < tolerance:
                raise RuntimeError(f"{path}: batch of {batch} differs by {difference:.2g}")
