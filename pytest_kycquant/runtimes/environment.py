"""The facts about this machine that verdicts depend on."""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..spec.runtime import REFERENCE, Runtime
from . import library

# The CPU features that decide which integer kernels onnxruntime picks on x86 and Arm.
_RELEVANT_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


@functools.cache
def u8s8_saturates(runtime: Runtime = REFERENCE) -> bool:
    """Whether U8S8 integer kernels of a runtime add two products in 16 bits (x86 without VNNI).

    The probe is a 1x1 convolution of 255 x 127 products over 64 channels with a known true value.
    The CPU's flags alone would not show which kernels a runtime really uses.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    channels = 64
    true = 255 * 127 * channels
    constants = {
        "one": np.float32(1.0),
        "zero_u8": np.uint8(0),
        "zero_s8": np.int8(0),
        "out_scale": np.float32(true / 255),
        "w": np.full((1, channels, 1, 1), 127, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero_u8"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "one", "zero_u8"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "one", "zero_s8"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "out_scale", "zero_u8"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "out_scale", "zero_u8"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "saturation_probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8, 8])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    pixels = np.full((1, channels, 8, 8), 255, np.float32)
    (value,) = library(runtime).open(model.SerializeToString()).run({"x": pixels})
    return bool(np.asarray(value).min() < 0.9 * true)


@dataclass(frozen=True)
class Environment:
    """Everything except model and data that a figure may depend on.

    Args:
        onnxruntime: version of onnxruntime.
        onnx: version of onnx.
        numpy: version of numpy.
        pillow: version of pillow.
        python: version of Python.
        system: operating system and architecture.
        cpu: name of the CPU.
        features: its features that decide which integer kernels run.
        u8s8_saturates: whether U8S8 kernels add two products in 16 bits, so that they may saturate.
    """

    onnxruntime: str
    onnx: str
    numpy: str
    pillow: str
    python: str
    system: str
    cpu: str
    features: tuple[str, ...]
    u8s8_saturates: bool


@functools.cache
def environment() -> Environment:
    """Return the fingerprint of this machine and its libraries."""
    cpu, features = _cpu()
    return Environment(
        onnxruntime=version("onnxruntime"),
        onnx=version("onnx"),
        numpy=version("numpy"),
        pillow=version("pillow"),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=cpu,
        features=features,
        u8s8_saturates=u8s8_saturates(),
    )


def describe_machine() -> str:
    """Describe the machine in one line for the header, without heavy imports."""
    cpu, features = _cpu()
    known = ", ".join(features) or "no known vector features"
    return f"{library().describe()}, {cpu} ({known})"


def _cpu() -> tuple[str, tuple[str, ...]]:
    name = platform.processor() or platform.machine()
    flags: set[str] = set()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux: the probe still decides the recipe
        return name, ()
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name":
            name = value
        elif key in ("flags", "Features"):
            flags.update(value.split())
    return name, tuple(f for f in _RELEVANT_FEATURES if f in flags)
