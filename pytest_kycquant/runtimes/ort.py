"""onnxruntime on the CPU: sessions, and the runtime that `RUNTIMES` names."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..files import temporary_folder
from . import time_limit
from .model_files import copy_without_links
from .time_limit import Limit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession, RunOptions, SessionOptions

# Entry of the session configuration that makes onnxruntime turn the signed weights of integer
# operators into unsigned ones on x86 without VNNI, where U8S8 kernels would add two products in
# 16 bits. Elsewhere it changes nothing (onnxruntime PR 12088).
EXACT_ENTRY = ("session.x64quantprecision", "1")


# Errors are raised, too; what onnxruntime logs has colours and unescaped names of operators.
_SILENT = 4


class Session:
    """A session of onnxruntime whose runs have a time limit; may be used by several threads.

    Args:
        session: the session.
        where: the model, for messages.
    """

    def __init__(self, session: InferenceSession, where: object) -> None:
        self._session = session
        self._where = where
        self._own = threading.local()  # options and limit: `terminate` ends all runs that have it
        self.get_inputs = session.get_inputs
        self.get_outputs = session.get_outputs

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, Any]) -> list[Any]:
        """Run the model once.

        Args:
            outputs: names of the outputs to return; None returns all.
            inputs: one array for each input, by name.

        Raises:
            ModelError: onnxruntime cannot run the model on these inputs, or it takes too long.
        """
        options, limit = self._limited()
        try:
            with limit.within(time_limit.RUN_SECONDS):
                found: list[Any] = self._session.run(outputs, inputs, options)
                return found
        except Exception as error:  # onnxruntime raises a dozen types without a common base
            if not limit.expired:
                raise ModelError(
                    self._where,
                    f"fails ({_reason(error)})",
                    "check its operators and the shapes that they accept",
                ) from error
            raise ModelError(
                self._where,
                f"was stopped after {time_limit.RUN_SECONDS:g} s on one image",
                "look for a loop that never ends, or give a faster model",
            ) from None
        finally:
            if limit.expired:
                del self._own.held

    def _limited(self) -> tuple[RunOptions, Limit]:
        """Options of a run in this thread and the limit that ends it by them."""
        held: tuple[RunOptions, Limit] | None = getattr(self._own, "held", None)
        if held is None:
            import onnxruntime as ort

            options = ort.RunOptions()
            options.log_severity_level = _SILENT
            held = self._own.held = options, Limit(lambda: setattr(options, "terminate", True))
        return held


def open_session(
    model: bytes | Path, *, optimize: bool = True, threads: int = 1, exact: bool = False
) -> Session:
    """Open a model as verdicts are measured: one thread, CPU, sequential.

    Args:
        model: path of the file, or the serialized model (without external data).
        optimize: whether to optimize the graph; False runs it as it is written, which simulates
            quantization in floating point.
        threads: number of threads within an operator; more than one only for the wall-clock time of
            a pipeline.
        exact: whether to compute INT8 without saturation (`EXACT_ENTRY`).

    Raises:
        ModelError: onnxruntime cannot load the model, or it takes too long.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _SILENT
    # A spinning helper thread would consume CPU time that `time.thread_time` does not see.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if exact:
        options.add_session_config_entry(*EXACT_ENTRY)
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = model if isinstance(model, bytes) else str(model)
    where = "generated model" if isinstance(model, bytes) else model
    limit = Limit(lambda: _cancel(options))
    try:
        with limit.within(time_limit.OPEN_SECONDS):
            opened = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen types without a common base
        problem = f"onnxruntime cannot load it ({_reason(error)})"
        if limit.expired:
            problem = f"onnxruntime did not load it in {time_limit.OPEN_SECONDS:g} s"
        raise ModelError(where, problem, "check the opset and the operators") from error
    return Session(opened, where)


def _cancel(options: SessionOptions) -> None:
    if hasattr(options, "set_load_cancellation_flag"):  # not in onnxruntime 1.20
        options.set_load_cancellation_flag(True)


def _reason(error: BaseException) -> str:
    """What onnxruntime says, on one line, without the place in its own source code."""
    text = re.sub(r"/onnxruntime_src/\S+:\d+ [^()]*(\(.*?\))?( |$)", "", str(error))
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())[:300] or type(error).__name__


class _OpenSession:
    """A session as an `OpenModel`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.inputs = tuple(given.name for given in session.get_inputs())
        self.outputs = tuple(given.name for given in session.get_outputs())

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model once; see `OpenModel.run`."""
        return self._session.run(None, inputs)


class _OnnxRuntime:
    """The runtime that `RUNTIMES` calls "onnxruntime"."""

    def describe(self) -> str:
        """Return name and version in one line."""
        return f"onnxruntime {version('onnxruntime')}"

    def load(self) -> None:
        """Import the library."""
        import onnxruntime  # noqa: F401

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> _OpenSession:
        """Open a model; see `open_session`.

        onnxruntime follows links of external data only if they end near the model. Where it
        does not, what they are links to is opened.
        """
        try:
            return _OpenSession(open_session(model, threads=threads, exact=exact))
        except ModelError:
            if isinstance(model, bytes):
                raise
            with temporary_folder() as folder:
                copy = copy_without_links(model, folder)
                if copy is None:
                    raise
                return _OpenSession(open_session(copy, threads=threads, exact=exact))


RUNTIME = _OnnxRuntime()
