import subprocess
import sys
from pathlib import Path


def test_importing_the_package_imports_neither_onnx_nor_onnxruntime():
    code = (
        "import sys, pytest_kycquant.quantize, pytest_kycquant.runtimes.ort;"
        "print(sorted({'onnx', 'onnxruntime', 'google.protobuf'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
