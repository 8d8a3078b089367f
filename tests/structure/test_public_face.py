"""The public names: all exist, are loaded when used, and are known to type checkers."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import pytest_kycquant


@pytest.mark.parametrize("name", pytest_kycquant.__all__)
def test_every_name_is_what_it_says(name: str) -> None:
    found = getattr(pytest_kycquant, name)
    if isinstance(found, ModuleType):
        assert found.__name__ == "pytest_kycquant.spec.presets"
    else:
        assert found.__name__ == name
        assert found.__module__ == f"pytest_kycquant.{pytest_kycquant._HOMES[name]}"


def test_tables_agree_with_what_type_checkers_see() -> None:
    assert sorted(pytest_kycquant.__all__) == pytest_kycquant.__all__
    # What is called outside of gate files; a star import would load it.
    called = ["outlook", "quantize"]
    assert list(pytest_kycquant._HOMES) == [*pytest_kycquant.__all__, *called]
    tree = ast.parse(Path(pytest_kycquant.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: f"{node.module}.presets" if alias.name == "presets" else node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {**pytest_kycquant._HOMES, "quantize": "quantize.front_door"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FaceGate", "has no attribute 'FaceGate'; did you mean 'FaceGates'?"),
        ("preset", "has no attribute 'preset'; did you mean 'presets'?"),
        ("qwertz", "module 'pytest_kycquant' has no attribute 'qwertz'"),
        ("_private", "module 'pytest_kycquant' has no attribute '_private'"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(AttributeError) as raised:
        getattr(pytest_kycquant, name)
    assert str(raised.value).endswith(message)


def test_names_are_listed() -> None:
    assert set(pytest_kycquant.__all__) <= set(dir(pytest_kycquant))
    assert "__file__" in dir(pytest_kycquant)


def loads(code: str) -> set[str]:
    """Return the modules of the package that a program loads in a new interpreter."""
    listing = "import sys; print(*[m for m in sys.modules if m.startswith('pytest_kycquant.')])"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{listing}"], capture_output=True, text=True, check=True
    )
    return {name.removeprefix("pytest_kycquant.") for name in result.stdout.split()}


def test_the_package_alone_loads_nothing() -> None:
    assert loads("import pytest_kycquant; dir(pytest_kycquant)") == set()


def test_a_name_loads_what_it_needs() -> None:
    found = loads("from pytest_kycquant import Recipe, KycModel, presets")
    assert {"spec.recipe", "spec.model", "spec.presets"} <= found
    assert not {name for name in found if name.startswith("plugin")}


def test_star() -> None:
    assert "plugin.pipeline_gates" in loads("from pytest_kycquant import *; PipelineGates; presets")


USER = """
from pytest_kycquant import *
from pytest_kycquant import FaceGates, KycModel as Model, presets

class TestIt(FaceGates):
    model = presets.arcface("m.onnx", "faces")

reveal_type(TestIt.model)
reveal_type(Model)
reveal_type(Verdict.PASS)
FaceGate
"""
TYPO = "from pytest_kycquant import FaceGate\n"


def test_type_checkers_know_the_names(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    files = [tmp_path / "user.py", tmp_path / "typo.py"]
    for file, text in zip(files, (USER, TYPO), strict=True):
        file.write_text(text)
    arguments = ["--strict", "--config-file=", f"--cache-dir={tmp_path}", *map(str, files)]
    output, _, _ = api.run(arguments)
    assert 'is "pytest_kycquant.spec.model.KycModel"' in output, output
    assert "-> pytest_kycquant.spec.model.KycModel" in output
    assert "pytest_kycquant.verdicts.Verdict" in output
    errors = [line for line in output.splitlines() if "error:" in line]
    assert len(errors) == 2, output
    assert 'Name "FaceGate" is not defined' in output
    assert 'Module "pytest_kycquant" has no attribute "FaceGate"' in output


def test_onnxruntime_reports_nothing_to_its_maker(tmp_path: Path) -> None:
    """Its telemetry starts when it is imported, and keeps a file in the user's home."""
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY")}
    command = [sys.executable, "-c", "import pytest_kycquant, onnxruntime"]
    subprocess.run(command, env=environment | {"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []
