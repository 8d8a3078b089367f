"""The files that are made: by which tool, in which environment, and how a gate names them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.search.environments import UnavailableError, python_of
from pytest_kycquant.spec.runtime import RUNTIMES

HERE = Path(__file__).resolve().parents[2]
LIMIT = 900.0  # seconds for one file
_TORCH = "torch, quantization-aware training"


@dataclass(frozen=True)
class File:
    """A file of somebody else's.

    Args:
        tool: first cell of its row.
        label: label of the variant.
        module: the maker.
        suffix: ending of the file.
        mode: which of the maker's files.
        environment: environment of the maker in `benchmarks.search`; "" for this one.
        needs: label of a file that it is made from; "" if that is FP32.
        own_network: whether the maker knows the network of the reference embedder only.
    """

    tool: str
    label: str
    module: str
    suffix: str = ".onnx"
    mode: str = ""
    environment: str = ""
    needs: str = ""
    own_network: bool = False

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"{self.label}{self.suffix}"

    def make(self, folder: Path, environments: Path) -> str:
        """Run the maker on the folder of a job; return why there is no file, or ""."""
        try:
            python = python_of(self.environment, environments)
        except UnavailableError as error:
            return str(error)
        command = [python, "-m", f"benchmarks.vendors.makers.{self.module}", str(folder)]
        try:
            done = subprocess.run(
                command, cwd=HERE, capture_output=True, text=True, errors="replace", timeout=LIMIT
            )
        except subprocess.TimeoutExpired:
            return f"the tool took more than {LIMIT:g} s"
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            return f"the tool failed: {said[-1] if said else done.returncode}"
        return ""


@dataclass(frozen=True)
class Judged:
    """How a gate names a file.

    Args:
        file: the file.
        runtime: the runtime, if it is not that of the format.
    """

    file: File
    runtime: str = ""

    @property
    def label(self) -> str:
        """Label of the variant."""
        return f"{self.file.label}-{self.runtime}" if self.runtime else self.file.label

    @property
    def on(self) -> str:
        """Second cell of its row: the format, and the runtime."""
        first = next(name for name, line in RUNTIMES.items() if self.file.suffix in line.formats)
        return f"{self.file.suffix}, {self.runtime or first}"

    def code(self, folder: str) -> str:
        """A `Prequantized` as a gate file writes it."""
        runtime = f', runtime="{self.runtime}"' if self.runtime else ""
        return f'Prequantized("{folder}/{self.file.name}", name="{self.label}"{runtime})'


_NNCF = File("NNCF", "nncf", "with_nncf", environment="nncf")
_COMPRESSOR = ("with_neural_compressor", ".onnx")
FILES = (
    _NNCF,
    File("NNCF", "nncf-ir", "with_openvino", ".xml", needs="nncf"),
    File("Neural Compressor", "inc", *_COMPRESSOR, "static", "neural-compressor"),
    File("Neural Compressor, QDQ", "inc-qdq", *_COMPRESSOR, "static, QDQ", "neural-compressor"),
    File("litert-quantizer, static", "litert-static", "with_litert", ".tflite", "static"),
    File("litert-quantizer, dynamic", "litert-dynamic", "with_litert", ".tflite", "dynamic"),
    File("litert-quantizer, weights", "litert-weights", "with_litert", ".tflite", "weights"),
    File(_TORCH, "qat", "with_torch", own_network=True),
    File(_TORCH, "qat-pt2", "with_torch", ".pt2", "pt2", own_network=True),
)


def variants(files: tuple[File, ...] = FILES) -> list[Judged]:
    """Each file on the runtime of its format, and NNCF's on OpenVINO as well."""
    found = []
    for file in files:
        found.append(Judged(file))
        if file is _NNCF:
            found.append(Judged(file, "openvino"))
    return found
