"""Load and check the FP32 file: every fault in it is reported here, before any work is done."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError
from .graph import WEIGHTED, one_line, producers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, ModelProto, TensorProto

_SMALLEST_NORMAL = np.finfo(np.float32).tiny
_LFS_POINTER = b"version https://git-lfs"
_INTEGER_OPERATORS = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulInteger",
    "MatMulNBits",
)


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


def load_model(path: Path) -> LoadedModel:
    """Read and check an FP32 model.

    Args:
        path: ONNX file; its weights may be in external data files in the same folder.

    Raises:
        ModelError: the file is missing, damaged, not an ONNX model or not FP32, or its input is not
            a single float32 image tensor of rank 4.
    """
    content = _read(path)
    proto = _parse(path, content)
    sources = _external_files(path, proto)
    digest = hashlib.sha256(content)
    size = len(content)
    for source in sources:
        data = source.read_bytes()
        digest.update(data)
        size += len(data)
    if sources:
        from onnx.external_data_helper import load_external_data_for_model

        try:
            load_external_data_for_model(proto, str(path.parent))
        except Exception as error:
            raise ModelError(
                path,
                f"its external data cannot be read ({one_line(error)})",
                "export the model again, or to a single file",
            ) from error
    _check_onnx(path, proto)
    _check_precision(path, proto.graph)
    name, shape = _check_input_tensor(path, proto.graph)
    return LoadedModel(
        path=path,
        proto=proto,
        digest=digest.hexdigest(),
        size=size,
        files=(path, *sources),
        opset=next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")),
        input_name=name,
        input_shape=shape,
        output_names=tuple(output.name for output in proto.graph.output),
        subnormal_weights=_check_weights(path, proto.graph),
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
            f"input {model.input_name!r} is {declared} but preprocessing makes "
            f"{'x'.join(map(str, shape))}",
            "correct the size, channels or layout in Preprocess or of your tensors, or export the "
            "model for batch 1",
        )


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(path, "does not exist", "correct the path of the model") from None
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise ModelError(
            path, f"cannot be read ({reason})", "give the path of a readable .onnx file"
        ) from error
    if not content:
        raise ModelError(path, "is empty", "export or download the model again")
    if content.startswith(_LFS_POINTER):
        raise ModelError(path, "is a Git LFS pointer, not a model", "run: git lfs pull")
    return content


def _parse(path: Path, content: bytes) -> ModelProto:
    from onnx import ModelProto

    proto = ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception:
        # Every exporter writes ir_version (field 1) first; its tag is the byte 8.
        problem = "is truncated or damaged" if content[0] == 8 else "is not an ONNX file"
        raise ModelError(path, problem, "export or download the model again") from None
    if not proto.graph.node:
        raise ModelError(
            path, "is truncated or not an ONNX model: it has no operators", "export the model again"
        )
    return proto


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and its subgraphs."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for subgraph in [
                *attribute.graphs,
                *([attribute.g] if attribute.HasField("g") else []),
            ]:
                yield from _graphs(subgraph)


def _tensors(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield all constant tensors of a graph and of its subgraphs, with their names."""
    for part in _graphs(graph):
        for tensor in part.initializer:
            yield tensor.name, tensor
        for sparse in part.sparse_initializer:
            yield from ((sparse.values.name, each) for each in (sparse.values, sparse.indices))
        for node in part.node:
            for attribute in node.attribute:
                tensors = [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
                # A damaged file may contain an operator without outputs; it is rejected later.
                yield from ((next(iter(node.output), node.name), each) for each in tensors)


def _external_files(path: Path, proto: ModelProto) -> tuple[Path, ...]:
    """Find the external data files, which must not be outside the model's folder."""
    from onnx import TensorProto

    folder = path.parent.resolve()
    needed: dict[Path, tuple[str, int]] = {}
    for _, tensor in _tensors(proto.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        source = (folder / location).resolve()
        if not location or not source.is_relative_to(folder) or Path(location).is_absolute():
            raise ModelError(
                path,
                f"weight {tensor.name!r} is stored outside the model's folder, in {location!r}",
                "export the model to a single file, or with its data in the same folder",
            )
        try:
            end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
        except ValueError:
            raise ModelError(
                path,
                f"weight {tensor.name!r} has a damaged reference to {location!r}",
                "export the model again",
            ) from None
        needed[source] = (location, max(end, needed.get(source, ("", 0))[1]))
    for source, (location, end) in needed.items():
        if not source.is_file():
            raise ModelError(
                path,
                f"its external data {location!r} is missing",
                "copy that file into the model's folder",
            )
        if source.stat().st_size < end:
            raise ModelError(
                path,
                f"its external data {location!r} is truncated: {source.stat().st_size} of at "
                f"least {end} bytes",
                "copy that file again",
            )
    return tuple(sorted(needed))


def _check_onnx(path: Path, proto: ModelProto) -> None:
    import onnx

    try:
        onnx.checker.check_model(proto)
    except Exception as error:
        raise ModelError(
            path,
            f"is not a valid ONNX model ({one_line(error)})",
            "export the model again and run onnx.checker on it",
        ) from error
    if not any(o.domain in ("", "ai.onnx") for o in proto.opset_import):
        raise ModelError(
            path, "does not import the standard operator set", "export the model again"
        )


def _check_precision(path: Path, graph: GraphProto) -> None:
    from onnx import TensorProto

    for node in graph.node:
        if node.op_type in _INTEGER_OPERATORS or node.op_type.startswith("QLinear"):
            raise ModelError(
                path,
                f"is already quantized: it contains {node.op_type}",
                "give the FP32 model from which it was made",
            )
    for tensor in graph.initializer:
        if tensor.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
            raise ModelError(
                path,
                f"is not FP32: weight {tensor.name!r} has 16 bits",
                "give the FP32 model from which it was made",
            )


def _check_input_tensor(path: Path, graph: GraphProto) -> tuple[str, tuple[int | None, ...]]:
    from onnx import TensorProto

    constants = {tensor.name for tensor in graph.initializer}
    inputs = [info for info in graph.input if info.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(repr(info.name) for info in inputs) or "none"
        raise ModelError(
            path,
            f"has {len(inputs)} inputs ({names})",
            "export it with the image as its only input",
        )
    info = inputs[0]
    kind = info.type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        label = TensorProto.DataType.Name(kind.elem_type).lower()
        raise ModelError(
            path,
            f"input {info.name!r} is {label}, not float32",
            "export it with a float32 input; preprocessing belongs in Preprocess",
        )
    if not kind.HasField("shape") or len(kind.shape.dim) != 4:
        rank = len(kind.shape.dim) if kind.HasField("shape") else "unknown"
        raise ModelError(
            path,
            f"input {info.name!r} has rank {rank}, not 4",
            "export it with an input of batch x channels x height x width",
        )
    # Some exporters write 0 or -1 for a dynamic dimension.
    dims = (d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim)
    return info.name, tuple(n if n > 0 else None for n in dims)


def broken_constants(graph: GraphProto) -> tuple[str, ...]:
    """Names of constants with NaN or Inf that a sound model never stores, also in subgraphs.

    A single infinity is legitimate as the bound of a Clip or in a mask, but not as a scale.
    """
    from onnx import TensorProto, numpy_helper

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    scales = set()
    for part in _graphs(graph):
        for node in part.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                scales.add(node.input[1])
            elif node.op_type.startswith("QLinear"):  # its only floats are scales
                scales.update(node.input)
    found = []
    for name, tensor in _tensors(graph):
        if tensor.data_type in floats:
            array = numpy_helper.to_array(tensor)
            bound = array.size == 1 and name not in scales
            if np.isnan(array).any() or (np.isinf(array).any() and not bound):
                found.append(name)
    return tuple(dict.fromkeys(found))


def _check_weights(path: Path, graph: GraphProto) -> int:
    """Reject weights that a trained model cannot have; count the subnormal ones."""
    from onnx import TensorProto, numpy_helper

    for name in broken_constants(graph):
        raise ModelError(
            path, f"weight {name!r} contains NaN or Inf", "export a checkpoint with finite weights"
        )
    arrays = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    }
    written = producers(graph)
    for node in graph.node:
        if node.op_type not in WEIGHTED:
            continue
        for name in node.input[:2]:
            source = written.get(name)
            if source is not None and source.op_type == "Constant" and source.attribute[0].t.dims:
                array = numpy_helper.to_array(source.attribute[0].t)
            elif name in arrays:
                array = arrays[name]
            else:
                continue
            if array.size > 1 and (array == array.flat[0]).all():
                raise ModelError(
                    path,
                    f"weight {name!r} of {node.op_type} is constant: every value is "
                    f"{array.flat[0]:g}",
                    "export the trained checkpoint, not an initialised one",
                )
    return sum(
        int(np.count_nonzero((array != 0) & (np.abs(array) < _SMALLEST_NORMAL)))
        for array in arrays.values()
    )
