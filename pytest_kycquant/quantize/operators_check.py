"""Models that onnx or onnxruntime cannot read here, or that only one kind of CPU can run."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.files import listed
from ..errors import ModelError
from ..runtimes.model_files import parts
from ..spec.coerce import shown
from .local_functions import is_operator
from .randomness_check import foreign_operators
from .weight_sources import STANDARD

if TYPE_CHECKING:
    from onnx import ModelProto

_BLOCKED = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
"""Domains of the operators that onnxruntime writes for the vectors of one CPU."""


def check_versions(path: Path, proto: ModelProto) -> None:
    """Refuse models of a later version of ONNX than the installed one.

    Raises:
        ModelError: the model has a later IR version or standard operator set.
    """
    import onnx

    opsets = [opset.version for opset in proto.opset_import if opset.domain in STANDARD]
    for what, found, most in (
        ("IR version", proto.ir_version, onnx.IR_VERSION),
        ("opset", max(opsets, default=0), onnx.defs.onnx_opset_version()),
    ):
        if found > most:
            raise ModelError(
                path,
                f"has {what} {found}, and onnx {onnx.__version__}, which is installed, reads up to "
                f"{what} {most}",
                f"export it with {what} {most} or earlier, or install a later onnx and onnxruntime",
            )


def check_operators_known(path: Path, proto: ModelProto) -> None:
    """Refuse operators of other domains that onnxruntime lacks, or has for one kind of CPU only.

    Args:
        path: the file, for messages.
        proto: a valid model without local functions.

    Raises:
        ModelError: the model has such an operator.
    """
    foreign = foreign_operators(proto)
    blocked = [name for name in foreign if name.startswith(_BLOCKED)]
    if blocked:
        raise ModelError(
            path,
            f"was optimized by onnxruntime for one kind of CPU: it contains {listed(blocked)}",
            "give the file from before that, or save it with ORT_ENABLE_EXTENDED at most",
        )
    unknown = [name for name in foreign if not is_operator(*name.rsplit(":", 1))]
    if unknown:
        raise ModelError(
            path,
            f"contains {listed([shown(name) for name in unknown])}, which onnxruntime "
            f"{version('onnxruntime')} does not have",
            "export it in standard operators; libraries of custom operators are never loaded",
        )


def check_not_training(path: Path, proto: ModelProto) -> None:
    """Refuse a BatchNormalization in training mode: it normalizes by the batch that it is given.

    Raises:
        ModelError: the model has one.
    """
    for part in parts(proto):
        for node in part.node:
            if node.op_type != "BatchNormalization" or node.domain not in STANDARD:
                continue
            training = any(a.name == "training_mode" and a.i for a in node.attribute)
            if training or len([name for name in node.output if name]) > 1:
                named = f" {shown(node.name)}" if node.name else ""
                raise ModelError(
                    path,
                    f"is not a function of its image: BatchNormalization{named} normalizes by the "
                    "batch that it is given",
                    "export the model in evaluation mode",
                )
