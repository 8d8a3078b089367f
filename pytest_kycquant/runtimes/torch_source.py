"""The torch model that an ONNX file was exported from: a program in a file, or a module of Python.

It is only compared with: its outputs, and what each of its layers gives.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import KycquantError, ModelError, one_line
from ..spec.coerce import shown
from ..spec.runtime import Runtime
from . import library
from .growth import Layer
from .model_files import read_whole
from .torch import OpenProgram, as_array, as_tensor, hold_threads, load_program, module_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_ATTRIBUTE = (
    "KycModel(source=...) takes model.pt2, or the place of an nn.Module or of a function without "
    "arguments that returns one: package.module:attribute or file.py:attribute"
)


class Source(Protocol):
    """A model of torch that is compared with.

    Attributes:
        inputs: names of its inputs, in its order.
        digest: SHA-256 of its weights and its code.
        shapes: shape of each input, None for a dimension that is free; empty if it does not say.
    """

    inputs: tuple[str, ...]
    digest: str
    shapes: tuple[tuple[int | None, ...] | None, ...]

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Its outputs, in its order, for inputs in its order.

        Raises:
            ModelError: it fails on them, or an output is not a tensor.
        """

    def layers(self, inputs: Sequence[Array]) -> list[Layer]:
        """What its operators give, in the order in which they run."""


def open_source(given: str, resolve: Callable[[str, str], Path]) -> Source:
    """Open the source of a model.

    Args:
        given: path of a ``.pt2`` file, or the place of a module; see `_ATTRIBUTE`.
        resolve: a function from a path in the gate file, and the attribute that names it, to an
            existing path.

    Raises:
        RuntimeUnavailableError: torch is not installed.
        ModelError: there is no such module, or the file is not an exported program.
        DataError: there is no such file.
    """
    if given.lower().endswith(".pt2"):
        path = resolve(given, "KycModel.source")
        library(Runtime("torch")).load()
        return _Program(path)
    library(Runtime("torch")).load()
    place, _, name = given.rpartition(":")
    return _Module(given, _attribute(place, name, given, resolve))


class _Program:
    """An exported program as a `Source`."""

    def __init__(self, path: Path) -> None:
        content = read_whole(path)
        self.digest = hashlib.sha256(content).hexdigest()
        program = load_program(content, path)
        _refuse_training(program, path)
        self._opened = OpenProgram(program, path, 1)
        self._module = module_of(program)
        self.inputs = self._opened.inputs
        self.shapes = tuple(port.shape for port in self._opened.input_ports)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Its outputs; see `Source.run`."""
        return self._opened.run(dict(zip(self.inputs, inputs, strict=True)))

    def layers(self, inputs: Sequence[Array]) -> list[Layer]:
        """What its operators give."""
        import torch

        found: list[Layer] = []

        class Recorder(torch.fx.Interpreter):  # type: ignore[misc]
            def run_node(self, node: Any) -> Any:
                value = super().run_node(node)
                if node.op == "call_function" and _is_float(value):
                    stack = list(node.meta.get("nn_module_stack", {}).values())
                    path = str(stack[-1][0]) if stack else ""
                    found.append(Layer(_named(path, node.target), path, as_array(value)))
                return value

        hold_threads()
        with torch.inference_mode():
            tensors = [as_tensor(array) for array in inputs]
            Recorder(self._module).run(*tensors, enable_io_processing=False)
        return found


class _Module:
    """An nn.Module in evaluation mode as a `Source`."""

    def __init__(self, where: str, module: Any) -> None:
        self._where = where
        self._module = module.eval()
        self.shapes: tuple[tuple[int | None, ...] | None, ...] = ()
        parameters = inspect.signature(module.forward).parameters.values()
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.inputs = tuple(p.name for p in parameters if p.kind in kinds and p.default is p.empty)
        self.digest = _digest(module)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Its outputs; see `Source.run`."""
        import torch
        from torch.utils import _pytree as pytree

        hold_threads()
        try:
            with torch.inference_mode():
                given = self._module(*[as_tensor(array) for array in inputs])
        except Exception as error:  # whatever the user's code raises
            raise ModelError(
                self._where,
                f"fails on what the ONNX file takes ({one_line(error)})",
                "name the module that the file was exported from",
            ) from error
        leaves = [leaf for leaf in pytree.tree_leaves(given) if leaf is not None]
        for leaf in leaves:
            if not isinstance(leaf, torch.Tensor):
                raise ModelError(
                    self._where,
                    f"returns {shown(type(leaf).__name__)}, which is not a tensor",
                    "name a module that returns tensors, or tuples, lists or dicts of them",
                )
        return [as_array(leaf) for leaf in leaves]

    def layers(self, inputs: Sequence[Array]) -> list[Layer]:
        """What its operators give."""
        import torch
        from torch.utils._python_dispatch import TorchDispatchMode

        found: list[Layer] = []
        entered: list[str] = [""]

        class Recorder(TorchDispatchMode):  # type: ignore[misc]
            def __torch_dispatch__(
                self, function: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                value = function(*args, **(kwargs or {}))
                if _is_float(value):
                    path = entered[-1]
                    found.append(Layer(_named(path, function), path, as_array(value)))
                return value

        def enter(path: str) -> Callable[..., None]:
            return lambda *_: entered.append(path)

        def leave(*_: Any) -> None:
            entered.pop()

        with contextlib.ExitStack() as hooks:
            for path, module in self._module.named_modules():
                for handle in (
                    module.register_forward_pre_hook(enter(path)),
                    module.register_forward_hook(leave),
                ):
                    hooks.callback(handle.remove)
            hold_threads()
            with torch.no_grad(), Recorder():
                self._module(*[as_tensor(array) for array in inputs])
        return found


def _is_float(value: Any) -> bool:
    return bool(getattr(value, "is_floating_point", lambda: False)())


def _named(path: str, function: Any) -> str:
    kind = str(function).removeprefix("aten.").partition(".")[0].strip("_").removesuffix("_kernel")
    return f"{kind} of {path}" if path else kind


def _refuse_training(program: Any, where: object) -> None:
    """Refuse a program with operators that behave as in training."""
    for node in program.graph.nodes:
        arguments = getattr(getattr(node.target, "_schema", None), "arguments", ())
        for argument, value in zip(arguments, node.args, strict=False):
            if argument.name in ("training", "train") and value is True:
                raise ModelError(
                    where,
                    f"was exported in training mode: {_named('', node.target)} {node.name!r}",
                    "call model.eval() before torch.export.export",
                )


def _digest(module: Any) -> str:
    """SHA-256 of the weights of a module and of the files that define its classes."""
    state = hashlib.sha256(version("torch").encode())
    for name, tensor in sorted(module.state_dict().items()):
        if not hasattr(tensor, "dtype"):
            continue
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        state.update(as_array(tensor).tobytes())
    files = set()
    for part in module.modules():
        if type(part).__module__.partition(".")[0] != "torch":
            with contextlib.suppress(TypeError, OSError):  # a class that was made by code
                files.add(inspect.getsourcefile(type(part)))
    for file in sorted(filter(None, files)):
        with contextlib.suppress(OSError):
            state.update(Path(file).read_bytes())
    return state.hexdigest()


def _attribute(place: str, name: str, given: str, resolve: Callable[[str, str], Path]) -> Any:
    """The module that a place names."""
    import torch

    try:
        found: Any = _imported(place, resolve)
        for part in name.split("."):
            found = getattr(found, part)
        if callable(found) and not isinstance(found, torch.nn.Module):
            found = found()
    except KycquantError:
        raise
    except Exception as error:  # whatever the user's code raises
        kind = type(error).__name__
        raise ModelError(
            given, f"cannot be loaded ({kind}: {one_line(error)})", _ATTRIBUTE
        ) from error
    if not isinstance(found, torch.nn.Module):
        raise ModelError(given, f"is {shown(type(found).__name__)}, not an nn.Module", _ATTRIBUTE)
    return found


def _imported(place: str, resolve: Callable[[str, str], Path]) -> Any:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = resolve(place, "KycModel.source")
    name = f"kycquant_source_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    with _beside(path):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Let a file import the files beside it, as when it is run."""
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
