"""ORT format, which mobile builds of onnxruntime open, and the operators that they must have.

The graph is optimized when the file is made, and not again when it is opened. What a session option
changes in the graph, such as saturation on x86, is therefore decided here.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

from ..errors import ModelError, one_line
from ..files import temporary_folder
from ..runtimes import time_limit
from ..runtimes.ort import EXACT_ENTRY, SILENT, cancel
from ..runtimes.time_limit import Limit
from .graph import quiet

OPERATORS = "required_operators_and_types.config"
"""Name of the list of operators, as onnxruntime's own converter ends it."""

# The optimizations of onnxruntime's converter in the style "Fixed", which its documentation advises
# for the CPU. NCHWc is the layout of x86 only: its converter leaves it out, too, unless it is told
# that the target is x86.
_NOT_PORTABLE = ["NchwcTransformer"]
# Arm kernels take int8 activations, x86 kernels do not: without this, QDQ operators of int8 would
# be fused into ones that x86 computes with other rounding.
_ENTRIES = (("session.save_model_format", "ORT"), ("session.qdqisint8allowed", "0"))


class OrtFile(NamedTuple):
    """A model in ORT format.

    Args:
        content: the file.
        operators: text of the list of its operators with domain, opset and types, which a reduced
            build of onnxruntime takes as ``--include_ops_by_config``.
    """

    content: bytes
    operators: str


def to_ort(model: bytes, where: object, *, exact: bool = False) -> OrtFile:
    """Convert an ONNX model to ORT format with the optimizations that every CPU can run.

    Args:
        model: the serialized ONNX model, without external data.
        where: the model, for messages.
        exact: whether INT8 is to be computed without saturation. onnxruntime then stores
            weights unsigned in the file, but only if this CPU saturates.

    Raises:
        ModelError: onnxruntime cannot convert it, or it takes too long.
    """
    import onnxruntime as ort

    with temporary_folder() as folder:
        target = folder / "model.ort"
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(target)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = SILENT
        for entry in (*_ENTRIES, *([EXACT_ENTRY] if exact else [])):
            options.add_session_config_entry(*entry)
        limit = Limit(lambda: cancel(options))
        try:
            with limit.within(time_limit.OPEN_SECONDS):
                ort.InferenceSession(
                    model,
                    options,
                    providers=["CPUExecutionProvider"],
                    disabled_optimizers=_NOT_PORTABLE,
                )
            return OrtFile(target.read_bytes(), operators_of(target))
        except ModelError:
            raise
        except Exception as error:  # onnxruntime raises a dozen types without a common base
            problem = f"cannot be converted to ORT format ({one_line(error)})"
            if limit.expired:
                problem = f"was not converted to ORT format in {time_limit.OPEN_SECONDS:g} s"
            raise ModelError(
                where, problem, 'leave out format="ort", or check the opset and the operators'
            ) from error


def operators_of(path: Path) -> str:
    """List the operators of a file in ORT format, with the types that they are used with.

    Raises:
        ModelError: it cannot be read as ORT format.
    """
    with temporary_folder() as folder:
        listed = folder / OPERATORS
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # it leaves the file open
                from onnxruntime.tools.ort_format_model import create_config_from_models

                create_config_from_models([path], listed, True)
        except Exception as error:
            raise ModelError(
                path, f"its operators cannot be listed ({one_line(error)})", "convert it again"
            ) from error
        lines = listed.read_text(encoding="utf-8").splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("#"))
