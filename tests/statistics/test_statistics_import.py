"""Tests of statistics load no model libraries, so they start at once."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("onnx", "onnxruntime", "PIL", "pandas", "sklearn", "statsmodels")
COLLECT = """
import sys
import pytest

class Watch:
    def pytest_unconfigure(self):
        print("LOADED:", [name for name in {heavy!r} if name in sys.modules])

code = pytest.main(["--collect-only", "-q", "tests/statistics"], plugins=[Watch()])
print("CODE:", int(code))
"""


@pytest.mark.parametrize("unwanted", ["onnx", "onnxruntime", "PIL", "scipy"])
def test_statistics_need_no_model_and_scipy_late(unwanted):
    code = (
        "import sys, pytest_kycquant.statistics;"
        f"sys.exit(any(name.split('.')[0] == {unwanted!r} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_collecting_the_tests_of_statistics_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", COLLECT.format(heavy=HEAVY)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "LOADED: []" in done.stdout, done.stdout[-2000:] + done.stderr
    assert "CODE: 0" in done.stdout
