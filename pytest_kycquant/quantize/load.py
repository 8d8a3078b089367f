"""Load and check the FP32 file: every fault in it is reported here, before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.files import listed
from ..errors import ModelError
from ..runtimes.model_files import read_model
from ..spec.coerce import shown
from .activation_check import check_activations
from .computed_weights import computed_weights
from .constants import check_constants, count_subnormal
from .graph import one_line, type_name
from .local_functions import check_functions, inlined, with_casts
from .operators_check import check_not_training, check_operators_known, check_versions
from .precision_check import check_operators, check_stored_types, check_stored_weights
from .randomness_check import check_deterministic
from .rounding_check import check_values, half_precision
from .structure_check import check_structure
from .weight_sources import weights_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


@dataclass(frozen=True)
class LoadedModel:
    """An FP32 model that can be gated.

    Args:
        path: file that the model was read from.
        proto: the model, with external data loaded.
        digest: hexadecimal SHA-256 of the file and of its external data files.
        size: total bytes of the file and of its external data files.
        files: the file and its external data files.
        opset: version of the standard operator set.
        input_name: name of the only input.
        input_shape: four dimensions of the input; None where a dimension is dynamic.
        output_names: names of all outputs, in order.
        subnormal_weights: number of nonzero float32 weights that are closer to zero than the
            smallest normal number. Some CPUs multiply such numbers many times more slowly.
        half_precision: type of 16 bits that holds all its weights exactly; "" if none does.
    """

    path: Path
    proto: ModelProto
    digest: str
    size: int
    files: tuple[Path, ...]
    opset: int
    input_name: str
    input_shape: tuple[int | None, ...]
    output_names: tuple[str, ...]
    subnormal_weights: int
    half_precision: str = ""


def load_model(path: Path) -> LoadedModel:
    """Read and check an FP32 model.

    Args:
        path: ONNX file; its weights may be in external data files in the same folder.

    Raises:
        ModelError: the file is missing, damaged, not an ONNX model, not FP32 or not a function of
            its image, or its input is not a single float32 image tensor of rank 4.
    """
    read = read_model(path)
    proto = read.proto
    check_structure(path, proto)
    check_versions(path, proto)
    check_functions(path, proto)
    _check_onnx(path, proto)
    expanded = with_casts(inlined(path, proto))
    check_operators_known(path, expanded)
    check_deterministic(path, expanded)
    check_not_training(path, expanded)
    check_operators(path, expanded)
    check_stored_types(path, proto)
    weights = tuple(weights_of(expanded))
    check_stored_weights(path, weights)
    check_activations(path, expanded)
    name, shape = _check_input_tensor(path, proto.graph)
    _check_outputs(path, proto.graph)
    check_constants(path, expanded.graph)
    check_values(path, weights, computed_weights(path, expanded, weights))
    return LoadedModel(
        path=path,
        proto=proto,
        digest=read.digest,
        size=read.size,
        files=read.files,
        opset=next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")),
        input_name=name,
        input_shape=shape,
        output_names=tuple(output.name for output in proto.graph.output),
        subnormal_weights=count_subnormal(expanded.graph),
        half_precision=half_precision(expanded.graph),
    )


def check_input(model: LoadedModel, shape: tuple[int, int, int, int]) -> None:
    """Check that preprocessing produces the input that the model declares.

    Args:
        model: a loaded model.
        shape: shape of one preprocessed image, such as (1, 3, 112, 112).

    Raises:
        ModelError: a fixed dimension of the input differs.
    """
    pairs = zip(model.input_shape, shape, strict=True)
    if any(fixed not in (None, given) for fixed, given in pairs):
        declared = "x".join("?" if n is None else str(n) for n in model.input_shape)
        raise ModelError(
            model.path,
            f"input {shown(model.input_name)} is {declared} but preprocessing makes "
            f"{'x'.join(map(str, shape))}",
            "correct the size, channels or layout in Preprocess or of your tensors, or export the "
            "model for batch 1",
        )


def _check_onnx(path: Path, proto: ModelProto) -> None:
    import onnx

    # Of outputs, onnx requires shapes, which onnxruntime infers.
    shapeless = [i for i in proto.graph.output if not i.type.tensor_type.HasField("shape")]
    tensors = [info for info in shapeless if info.type.HasField("tensor_type")]
    for info in tensors:
        info.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(proto)
    except Exception as error:
        raise ModelError(
            path,
            f"is not a valid ONNX model ({one_line(error)})",
            "export the model again and run onnx.checker on it",
        ) from error
    finally:
        for info in tensors:
            info.type.tensor_type.ClearField("shape")
    if not any(o.domain in ("", "ai.onnx") for o in proto.opset_import):
        raise ModelError(
            path, "does not import the standard operator set", "export the model again"
        )


def _check_input_tensor(path: Path, graph: GraphProto) -> tuple[str, tuple[int | None, ...]]:
    from onnx import TensorProto

    constants = {tensor.name for tensor in graph.initializer}
    inputs = [info for info in graph.input if info.name not in constants]
    if len(inputs) != 1:
        names = listed([shown(info.name) for info in inputs]) or "none"
        raise ModelError(
            path,
            f"has {len(inputs)} inputs ({names})",
            "export it with the image as its only input",
        )
    info = inputs[0]
    kind = info.type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        label = type_name(kind.elem_type).lower()
        raise ModelError(
            path,
            f"input {shown(info.name)} is {label}, not float32",
            "export it with a float32 input; preprocessing belongs in Preprocess",
        )
    if not kind.HasField("shape") or len(kind.shape.dim) != 4:
        rank = len(kind.shape.dim) if kind.HasField("shape") else "unknown"
        raise ModelError(
            path,
            f"input {shown(info.name)} has rank {rank}, not 4",
            "export it with an input of batch x channels x height x width",
        )
    # Some exporters write 0 or -1 for a dynamic dimension.
    dims = (d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim)
    return info.name, tuple(n if n > 0 else None for n in dims)


def _check_outputs(path: Path, graph: GraphProto) -> None:
    from onnx import TensorProto

    names = [info.name for info in graph.output]
    given = {info.name for info in graph.input} - {tensor.name for tensor in graph.initializer}
    for info in graph.output:
        if info.type.WhichOneof("value") not in (None, "tensor_type"):
            raise ModelError(
                path,
                f"output {shown(info.name)} is not a tensor",
                "export the model without sequences and maps among its outputs",
            )
        if info.type.tensor_type.elem_type == TensorProto.STRING:
            raise ModelError(
                path,
                f"output {shown(info.name)} is text, which nothing can be compared with",
                "export the model without it, and look labels up in your own code",
            )
        if info.name in given or names.count(info.name) > 1:
            what = "is its input" if info.name in given else "occurs twice"
            raise ModelError(
                path, f"output {shown(info.name)} {what}", "export the model without that output"
            )
