"""onnxruntime: sessions, and the library that `RUNTIMES` names."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, RuntimeUnavailableError
from ..files import temporary_folder
from ..spec import coerce
from ..spec.runtime import CPU_PROVIDER, REFERENCE, Runtime
from . import NAMELESS, Port, time_limit
from .formats import is_onnx
from .model_files import copy_without_links
from .time_limit import Limit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession, RunOptions, SessionOptions

# Entry of the session configuration that makes onnxruntime turn the signed weights of integer
# operators into unsigned ones on x86 without VNNI, where U8S8 kernels would add two products in
# 16 bits. Elsewhere it changes nothing (onnxruntime PR 12088).
EXACT_ENTRY = ("session.x64quantprecision", "1")


_RECORD = ("session.record_ep_graph_assignment_info", "1")

# Errors are raised, too; what onnxruntime logs has colours and unescaped names of operators.
SILENT = 4


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
        self.bare = session

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
            options.log_severity_level = SILENT
            held = self._own.held = options, Limit(lambda: setattr(options, "terminate", True))
        return held


def open_session(
    model: bytes | Path,
    *,
    optimize: bool = True,
    threads: int = 1,
    exact: bool = False,
    runtime: Runtime = REFERENCE,
) -> Session:
    """Open a model as verdicts are measured: one thread, sequential.

    Args:
        model: path of the file, or the serialized model (without external data).
        optimize: whether to optimize the graph; False runs it as it is written, which simulates
            quantization in floating point.
        threads: number of threads within an operator; more than one only for the wall-clock time of
            a pipeline.
        exact: whether to compute INT8 without saturation (`EXACT_ENTRY`).
        runtime: names the execution provider and its options, if not the CPU.

    Raises:
        ModelError: onnxruntime cannot load the model, or it takes too long.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = SILENT
    # A spinning helper thread would consume CPU time that `time.thread_time` does not see.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if exact:
        options.add_session_config_entry(*EXACT_ENTRY)
    providers: list[Any] = [CPU_PROVIDER]
    if runtime.provider:
        providers.insert(0, (runtime.provider, dict(runtime.options)))
        options.add_session_config_entry(*_RECORD)
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = model if isinstance(model, bytes) else str(model)
    where = NAMELESS if isinstance(model, bytes) else model
    limit = Limit(lambda: cancel(options))
    try:
        with limit.within(time_limit.OPEN_SECONDS):
            opened = ort.InferenceSession(source, options, providers=providers)
    except Exception as error:  # onnxruntime raises a dozen types without a common base
        problem = f"onnxruntime cannot load it ({_reason(error)})"
        if limit.expired:
            problem = f"onnxruntime did not load it in {time_limit.OPEN_SECONDS:g} s"
        raise ModelError(where, problem, "check the opset and the operators") from error
    return Session(opened, where)


def left_to_cpu(session: InferenceSession) -> dict[str, list[str]]:
    """Operators of a session that the CPU computes: their names by type.

    Raises:
        RuntimeUnavailableError: this version of onnxruntime does not say.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        raise RuntimeUnavailableError(
            "Runtime.provider",
            f"onnxruntime {version('onnxruntime')} does not say which operators a provider "
            "leaves to the CPU",
            "install onnxruntime 1.24 or later",
        )
    found: dict[str, list[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name == CPU_PROVIDER:
            for node in part.get_nodes():
                found.setdefault(node.op_type, []).append(node.name)
    return found


def cancel(options: SessionOptions) -> None:
    """End the loading of a model with these options, where onnxruntime can."""
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
        self.input_ports = tuple(map(_port, session.get_inputs()))
        self.output_ports = tuple(map(_port, session.get_outputs()))
        self.inputs = tuple(port.name for port in self.input_ports)
        self.outputs = tuple(port.name for port in self.output_ports)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model once; see `OpenModel.run`."""
        return self._session.run(None, inputs)

    def runner(self, inputs: Mapping[str, NDArray[Any]]) -> Callable[[], object]:
        """A function that runs the model once; see `OpenModel.runner`."""
        return lambda: self._session.run(None, inputs)


def _port(given: Any) -> Port:
    """An input or output of a session; its unknown dimensions are names or None."""
    shape = tuple(size if isinstance(size, int) else None for size in given.shape)
    kind = re.sub(r"tensor\((.*)\)", r"\1", given.type)
    return Port(given.name, shape, {"float": "float32", "double": "float64"}.get(kind, kind))


class OnnxRuntime:
    """The library that `RUNTIMES` calls "onnxruntime"; see `Library`.

    Args:
        runtime: its execution provider and options.
    """

    def __init__(self, runtime: Runtime = REFERENCE) -> None:
        self._runtime, self.stops = runtime, True
        # A device computes while the thread that called it waits.
        self.clock = "wall" if runtime.provider else "thread"

    def describe(self) -> str:
        """Return name and version in one line."""
        found = [f"onnxruntime {version('onnxruntime')}", *filter(None, [self._runtime.provider])]
        found += [f"{key}={value}" for key, value in self._runtime.options.items()]
        return ", ".join([*found, *(["part of it on the CPU"] if self._runtime.allow_cpu else [])])

    def settings(self) -> Mapping[str, str]:
        """Return the provider and its options."""
        given = self._runtime
        return {"provider": given.provider or CPU_PROVIDER, **given.options}

    def load(self) -> None:
        """Import the library, and check that the provider is there."""
        import onnxruntime

        wanted, known = self._runtime.provider, onnxruntime.get_available_providers()
        if wanted and wanted not in known:
            every = onnxruntime.get_all_providers()
            remedy = "install the build of onnxruntime that has it, or name another provider"
            if wanted not in every:
                remedy = coerce.did_you_mean(wanted, known) or coerce.did_you_mean(wanted, every)
                remedy = f"{remedy} name one of these".lstrip()
            raise RuntimeUnavailableError(
                f"Runtime(provider={wanted!r})",
                f"onnxruntime {version('onnxruntime')} does not have it here: it has "
                f"{', '.join(known)}",
                remedy,
            )

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> _OpenSession:
        """Open a model; see `open_session`.

        onnxruntime follows links of external data only if they end near the model. Where it
        does not, what they are links to is opened.
        """
        self.load()
        try:
            return self._open(model, threads, exact)
        except ModelError:
            if isinstance(model, bytes) or not is_onnx(model):
                raise
            with temporary_folder() as folder:
                copy = copy_without_links(model, folder)
                if copy is None:
                    raise
                return self._open(copy, threads, exact)

    def in_float(self, model: bytes) -> int | None:
        """Return None: providers do not say; for the CPU, see `quantize.static`."""
        return None

    def _open(self, model: bytes | Path, threads: int, exact: bool) -> _OpenSession:
        given = self._runtime
        session = open_session(model, threads=threads, exact=exact, runtime=given)
        if given.provider and not given.allow_cpu:
            left = left_to_cpu(session.bare)
            if left:
                counts = Counter({kind: len(names) for kind, names in left.items()})
                listed = ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
                where = NAMELESS if isinstance(model, bytes) else model
                raise ModelError(
                    where,
                    f"{given.provider} leaves {counts.total()} operators to the CPU: {listed} "
                    f"({', '.join(name for names in left.values() for name in names)})",
                    "give a model that it computes as a whole, or "
                    f"Runtime(..., provider={given.provider!r}, allow_cpu=True)",
                )
        return _OpenSession(session)
