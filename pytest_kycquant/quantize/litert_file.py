"""What stands in a ``.tflite`` file: operators, their types, and values that cannot be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import ModelError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUANTIZED = ("INT8", "UINT8", "INT16", "INT4", "UINT4", "INT2")
_FLOATS = {"FLOAT32": np.float32, "FLOAT16": np.float16, "FLOAT64": np.float64}
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_READ_MASKS = ("ADD", "SELECT", "SELECT_V2", "MAXIMUM", "SOFTMAX")


class Operator(NamedTuple):
    """One operator.

    Args:
        name: name of its first output.
        kind: its type, such as "CONV_2D".
        inputs: indices of its inputs in its subgraph; -1 for one that is left out.
        outputs: indices of its outputs.
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Tensor(NamedTuple):
    """One tensor.

    Args:
        name: its name.
        kind: its type, such as "INT8".
        shape: its dimensions.
        scales: what one step of its integers means, one number or one for each channel; empty if
            it is not quantized.
        axis: the dimension of the channels.
        buffer: number of its buffer.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    axis: int
    buffer: int


class Graph(NamedTuple):
    """One subgraph of a file.

    Args:
        tensors: its tensors.
        operators: its operators, in the order in which they run.
        inputs: indices of its inputs.
        outputs: indices of its outputs.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class LiteRtFile:
    """A ``.tflite`` file in memory, whose constants can be replaced.

    Args:
        content: the file.
        where: the file, for messages.

    Raises:
        ModelError: it cannot be read.
    """

    def __init__(self, content: bytes, where: object = "generated model") -> None:
        from ai_edge_litert import schema_py_generated as schema
        from ai_edge_litert.tools import flatbuffer_utils

        self._utils = flatbuffer_utils
        kinds = {v: k for k, v in vars(schema.TensorType).items() if k.isupper()}
        codes = {v: k for k, v in vars(schema.BuiltinOperator).items() if k.isupper()}
        try:
            self._model: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
            self.graphs = tuple(self._graph(each, kinds, codes) for each in self._model.subgraphs)
        except Exception as error:  # whatever a damaged file causes
            problem = f"its structure cannot be read ({one_line(error)})"
            raise ModelError(where, problem, "convert or download it again") from error

    def constant(self, tensor: Tensor) -> NDArray[Any] | None:
        """Values of a float, int8, int32 or int64 constant; None for other tensors."""
        types = {**_FLOATS, "INT8": np.int8, "INT32": np.int32, "INT64": np.int64}
        data = self._model.buffers[tensor.buffer].data
        if data is None or not len(data) or tensor.kind not in types:
            return None
        found = np.frombuffer(bytes(data), types[tensor.kind])
        return found.reshape(tensor.shape) if found.size == np.prod(tensor.shape) else found

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether a tensor is stored in the file."""
        data = self._model.buffers[tensor.buffer].data
        return data is not None and len(data) > 0

    def size(self, tensor: Tensor) -> int:
        """Number of bytes of a constant."""
        data = self._model.buffers[tensor.buffer].data
        return 0 if data is None else len(data)

    def replace(self, graph: int, index: int, values: NDArray[Any]) -> None:
        """Give a constant other values, of the same type; others that share its buffer stay."""
        from ai_edge_litert import schema_py_generated as schema

        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        self._model.subgraphs[graph].tensors[index].buffer = len(self._model.buffers) - 1

    def content(self) -> bytes:
        """The file with the values that were replaced."""
        for buffer in self._model.buffers:
            if buffer.data is not None:  # anything but an array is written byte by byte: seconds
                buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
        return bytes(self._utils.convert_object_to_bytearray(self._model))

    def _graph(self, given: Any, kinds: dict[int, str], codes: dict[int, str]) -> Graph:
        tensors = tuple(_tensor(each, kinds) for each in _all(given.tensors))
        operators = []
        for each in _all(given.operators):
            code = self._model.operatorCodes[each.opcodeIndex]
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            kind = codes.get(number, str(number))
            if kind == "CUSTOM":
                kind = _text(code.customCode) or kind
            outputs = tuple(map(int, _all(each.outputs)))
            name = tensors[outputs[0]].name if outputs else kind
            operators.append(Operator(name, kind, tuple(map(int, _all(each.inputs))), outputs))
        inputs, outputs = (tuple(map(int, _all(each))) for each in (given.inputs, given.outputs))
        return Graph(tensors, tuple(operators), inputs, outputs)


def _all(given: Any) -> Any:
    return () if given is None else given


def _text(given: Any) -> str:
    return given.decode(errors="replace") if isinstance(given, bytes) else str(given or "")


def _tensor(given: Any, kinds: dict[int, str]) -> Tensor:
    found = given.quantization
    scales = () if found is None or found.scale is None else tuple(map(float, found.scale))
    axis = 0 if found is None else int(found.quantizedDimension)
    shape = tuple(map(int, _all(given.shape)))
    return Tensor(
        _text(given.name), kinds.get(given.type, "?"), shape, scales, axis, int(given.buffer)
    )


def is_integer(tensor: Tensor) -> bool:
    """Whether a tensor holds integers that stand for floats."""
    return tensor.kind in _QUANTIZED and bool(tensor.scales)


def quantized_counts(file: LiteRtFile) -> dict[str, int]:
    """Number of operators by type that compute with integers or stored weights in fewer bits."""
    counts: Counter[str] = Counter()
    for graph in file.graphs:
        stored = {
            operator.outputs[0]
            for operator in graph.operators
            if operator.kind == "DEQUANTIZE" and file.is_constant(graph.tensors[operator.inputs[0]])
        }
        for operator in graph.operators:
            if operator.kind in _CONVERSIONS:
                continue
            inputs = [at for at in operator.inputs if at >= 0]
            kinds = [graph.tensors[at] for at in inputs]
            if stored.intersection(inputs) or any(
                is_integer(each) or each.kind == "FLOAT16" for each in kinds
            ):
                counts[operator.kind] += 1
    return dict(sorted(counts.items()))


def half_counts(file: LiteRtFile) -> dict[str, int]:
    """Number of operators by type whose weights are stored in float16."""
    counts: Counter[str] = Counter()
    for graph in file.graphs:
        halves = {at for at, tensor in enumerate(graph.tensors) if tensor.kind == "FLOAT16"}
        read = {
            operator.outputs[0]
            for operator in graph.operators
            if operator.kind == "DEQUANTIZE" and operator.inputs[0] in halves
        }
        counts.update(
            operator.kind
            for operator in graph.operators
            if operator.kind not in _CONVERSIONS and (read | halves).intersection(operator.inputs)
        )
    return dict(sorted(counts.items()))


def float_operators(file: LiteRtFile, known: Collection[str] = ()) -> tuple[Operator, ...]:
    """Operators that compute with floats, without conversions and those of known names."""
    return tuple(
        operator
        for graph in file.graphs
        for operator in graph.operators
        if operator.kind not in _CONVERSIONS
        and operator.name not in known
        and any(
            graph.tensors[at].kind in _FLOATS
            for at in (*operator.inputs, *operator.outputs)
            if at >= 0
        )
    )


def inner_conversions(file: LiteRtFile) -> int:
    """Number of Quantize and Dequantize operators, on which static files spend time."""
    return sum(op.kind in _CONVERSIONS for graph in file.graphs for op in graph.operators)


def not_float32(file: LiteRtFile) -> str:
    """The first sign that a file is quantized or stores float16; "" if it is a float32 file."""
    for graph in file.graphs:
        for tensor in graph.tensors:
            if is_integer(tensor):
                return f"{tensor.name} is {tensor.kind.lower()}"
            if tensor.kind == "FLOAT16":
                return f"{tensor.name} is float16"
    return ""


def broken_values(file: LiteRtFile) -> tuple[str, ...]:
    """Names of constants and scales with NaN or Inf that a sound model never stores.

    A single infinity is legitimate as a bound, and -inf where only a mask is added or selected.
    """
    return tuple(dict.fromkeys(_broken(file)))


def _broken(file: LiteRtFile) -> Iterator[str]:
    for graph in file.graphs:
        for at, tensor in enumerate(graph.tensors):
            scales = np.asarray(tensor.scales)
            if not np.isfinite(scales).all() or (scales < 0).any():
                yield tensor.name
            array = file.constant(tensor) if tensor.kind in _FLOATS else None
            if array is None or np.isfinite(array).all():
                continue
            readers = {op.kind for op in graph.operators if at in op.inputs}
            mask = not np.isposinf(array).any() and readers and readers <= set(_READ_MASKS)
            if np.isnan(array).any() or not (array.size == 1 or mask):
                yield tensor.name
