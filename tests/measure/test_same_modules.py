"""A new process imports the user's modules from where this one has them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_kycquant.measure.memory import run_afresh
from pytest_kycquant.measure.same_modules import places

JOB = """
from {package} import helper

def job():
    def run():
        return helper.ANSWER
    return lambda: run
"""


def load(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a file under a name, as pytest does with ``--import-mode=importlib``."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("package", ["of_nobody.here", "json"])
def test_names_that_another_process_would_find_elsewhere_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """`json.tool` exists elsewhere, and `of_nobody` nowhere."""
    (tmp_path / "helper.py").write_text("ANSWER = 42\n")
    (tmp_path / "tool.py").write_text(JOB.format(package=package))
    if package != "json":
        parts = package.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
    owner = sys.modules[package] if package in sys.modules else importlib.import_module(package)
    helper = load(f"{package}.helper", tmp_path / "helper.py", monkeypatch)
    monkeypatch.setattr(owner, "helper", helper, raising=False)
    module = load(f"{package}.tool", tmp_path / "tool.py", monkeypatch)
    assert run_afresh(module.job, "it", "").told == 42


def test_only_modules_of_the_user_are_named() -> None:
    found = places()
    assert __name__ in found
    assert not {"pytest", "numpy", "json", "pytest_kycquant.files"} & found.keys()
