"""Runtimes as gate files name them, and the table of all runtimes.

Nothing heavy is imported here: `runtimes/` opens files, this module only describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from ..errors import SpecError
from . import coerce

Computes = Literal["float32", "bfloat16", "float16"]
FileFormat = Literal["ort"]
ORT: FileFormat = "ort"
"""Format of mobile builds of onnxruntime."""
ONNXRUNTIME = "onnxruntime"
"""Name of the runtime of FP32, with which every variant is compared."""
CPU_PROVIDER = "CPUExecutionProvider"


class RuntimeLine(NamedTuple):
    """One runtime: a line of `RUNTIMES`.

    Args:
        library: location, ``module:attribute``, of a function that takes a `Runtime` and returns
            the `Library` that opens files as it says. The module is loaded when it is used.
        formats: suffixes of the files that it opens; the first is that of variants made for it.
        packages: distributions that must be installed, with their oldest version that is supported;
            the first is the runtime itself.
        extra: extra of this package that installs them; "" if they always are.
        computes: types in which its float operators can compute.
        providers: whether it has execution providers.
        fuses: types of activations that its integer kernels apply to the result of a convolution or
            product before they round it.
    """

    library: str
    formats: tuple[str, ...] = (".onnx",)
    packages: Mapping[str, str] = {}
    extra: str = ""
    computes: tuple[str, ...] = ("float32",)
    providers: bool = False
    fuses: tuple[str, ...] = ()


_HERE = "pytest_kycquant.runtimes"

RUNTIMES: dict[str, RuntimeLine] = {
    ONNXRUNTIME: RuntimeLine(
        f"{_HERE}.ort:OnnxRuntime",
        (".onnx", ".ort"),
        {"onnxruntime": "1.20"},
        providers=True,
    ),
    "openvino": RuntimeLine(
        f"{_HERE}.openvino:OpenVino", (".onnx", ".xml"), {"openvino": "2025.0"}, "openvino",
        get_args(Computes),
        fuses=("Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Sigmoid", "Tanh"),
    ),
    "torch": RuntimeLine(f"{_HERE}.torch:Torch", (".pt2",), {"torch": "2.6"}, "torch"),
    "litert": RuntimeLine(
        f"{_HERE}.litert:LiteRt", (".tflite",),
        {"ai-edge-litert": "2.0", "litert-quantizer": "0.11"}, "litert",
    ),
}  # fmt: skip
"""All runtimes by name. To add one, write its `Library` and add a line here."""


@coerce.arguments
@dataclass(frozen=True)
class Runtime:
    """The runtime that runs a variant: ``Recipe("int8", runtime=Runtime("openvino"))``.

    A plain string such as ``"openvino"`` stands for ``Runtime("openvino")``. FP32, with which every
    variant is compared, always runs on onnxruntime's CPU kernels.

    Args:
        name: "onnxruntime", "openvino", "litert" or "torch".
        provider: execution provider of onnxruntime, such as "OpenVINOExecutionProvider"; "" is its
            CPU. One that is not there, or that leaves operators to the CPU, is an error.
        options: options of the provider or, of a runtime without providers, its own, by name.
        allow_cpu: whether the provider may leave operators to the CPU; they are then named in the
            report.
        computes: type in which float operators compute: "float32", or "bfloat16" or "float16" where
            the runtime and the CPU can.
    """

    name: str = ONNXRUNTIME
    provider: str = ""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    allow_cpu: bool = False
    computes: Computes = "float32"

    def __post_init__(self) -> None:
        name = coerce.choice("Runtime.name", self.name, tuple(RUNTIMES))
        line = RUNTIMES[name]
        provider = coerce.label("Runtime.provider", self.provider)
        if provider and not line.providers:
            raise SpecError(
                "Runtime.provider", f"{name} has none", f"leave it out, or use {ONNXRUNTIME!r}"
            )
        allow_cpu = coerce.switch("Runtime.allow_cpu", self.allow_cpu, optional=False)
        provider = "" if provider == CPU_PROVIDER else provider
        if allow_cpu and not provider:
            raise SpecError(
                "Runtime.allow_cpu",
                "has no effect, because no other provider is named",
                "leave it out, or name a provider",
            )
        options = _options(self.options)
        if options and line.providers and not provider:
            raise SpecError(
                "Runtime.options",
                f"has no effect on the CPU kernels of {name}",
                "leave it out, or name a provider",
            )
        computes = coerce.choice("Runtime.computes", self.computes, line.computes)
        plain = {
            "name": name,
            "provider": provider,
            "options": options,
            "allow_cpu": allow_cpu,
            "computes": computes,
        }
        for field_name, value in plain.items():
            object.__setattr__(self, field_name, value)

    @property
    def line(self) -> RuntimeLine:
        """The line of `RUNTIMES` for this runtime."""
        return RUNTIMES[self.name]

    @property
    def is_reference(self) -> bool:
        """Whether it runs files exactly as FP32 is run."""
        return self == REFERENCE

    @property
    def label(self) -> str:
        """Short text for the labels of variants; "" for onnxruntime's CPU kernels."""
        if self.name != ONNXRUNTIME:
            return self.name
        found = self.provider.removesuffix("ExecutionProvider").casefold()
        return f"{found}-provider" if found in RUNTIMES else found


def _options(given: Any) -> dict[str, str]:
    """Options as plain texts, sorted, so that equal ones look alike in every process."""
    where, remedy = "Runtime.options", 'give a dict such as {"device_type": "CPU"}'
    items = coerce.guarded(lambda: dict(given), None) if isinstance(given, Mapping) else None
    if items is None:
        raise SpecError(where, f"{coerce.shown(given)} is not a mapping", remedy)
    found = {}
    for key, value in items.items():
        plain = coerce.scalar(value)
        if not isinstance(key, str) or not key or not isinstance(plain, (str, bool, int, float)):
            problem = f"{coerce.shown(key)}: {coerce.shown(value)} is not an option"
            raise SpecError(where, problem, remedy)
        found[str.__str__(key)] = str(plain)
    return dict(sorted(found.items()))


_OFTEN_CALLED = {
    "onnx": ONNXRUNTIME, "ort": ONNXRUNTIME, "pytorch": "torch", "tensorflow lite": "litert",
    "tensorflow-lite": "litert", "tf-lite": "litert", "tflite": "litert",
}  # fmt: skip
"""Other words for runtimes, which are spelt too differently to be recognized."""

REFERENCE = Runtime()
"""The runtime of FP32."""


def as_runtime(where: str, value: str | Runtime) -> Runtime:
    """Turn the name of a runtime into a runtime with default options.

    Raises:
        SpecError: there is no such runtime.
    """
    if isinstance(value, Runtime):
        return value
    name = coerce.scalar(value)
    if isinstance(name, str) and name.casefold() in _OFTEN_CALLED:
        meant = _OFTEN_CALLED[name.casefold()]
        raise SpecError(where, f"{coerce.shown(name)} is unknown", f"did you mean {meant!r}?")
    return Runtime(coerce.choice(where, value, tuple(RUNTIMES)))


def as_format(where: str, value: object, runtime: Runtime) -> FileFormat | None:
    """Check the format of the files of a variant; None is that of its runtime.

    Raises:
        SpecError: there is no such format, or the runtime does not open it.
    """
    found: FileFormat | None = coerce.choice(where, value, (None, *get_args(FileFormat)))
    if found is not None and not runtime.is_reference:
        raise SpecError(
            where,
            f"{found!r} is a format for the CPU kernels of {ONNXRUNTIME}, not for {runtime.label}",
            "leave out either format= or runtime=",
        )
    return found
