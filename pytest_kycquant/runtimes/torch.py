"""Exported programs of torch on the CPU: the library that `RUNTIMES` calls "torch"."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, RuntimeUnavailableError, SpecError, one_line
from ..spec.runtime import Runtime
from . import NAMELESS, Port
from .model_files import read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PRECISION = "highest"  # float32 is multiplied as float32, not as bfloat16


class Torch:
    """Opens ``.pt2`` files, which `torch.export.save` writes; see `Library`.

    With one thread, torch computes in the thread that calls it. Its number of threads is a setting
    of the whole process, kept for each thread of it. It is set at each run and stays as it is: code
    of others in this process that uses torch computes in one thread afterwards.

    Args:
        runtime: it has no options.

    Raises:
        SpecError: options are given.
    """

    clock = "thread"
    stops = False

    def __init__(self, runtime: Runtime) -> None:
        if runtime.options:
            raise SpecError(
                "Runtime.options", "torch has none here", 'leave them out: runtime="torch"'
            )

    def describe(self) -> str:
        """Return name, version and settings in one line."""
        return f"torch {version('torch')}, eager, set_num_threads(1), inference mode"

    def settings(self) -> Mapping[str, str]:
        """Return the settings of torch, by the function that sets each."""
        return {
            "torch.set_num_threads": "1",
            "torch.set_float32_matmul_precision": _PRECISION,
            "torch.inference_mode": "True",
        }

    def load(self) -> None:
        """Import the library, and check that it computes in float32.

        Raises:
            RuntimeUnavailableError: this process lets it compute float32 otherwise.
        """
        import torch

        found = torch.get_float32_matmul_precision()
        if found != _PRECISION:
            raise RuntimeUnavailableError(
                "runtime 'torch'",
                f"torch.set_float32_matmul_precision({found!r}) was called in this process: it may "
                "compute float32 in bfloat16",
                f"leave it at {_PRECISION!r} where gates run",
            )

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> OpenProgram:
        """Open a ``.pt2`` file, or its content; `exact` changes nothing."""
        self.load()
        where = NAMELESS if isinstance(model, bytes) else model
        content = model if isinstance(model, bytes) else read_whole(model)
        return OpenProgram(load_program(content, where), where, threads)


def load_program(content: bytes, where: object) -> Any:
    """Load an exported program without running any code that its file holds.

    Args:
        content: the ``.pt2`` file.
        where: the file, for messages.

    Returns:
        A `torch.export.ExportedProgram`.

    Raises:
        ModelError: it is not an exported program, is damaged, needs an operator that torch does not
            have here, or could run code; see `checked_archive`.
    """
    import torch

    from .pt2_archive import checked_archive

    archive = checked_archive(content, where)
    try:
        return torch.export.load(io.BytesIO(archive))
    except Exception as error:  # torch raises AssertionError, KeyError and others
        raise ModelError(
            where,
            f"torch {version('torch')} cannot load it ({one_line(error)})",
            "export the model again with this version of torch",
        ) from error


class OpenProgram:
    """An exported program as an `OpenModel`.

    Args:
        program: a `torch.export.ExportedProgram`.
        where: its file, for messages.
        threads: number of threads within an operator.
    """

    def __init__(self, program: Any, where: object, threads: int) -> None:
        self._where, self._threads = where, threads
        signature = program.graph_signature
        nodes = {node.name: node for node in program.graph.nodes}
        self.input_ports = tuple(
            _port(name, nodes, "input", where) for name in signature.user_inputs
        )
        self.output_ports = tuple(
            _port(name, nodes, "output", where) for name in signature.user_outputs
        )
        self.inputs = tuple(port.name for port in self.input_ports)
        self.outputs = tuple(port.name for port in self.output_ports)
        try:
            self._module = module_of(program)
        except Exception as error:
            raise ModelError(
                where,
                f"torch {version('torch')} cannot run it ({one_line(error)})",
                "export the model again with this version of torch",
            ) from error
        self._structure = program.call_spec.in_spec

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model once; see `OpenModel.run`."""
        found = self._call(self._tensors(inputs))
        return [as_array(tensor) for tensor in found]

    def runner(self, inputs: Mapping[str, NDArray[Any]]) -> Callable[[], object]:
        """A function that runs the model once; see `OpenModel.runner`."""
        tensors = self._tensors(inputs)
        return lambda: self._call(tensors)

    def _tensors(self, inputs: Mapping[str, NDArray[Any]]) -> list[Any]:
        return [as_tensor(inputs[name]) for name in self.inputs]

    def _call(self, tensors: list[Any]) -> list[Any]:
        import torch
        from torch.utils import _pytree as pytree

        hold_threads(self._threads)
        try:
            with torch.inference_mode():
                args, kwargs = pytree.tree_unflatten(tensors, self._structure)
                return list(pytree.tree_leaves(self._module(*args, **kwargs)))
        except Exception as error:
            raise ModelError(
                self._where, f"fails ({one_line(error)})", "check the shapes that it accepts"
            ) from error


def module_of(program: Any) -> Any:
    """The function of an exported program, which checks the shapes of its inputs."""
    try:
        return program.module(check_guards=False)
    except TypeError:  # torch before 2.9 has only that way
        return program.module()


def hold_threads(threads: int = 1) -> None:
    """Let torch compute with so many threads in operators that this thread calls."""
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def as_tensor(array: NDArray[Any]) -> Any:
    """A tensor of the values of an array; torch warns of arrays that must not be written to."""
    import numpy as np
    import torch

    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def as_array(tensor: Any) -> NDArray[Any]:
    """A copy of a tensor; bfloat16, which numpy lacks, becomes float32."""
    import numpy as np
    import torch

    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return np.array(tensor.detach().cpu().numpy())


def _port(name: object, nodes: Mapping[str, Any], what: str, where: object) -> Port:
    node = nodes.get(name) if isinstance(name, str) else None
    value: Any = None if node is None else node.meta.get("val")
    if node is None or not hasattr(value, "dtype"):
        raise ModelError(
            where,
            f"has an {what} that is not a tensor: {name!r}",
            "export a module whose inputs and outputs are tensors",
        )
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    kind = str(value.dtype).removeprefix("torch.")
    return Port(node.name, shape, "float32" if kind == "bfloat16" else kind)
