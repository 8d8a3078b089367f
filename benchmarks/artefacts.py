"""What does the quantizer make, byte for byte? SHA-256 of each kind of variant of each model.

A change that should not affect the quantizer prints the same table before and after::

    python -m benchmarks.artefacts > before.txt     # and after.txt
    diff before.txt after.txt

The models are those of `tests/gates`. Their variants are made by the fixture `quantize`, in an
empty cache. They depend on the CPU (whether its U8S8 kernels saturate) and on the versions of onnx
and onnxruntime, so both tables must come from one machine. Recipes turn rewrites on or off
explicitly, because the default choice depends on a measurement.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from models.rendering.sets import ensure

MODELS = ("test_arcface", "test_minifasnet", "test_yolov8")
RECIPES = (
    'Recipe("fp32-optimized", rewrites=True)',
    'Recipe("fp16", rewrites=False)',
    'Recipe("fp16", rewrites=True)',
    'Recipe("fp16", rewrites=False, keep_fp32=("first", "last"))',
    'Recipe("int8", rewrites=True)',
    'Recipe("int8", rewrites=False)',
    'Recipe("int8", rewrites=False, calibration_method="minmax")',
    'Recipe("int8", rewrites=False, calibration_method="moving-average")',
    'Recipe("int8", rewrites=False, calibration_method="percentile", percentile=99.9)',
    'Recipe("int8", rewrites=False, calibration_method="entropy")',
    'Recipe("int8", rewrites=False, per_channel=False)',
    'Recipe("int8", rewrites=False, reduce_range=True)',
    'Recipe("int8", rewrites=False, reduce_range=False)',
    'Recipe("int8", rewrites=False, equalize=False)',
    'Recipe("int8", rewrites=False, bias_correction=False)',
    'Recipe("int8", rewrites=False, op_types=("Conv",))',
    'Recipe("int8", rewrites=False, activation_type="int8")',
    'Recipe("int8", rewrites=False, activation_type="uint16")',
    'Recipe("int8", rewrites=False, activation_type="int16", weight_type="int16")',
    'Recipe("mixed", rewrites=True, keep_fp32=("first", "last"))',
    'Recipe("mixed", rewrites=False, keep_fp32=("first",), float_weights="float16")',
    'Recipe("mixed", rewrites=False, keep_fp32=("first",), float_weights="int8")',
    'Recipe("int8-dynamic", rewrites=False)',
    'Recipe("int8-dynamic", rewrites=True, per_channel=True)',
    'Recipe("int8-weights", rewrites=False)',
    'Recipe("int8-weights", rewrites=True)',
    'Recipe("int8-weights", rewrites=False, bias_correction=False)',
    'Recipe("int4-weights", rewrites=False)',
    'Recipe("int4-weights", rewrites=False, keep_fp32=("first", "last"))',
)
FILE = """
import sys
sys.path.insert(0, {gates!r})
import {module} as gates
from pytest_kycquant import {base}, Recipe
from pytest_kycquant.errors import KycquantError

(given,) = [v for n, v in vars(gates).items() if n.startswith("Test")]

class TestMade({base}):
    model = given.model
    precisions = given.precisions

    def test_made(self, quantize):
        for text in {recipes!r}:
            try:
                made = quantize(eval(text)).sha256
            except KycquantError as error:
                made = f"{{type(error).__name__}}: {{error.problem}}"
            with open({out!r}, "a") as out:
                print({module!r}, text, made, file=out)
"""
BASES = {
    "test_arcface": "FaceGates",
    "test_minifasnet": "LivenessGates",
    "test_yolov8": "DetectionGates",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    given = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    ensure(root / "data", say=lambda text: print(text, file=sys.stderr))
    for module in given.models or MODELS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "made.txt"
            gate_file = Path(folder) / "test_made.py"
            gate_file.write_text(
                FILE.format(
                    gates=str(root / "tests" / "gates"),
                    module=module,
                    base=BASES[module],
                    recipes=RECIPES,
                    out=str(out),
                ),
                encoding="utf-8",
            )
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pytest", "-q", "-c", str(root / "pyproject.toml")),
                    *("--rootdir", str(root), str(gate_file), "-k", "test_made"),
                    *("-W", "default", f"--kycquant-cache={folder}/cache"),
                ],
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(done.stdout + done.stderr)
            print(out.read_text(encoding="utf-8"), end="", flush=True)


if __name__ == "__main__":
    main()
