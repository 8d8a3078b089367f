"""A test suite without gates does not pay for Pillow."""

import subprocess
import sys


def test_importing_the_data_modules_does_not_import_pillow() -> None:
    code = (
        "import importlib, pkgutil, sys, pytest_kycquant.data as data\n"
        "names = [module.name for module in pkgutil.iter_modules(data.__path__)]\n"
        "[importlib.import_module('pytest_kycquant.data.' + name) for name in names]\n"
        "assert len(names) > 5, names\n"
        "assert 'PIL' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
