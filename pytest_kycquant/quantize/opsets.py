"""Brings the standard operator set of a graph to a version that quantization can work with."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import QuantizationError, one_line
from ..runtimes.model_files import parts
from .graph import attributes, numbers
from .weight_sources import STANDARD

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
"""Below opset 13, per-channel quantization is written without an error but cannot be loaded."""
_NEWEST = 26
"""onnxruntime runs models of later versions, but knows no QuantizeLinear of them."""
_LAST_SIMPLE = 10
"""Up to this version, Resize and Upsample know only one way to find the pixel of an input."""


def merge_domains(proto: ModelProto) -> None:
    """Use one name for the standard domain, which has two, in place."""
    for part in parts(proto):
        for node in part.node:
            if node.domain == "ai.onnx":
                node.ClearField("domain")
    own = [opset for opset in proto.opset_import if opset.domain in STANDARD]
    if any(opset.domain for opset in own) and len({opset.version for opset in own}) == 1:
        kept = [opset for opset in proto.opset_import if opset.domain not in STANDARD]
        version = own[0].version
        del proto.opset_import[:]
        proto.opset_import.add(version=version)
        proto.opset_import.extend(kept)


def upgraded(path: Path, opset: int, proto: ModelProto) -> ModelProto:
    """Convert a model to opset 17.

    Args:
        path: the file, for messages.
        opset: version of the standard operator set, below 17.
        proto: the model.

    Raises:
        QuantizationError: onnx cannot convert it.
    """
    from onnx import version_converter

    try:
        found = version_converter.convert_version(proto, OPSET)
    except Exception as error:
        raise QuantizationError(
            path,
            f"cannot be upgraded from opset {opset} to {OPSET} ({one_line(error)})",
            f"export the model with opset {OPSET} or later",
        ) from error
    found.ir_version = max(found.ir_version, 8)
    if opset <= _LAST_SIMPLE:
        _place_as_before(found)
    return found


def _place_as_before(proto: ModelProto) -> None:
    """Let each Resize find pixels as it did up to opset 10, which onnx does not convert, in place.

    A model of that time has no other Resize.
    """
    from onnx import helper

    for part in parts(proto):
        weights = {tensor.name: tensor for tensor in getattr(part, "initializer", ())}
        for node in part.node:
            if node.op_type != "Resize":
                continue
            given = attributes(node) | {"coordinate_transformation_mode": "asymmetric"}
            if given.get("mode", b"nearest") == b"nearest":
                stored = weights.get(node.input[2]) if len(node.input) > 2 else None
                scales = np.array([]) if stored is None else numbers(stored)
                if scales.size and not np.any(scales % 1):
                    continue  # a whole number of pixels each: all ways find the same
                given["nearest_mode"] = "ceil" if np.any(scales < 1) else "floor"
            del node.attribute[:]
            node.attribute.extend(
                helper.make_attribute(name, given[name]) for name in sorted(given)
            )


def lower(proto: ModelProto) -> None:
    """Declare an older opset where all operators mean the same in it, in place."""
    from onnx import defs

    versions = [opset for opset in proto.opset_import if opset.domain == ""]
    if not versions or versions[0].version <= _NEWEST:
        return
    for node in itertools.chain.from_iterable(part.node for part in parts(proto)):
        if node.domain in STANDARD:
            schema = defs.get_schema(node.op_type, versions[0].version, "")
            if schema.since_version > _NEWEST:
                return
    versions[0].version = _NEWEST
