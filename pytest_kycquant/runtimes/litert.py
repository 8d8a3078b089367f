"""LiteRT on the CPU: the library that `RUNTIMES` calls "litert"."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, SpecError, one_line
from ..spec.coerce import shown
from ..spec.runtime import Runtime
from . import NAMELESS, Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_MOST_CODES = 1000  # types of operators; a damaged file may claim billions
DAMAGED = "it is damaged: copy, download or convert it again"
LACKS = "it is damaged, or has operators that LiteRT lacks: convert it without custom and Flex ones"


class LiteRt:
    """Opens ``.tflite`` files; see `Library`.

    LiteRT gives operators that XNNPACK has to it, and computes the others with kernels of its own.
    With one thread, all work is done by the thread that asks for it.

    Args:
        runtime: has no options here.

    Raises:
        SpecError: an option is given.
    """

    clock = "thread"
    stops = False

    def __init__(self, runtime: Runtime) -> None:
        if runtime.options:
            raise SpecError(
                "Runtime.options",
                f"litert has no option {shown(next(iter(runtime.options)))}",
                "leave options= out: it runs with one thread and XNNPACK, as every verdict here",
            )

    def describe(self) -> str:
        """Return name, version and the kernels."""
        return f"litert {version('ai-edge-litert')}, XNNPACK"

    def settings(self) -> Mapping[str, str]:
        """Return what an interpreter must be made with."""
        return {"num_threads": "1"}

    def load(self) -> None:
        """Import the library."""
        import ai_edge_litert.interpreter  # noqa: F401

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> _Open:
        """Open a ``.tflite`` file or its content.

        XNNPACK's integer kernels do not saturate, so `exact` changes nothing. A damaged file may
        keep LiteRT busy for ever: `trial` tries it in another process first.
        """
        where: object = NAMELESS if isinstance(model, bytes) else model
        try:
            content = model if isinstance(model, bytes) else Path(model).read_bytes()
        except OSError as error:
            raise ModelError(where, f"cannot be read ({error.strerror})", "check it") from error
        if content[4:8] != b"TFL3":
            raise ModelError(where, "is not a .tflite file", "give a model of LiteRT")
        return _Open(content, where, threads)


def reason(error: Exception, content: bytes) -> str:
    """Why a file cannot be opened, with the names of its custom operators."""
    from ai_edge_litert import schema_py_generated as schema

    names: list[str] = []
    with contextlib.suppress(Exception):  # a damaged file
        model = schema.Model.GetRootAsModel(content, 0)
        codes = (model.OperatorCodes(at).CustomCode() for at in range(_count(model)))
        names.extend(shown(code.decode()) for code in codes if code)
    custom = f"its custom operators are {', '.join(names)}; " if names else ""
    return custom + one_line(error)


def _count(model: Any) -> int:
    return min(int(model.OperatorCodesLength()), _MOST_CODES)


@dataclass(frozen=True)
class _Tensor:
    """An input or output of an interpreter.

    Args:
        index: its index.
        port: how callers see it.
        dtype: numpy name of its type in the file.
        scale: what one step of its integers means; 0 if they are not quantized.
        zero: the integer that means zero.
    """

    index: int
    port: Port
    dtype: str
    scale: float = 0.0
    zero: int = 0

    def quantized(self, array: Array) -> Array:
        """The array as the file takes it, rounded as LiteRT's Quantize operator rounds."""
        import numpy as np

        if not self.scale:
            return np.ascontiguousarray(array)
        limits = np.iinfo(self.dtype)
        steps = np.nan_to_num(np.asarray(array, np.float32) / np.float32(self.scale))
        whole = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + self.zero
        found: Array = np.clip(whole, limits.min, limits.max).astype(self.dtype)
        return found

    def dequantized(self, array: Array) -> Array:
        """The array as callers see it."""
        import numpy as np

        if not self.scale:
            return array
        found: Array = (array.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)
        return found


class _Open:
    """A ``.tflite`` file as an `OpenModel`; each thread has an interpreter of its own."""

    def __init__(self, content: bytes, where: object, threads: int) -> None:
        self._content, self._where, self._threads = content, where, threads
        self._own = threading.local()
        self._own.interpreter = first = self._interpreter()
        signature = _signature(first, where)
        self._inputs = self._tensors(first.get_input_details(), signature.get("inputs", {}))
        self._outputs = self._tensors(first.get_output_details(), signature.get("outputs", {}))
        self.input_ports = tuple(each.port for each in self._inputs)
        self.output_ports = tuple(each.port for each in self._outputs)
        self.inputs = tuple(port.name for port in self.input_ports)
        self.outputs = tuple(port.name for port in self.output_ports)
        for names in (self.inputs, self.outputs):
            if len(set(names)) < len(names):
                raise ModelError(
                    where, f"uses a name twice among {', '.join(map(shown, names))}",
                    "convert it with a signature, which names inputs and outputs",
                )  # fmt: skip

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the model once; see `OpenModel.run`."""
        interpreter = getattr(self._own, "interpreter", None)
        if interpreter is None:
            interpreter = self._own.interpreter = self._interpreter()
        self._feed(interpreter, inputs)
        self._invoke(interpreter)
        return [each.dequantized(interpreter.get_tensor(each.index)) for each in self._outputs]

    def runner(self, inputs: Mapping[str, Array]) -> Callable[[], object]:
        """A function that runs the model once; see `OpenModel.runner`."""
        interpreter = self._interpreter()  # whose inputs no other run replaces
        self._feed(interpreter, inputs)
        self._invoke(interpreter)
        invoke: Callable[[], object] = interpreter.invoke
        return invoke

    def _interpreter(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        try:
            made = Interpreter(model_content=self._content, num_threads=self._threads)
            made.allocate_tensors()
        except Exception as error:  # LiteRT raises ValueError, RuntimeError and others
            remedy = DAMAGED if "Flatbuffer" in str(error) else LACKS
            said = reason(error, self._content)
            raise ModelError(self._where, f"LiteRT cannot load it ({said})", remedy) from error
        return made

    def _feed(self, interpreter: Any, inputs: Mapping[str, Array]) -> None:
        given = {each.index: (each, inputs[each.port.name]) for each in self._inputs}
        resized = False
        for each, array in given.values():
            wanted = each.port.shape or ()
            if len(wanted) != array.ndim or any(
                size not in (None, is_) for size, is_ in zip(wanted, array.shape, strict=True)
            ):
                raise ModelError(
                    self._where,
                    f"input {shown(each.port.name)} has shape {_spelt(wanted)}, "
                    f"but is given {_spelt(array.shape)}",
                    "give arrays of its shape, or convert the model for theirs",
                )
            if None in wanted:
                held = interpreter._get_tensor_details(each.index, 0)["shape"].tolist()
                if held != list(array.shape):
                    interpreter.resize_tensor_input(each.index, array.shape)
                    resized = True
        try:
            if resized:
                interpreter.allocate_tensors()
            for index, (each, array) in given.items():
                interpreter.set_tensor(index, each.quantized(array))
        except Exception as error:
            raise self._fails(error) from error

    def _invoke(self, interpreter: Any) -> None:
        try:
            interpreter.invoke()
        except Exception as error:
            raise self._fails(error) from error

    def _fails(self, error: Exception) -> ModelError:
        return ModelError(
            self._where, f"fails ({one_line(error)})", "check the shapes and types that it accepts"
        )

    def _tensors(
        self, details: Sequence[Mapping[str, Any]], names: Mapping[int, str]
    ) -> tuple[_Tensor, ...]:
        return tuple(_tensor(each, names.get(each["index"]), self._where) for each in details)


def _tensor(details: Mapping[str, Any], name: str | None, where: object) -> _Tensor:
    import numpy as np

    kind = np.dtype(details["dtype"])
    name = details["name"] if name is None else name
    known = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    shape = tuple(None if size < 0 else int(size) for size in known)
    found = details["quantization_parameters"]
    scales = found["scales"]
    if kind.kind not in "iu" or not len(scales):
        return _Tensor(details["index"], Port(name, shape, kind.name), kind.name)
    if len(scales) > 1 or not np.isfinite(scales[0]) or scales[0] <= 0:
        raise ModelError(
            where,
            f"{shown(name)} is quantized with {len(scales)} scales, the first {scales[0]:g}",
            "inputs and outputs need one positive scale each; quantize the model again",
        )
    zero = int(found["zero_points"][0]) if len(found["zero_points"]) else 0
    port = Port(name, shape, "float32", kind.name, float(scales[0]), zero)
    return _Tensor(details["index"], port, kind.name, float(scales[0]), zero)


def _signature(interpreter: Any, where: object) -> dict[str, dict[int, str]]:
    """Names of inputs and outputs by their index, from the only signature; empty without any.

    Raises:
        ModelError: there are several signatures.
    """
    signatures = interpreter.get_signature_list()
    if len(signatures) > 1:
        listed = "; ".join(
            f"{shown(key)}: {', '.join(map(shown, one['inputs']))} -> "
            f"{', '.join(map(shown, one['outputs']))}"
            for key, one in signatures.items()
        )
        raise ModelError(
            where,
            f"has {len(signatures)} signatures ({listed})",
            "convert it with one signature, that of the function to judge",
        )
    if not signatures:
        return {}
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    both = {"inputs": runner.get_input_details(), "outputs": runner.get_output_details()}
    return {
        side: {details["index"]: name for name, details in found.items()}
        for side, found in both.items()
    }


def input_names(interpreter: Any, where: object) -> dict[int, str]:
    """Names of the inputs by their index, as `OpenModel` names them.

    Raises:
        ModelError: there are several signatures.
    """
    known = _signature(interpreter, where).get("inputs", {})
    details = interpreter.get_input_details()
    return {each["index"]: known.get(each["index"], each["name"]) for each in details}


def _spelt(shape: Sequence[int | None]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape) or "()"
