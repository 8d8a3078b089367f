"""OpenVINO on the CPU: the library that `RUNTIMES` calls "openvino"."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, RuntimeUnavailableError, SpecError, one_line
from ..spec import coerce
from ..spec.runtime import Runtime
from . import NAMELESS, Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

# INFERENCE_PRECISION_HINT: without it, OpenVINO computes FP32 files in bfloat16 on CPUs that can.
_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
# The engine of a verdict: one stream, whose work is done by the thread that asks for it. Pinning
# would take that thread off the core that a measurement has chosen.
_FIXED = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "ENABLE_CPU_PINNING": "NO"}
_OURS = (*_FIXED, "INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS")
_WEIGHTED = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul", "Deconvolution")
_SHAPES = 4  # shapes of inputs for which a model with free dimensions stays compiled


class OpenVino:
    """Opens ONNX files and OpenVINO IR; see `Library`.

    Args:
        runtime: its options, which are properties of OpenVINO's CPU device, and the type in which
            float operators compute.

    Raises:
        SpecError: an option is one that verdicts depend on and that is set here.
    """

    clock = "thread"
    stops = False

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        for name in runtime.options:
            if name in _OURS:
                raise SpecError(
                    "Runtime.options",
                    f"{name} is set by the verdict itself",
                    'leave it out; Runtime("openvino", computes=...) sets the precision'
                    if name == "INFERENCE_PRECISION_HINT"
                    else "leave it out",
                )

    def describe(self) -> str:
        """Return name, version and the type that float operators compute in."""
        given = self._runtime
        options = [f"{key}={value}" for key, value in given.options.items()]
        return ", ".join([f"openvino {version('openvino')}", given.computes, *options])

    def settings(self) -> Mapping[str, str]:
        """Return the properties of the CPU device."""
        return self._properties(1)

    def load(self) -> None:
        """Import the library, and check its options and that this CPU computes in the type."""
        import openvino

        core = openvino.Core()
        try:
            known = core.get_property("CPU", "SUPPORTED_PROPERTIES")  # loads what checks them
            core.set_property("CPU", dict(self._runtime.options))
        except Exception as error:
            raise SpecError(
                "Runtime.options",
                f"OpenVINO's CPU does not take them ({_reason(error)})",
                _close(self._runtime.options, known),
            ) from error
        if self._runtime.computes == "float32":
            return
        known = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        wanted = {"bfloat16": "BF16", "float16": "FP16"}[self._runtime.computes]
        if wanted not in known:
            raise RuntimeUnavailableError(
                f"runtime openvino in {self._runtime.computes}",
                f"OpenVINO does not compute in it on this CPU, which has {', '.join(known)}",
                "judge it on the kind of machine that will run it",
            )

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> _Open:
        """Open an ONNX file, its content, or the ``.xml`` file of an IR."""
        import openvino

        self.load()
        where = NAMELESS if isinstance(model, bytes) else model
        try:
            core = openvino.Core()
            read = core.read_model(model if isinstance(model, bytes) else str(model))
            return _Open(core, read, where, self._properties(threads), self._runtime.computes)
        except ModelError:
            raise
        except Exception as error:  # OpenVINO raises RuntimeError and others
            raise ModelError(
                where,
                f"OpenVINO cannot load it ({_reason(error)})",
                "check that it is whole, an .xml with the .bin that was written with it, and that "
                "OpenVINO supports its operators",
            ) from error

    def in_float(self, model: bytes) -> int | None:
        """Number of convolutions and products that are not computed in 8 bits."""
        import openvino

        read = openvino.Core().read_model(model)
        # Kernels are chosen for fixed shapes; only the batch may be free.
        free = [port for port in read.inputs if port.partial_shape.is_dynamic]
        for port in free:
            shape = [size.get_length() if size.is_static else None for size in port.partial_shape]
            if None in shape[1:]:
                return None
            read.reshape({port: [1, *shape[1:]]})
        compiled = openvino.Core().compile_model(read, "CPU", self._properties(1))
        kinds = [
            (str(_value(info["layerType"])), str(_value(info["primitiveType"])))
            for info in (op.get_rt_info() for op in compiled.get_runtime_model().get_ops())
            if "layerType" in info
        ]
        return sum(kind in _WEIGHTED and not used.endswith("I8") for kind, used in kinds)

    def _properties(self, threads: int) -> dict[str, str]:
        given = self._runtime
        return {
            **given.options,
            **_FIXED,
            "INFERENCE_NUM_THREADS": str(threads),
            "INFERENCE_PRECISION_HINT": _HINTS[given.computes],
        }


def _close(options: Iterable[str], known: Iterable[str]) -> str:
    """What to do about options of which one has a wrong name or value."""
    names = [str(name) for name in known]
    guesses = [coerce.did_you_mean(name, names) for name in options if name not in names]
    return " ".join([*filter(None, guesses), "give properties that it has, with allowed values"])


class _Open:
    """An OpenVINO model as an `OpenModel`.

    A model with free dimensions is compiled for the shapes that it is given, as in production:
    OpenVINO computes it faster then.
    """

    def __init__(
        self, core: Any, model: Any, where: object, properties: Mapping[str, str], computes: str
    ) -> None:
        self._core, self._model, self._where = core, model, where
        self._properties, self._computes = properties, computes
        self._lock = threading.Lock()
        self._own = threading.local()  # a request serves one run at a time
        self._compiled: OrderedDict[Any, Any] = OrderedDict()
        self.input_ports = tuple(map(_port, model.inputs))
        self.output_ports = tuple(map(_port, model.outputs))
        self.inputs = tuple(port.name for port in self.input_ports)
        self.outputs = tuple(port.name for port in self.output_ports)
        if not model.is_dynamic():
            self._compile(())

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model once; see `OpenModel.run`."""
        import numpy as np

        request, given = self._request(inputs)
        self._infer(request, given)
        return [np.array(request.get_output_tensor(at).data) for at in range(len(self.outputs))]

    def runner(self, inputs: Mapping[str, NDArray[Any]]) -> Callable[[], object]:
        """A function that runs the model once; see `OpenModel.runner`."""
        request, given = self._request(inputs)
        return lambda: self._infer(request, given)

    def _infer(self, request: Any, given: list[NDArray[Any]]) -> None:
        try:
            request.infer(given, share_inputs=True)
        except Exception as error:
            raise ModelError(
                self._where, f"fails ({_reason(error)})", "check the shapes that it accepts"
            ) from error

    def _request(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Any, list[NDArray[Any]]]:
        import numpy as np

        given = [np.ascontiguousarray(inputs[name]) for name in self.inputs]
        key = tuple(array.shape for array in given) if self._model.is_dynamic() else ()
        held: dict[Any, Any] = self._own.__dict__.setdefault("held", {})
        compiled = self._compile(key)
        if held.get(key, (None,))[0] is not compiled:
            held[key] = compiled, compiled.create_infer_request()
        return held[key][1], given

    def _compile(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        with self._lock:
            if shapes in self._compiled:
                self._compiled.move_to_end(shapes)
                return self._compiled[shapes]
            try:
                model = self._model
                if shapes:
                    model = model.clone()
                    model.reshape(dict(zip(range(len(shapes)), map(list, shapes), strict=True)))
                found = self._core.compile_model(model, "CPU", dict(self._properties))
            except Exception as error:
                raise ModelError(
                    self._where,
                    f"OpenVINO cannot compile it ({_reason(error)})",
                    "check that OpenVINO supports its operators, on inputs of these shapes",
                ) from error
            computes = found.get_property("INFERENCE_PRECISION_HINT").get_type_name()
            if computes != _HINTS[self._computes]:
                raise ModelError(
                    self._where,
                    f"OpenVINO computes it in {computes}, not in {_HINTS[self._computes]}",
                    "judge it on a CPU that computes in that type",
                )
            self._compiled[shapes] = found
            while len(self._compiled) > _SHAPES:
                self._compiled.popitem(last=False)
            return found


def _value(given: Any) -> Any:
    """The value of an attribute of a compiled model."""
    return getattr(given, "value", given)


def _reason(error: Exception) -> str:
    """What OpenVINO says, on one line, without the places in its own source code."""
    text = re.sub(r"Exception from \S+:\d+:|Check '.*?' failed at \S+:", " ", str(error))
    return one_line(RuntimeError(text))


def _port(given: Any) -> Port:
    names = sorted(given.names)
    kind = given.element_type.to_dtype().name
    partial = given.partial_shape
    if partial.rank.is_dynamic:
        return Port(names[0] if names else given.node.friendly_name, None, kind)
    shape = tuple(None if size.is_dynamic else size.get_length() for size in partial)
    return Port(names[0] if names else given.node.friendly_name, shape, kind)
