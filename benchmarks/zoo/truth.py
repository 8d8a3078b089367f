"""Is a variant harmless or ruined? Decided from the raw outputs, without the code of the gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

HARMLESS = 0.003
"""Below this error nothing that is read from the outputs can be far from FP32's."""
RUINED = 1.0
"""Beyond this, a variant differs from FP32 by more than FP32 does between images."""

_TYPES = {"tensor(float16)": "float16", "tensor(double)": "float64", "tensor(uint8)": "uint8"}


def error(fp32: Path, variant: Path, inputs: Sequence[NDArray[np.float32]]) -> float:
    """Error of the worst output, relative to how much FP32's differs between the inputs.

    Args:
        fp32: the model.
        variant: what was made of it.
        inputs: input tensors of one image each.

    Returns:
        The largest quotient, over the outputs, of the root mean square difference from FP32 and
        the root mean square deviation of FP32 from its mean; NaN if shapes differ.
    """
    ours, theirs = _outputs(variant, inputs), _outputs(fp32, inputs)
    found = []
    for changed, given in zip(ours, theirs, strict=True):
        if len({one.shape for one in (*changed, *given)}) > 1:
            return float("nan")  # another number of rows: nothing to compare by place
        ravelled = np.stack([one.ravel() for one in given]).astype(np.float64)
        spread = np.sqrt(np.mean((ravelled - ravelled.mean(axis=0)) ** 2))
        difference = np.stack([one.ravel() for one in changed]).astype(np.float64) - ravelled
        found.append(np.sqrt(np.mean(difference**2)) / max(spread, 1e-30))
    return float(np.max(found))


def _outputs(path: Path, inputs: Sequence[NDArray[np.float32]]) -> list[list[NDArray[np.float32]]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    batch = feed.shape[0] if isinstance(feed.shape[0], int) else 1
    runs = []
    for one in inputs:
        given = np.repeat(one.astype(_TYPES.get(feed.type, "float32")), max(batch, 1), axis=0)
        outputs = session.run(None, {feed.name: given})
        runs.append([output[:1] if batch > 1 else output for output in outputs])
    return [list(outputs) for outputs in zip(*runs, strict=True)]
