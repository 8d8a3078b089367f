"""Importing the statistics does not import scipy: pytest starts fast where nothing is gated."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("unwanted", ["scipy", "onnx", "onnxruntime"])
def test_import_is_light(unwanted):
    code = (
        "import sys, pytest_kycquant.statistics\n"
        f"sys.exit(any(name.split('.')[0] == {unwanted!r} for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
