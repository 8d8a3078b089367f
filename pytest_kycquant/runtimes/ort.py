"""onnxruntime on the CPU: sessions, and the runtime that `RUNTIMES` names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

# Entry of the session configuration that makes onnxruntime turn the signed weights of integer
# operators into unsigned ones on x86 without VNNI, where U8S8 kernels would add two products in
# 16 bits. Elsewhere it changes nothing (onnxruntime PR 12088).
EXACT_ENTRY = ("session.x64quantprecision", "1")


def open_session(
    model: bytes | Path, *, optimize: bool = True, threads: int = 1, exact: bool = False
) -> InferenceSession:
    """Open a model as verdicts are measured: one thread, CPU, sequential.

    Args:
        model: path of the file, or the serialized model (without external data).
        optimize: whether to optimize the graph; False runs it as it is written, which simulates
            quantization in floating point.
        threads: number of threads within an operator; more than one only for the wall-clock time of
            a pipeline.
        exact: whether to compute INT8 without saturation (`EXACT_ENTRY`).

    Raises:
        ModelError: onnxruntime cannot load the model.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # A spinning helper thread would consume CPU time that `time.thread_time` does not see.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if exact:
        options.add_session_config_entry(*EXACT_ENTRY)
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = model if isinstance(model, bytes) else str(model)
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen types without a common base
        where = "generated model" if isinstance(model, bytes) else model
        problem = " ".join(str(error).split())[:300]
        raise ModelError(
            where, f"onnxruntime cannot load it ({problem})", "check the opset and the operators"
        ) from error


class _OpenSession:
    """A session as an `OpenModel`."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self.inputs = tuple(given.name for given in session.get_inputs())
        self.outputs = tuple(given.name for given in session.get_outputs())

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model once; see `OpenModel.run`."""
        found: list[NDArray[Any]] = self._session.run(None, inputs)
        return found


class _OnnxRuntime:
    """The runtime that `RUNTIMES` calls "onnxruntime"."""

    def describe(self) -> str:
        """Return name and version in one line."""
        return f"onnxruntime {version('onnxruntime')}"

    def load(self) -> None:
        """Import the library."""
        import onnxruntime  # noqa: F401

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> _OpenSession:
        """Open a model; see `open_session`."""
        return _OpenSession(open_session(model, threads=threads, exact=exact))


RUNTIME = _OnnxRuntime()
