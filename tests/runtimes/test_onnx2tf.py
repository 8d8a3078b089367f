"""The environment of onnx2tf: made whole or not at all, by the command and by nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.errors import ModelError, RuntimeUnavailableError
from pytest_kycquant.runtimes import onnx2tf


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the environment belongs: nothing is there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return onnx2tf.folder()


class Steps:
    """Stands in for `subprocess.run`: makes what venv makes, and fails where it is told to."""

    def __init__(self, fails: str = "", says: str = "", killed: str = "") -> None:
        self.fails, self.says, self.killed = fails, says, killed
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str], **options: Any) -> Any:
        self.commands.append(list(command))
        line = " ".join(command)
        if self.killed and self.killed in line:
            raise KeyboardInterrupt
        if onnx2tf._ASK in line:
            return subprocess.CompletedProcess(command, 0, "3 12\n", "")
        if " -m venv " in line:
            target = Path(command[-1])
            (target / "bin").mkdir(parents=True)
            (target / "bin" / "python").symlink_to(sys.executable)
        if self.fails and self.fails in line:
            return subprocess.CompletedProcess(command, 1, "", self.says)
        return subprocess.CompletedProcess(command, 0, "", "")


def faked(monkeypatch: pytest.MonkeyPatch, **options: str) -> Steps:
    steps = Steps(**options)
    monkeypatch.setattr(onnx2tf.subprocess, "run", steps)
    return steps


def test_where_it_is(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home == tmp_path / "cache" / "pytest-kycquant" / "onnx2tf-2.6.9"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert onnx2tf.folder() == tmp_path / ".cache" / "pytest-kycquant" / "onnx2tf-2.6.9"


def test_without_it_nothing_is_installed_and_the_command_is_named(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    steps = faked(monkeypatch)
    with pytest.raises(RuntimeUnavailableError) as raised:
        onnx2tf.convert(b"", "face")
    assert "run: python -m pytest_kycquant.runtimes.onnx2tf" in str(raised.value)
    assert 'KycModel(litert="model.tflite")' in str(raised.value)
    assert not steps.commands
    assert not home.parent.exists()


def test_it_is_made_whole(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    steps = faked(monkeypatch)
    assert onnx2tf.make() == home
    assert (home / "bin" / "python").exists()
    assert any("onnx2tf==2.6.9" in command for command in steps.commands)
    assert home.stat().st_mode & 0o077 == 0
    count = len(steps.commands)
    assert onnx2tf.make() == home  # it is there
    assert len(steps.commands) == count


def test_pip_fails(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch, fails=" pip ", says="\nERROR: No matching distribution found for onnx2tf\n")
    with pytest.raises(RuntimeUnavailableError) as raised:
        onnx2tf.make()
    assert "pip cannot install onnx2tf (ERROR: No matching distribution" in str(raised.value)
    assert "check the network" in str(raised.value)
    assert not home.exists()
    assert not list(home.parent.glob("partial-*"))
    assert onnx2tf.main() == 1
    assert "error: conversion to LiteRT: pip cannot" in capsys.readouterr().err


@pytest.mark.parametrize("step", [" -m venv ", " pip ", "import onnx2tf"])
def test_killed_halfway(monkeypatch: pytest.MonkeyPatch, home: Path, step: str) -> None:
    faked(monkeypatch, killed=step)
    monkeypatch.setattr(onnx2tf.shutil, "rmtree", lambda *_, **__: None)  # killed: no tidying up
    with pytest.raises(KeyboardInterrupt):
        onnx2tf.make()
    assert not home.exists()
    with pytest.raises(RuntimeUnavailableError, match="there is no environment"):
        onnx2tf.version_there()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(home.parent.parent))
    faked(monkeypatch)
    assert onnx2tf.make() == home
    assert not list(home.parent.glob("partial-*"))
    assert onnx2tf.version_there() == "2.6.9"


def test_an_environment_whose_python_is_gone_is_made_again(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    faked(monkeypatch)
    onnx2tf.make()
    (home / "bin" / "python").unlink()
    (home / "bin" / "python").symlink_to("/nowhere/python")
    with pytest.raises(RuntimeUnavailableError, match="there is no environment"):
        onnx2tf.version_there()
    assert onnx2tf.make() == home
    assert onnx2tf.version_there() == "2.6.9"


def test_no_suitable_python(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def old(command: Sequence[str], **options: Any) -> Any:
        return subprocess.CompletedProcess(command, 0, "3 11\n", "")

    monkeypatch.setattr(onnx2tf.subprocess, "run", old)
    with pytest.raises(RuntimeUnavailableError) as raised:
        onnx2tf.make()
    assert "needs Python 3.12 or later with venv, and none was found" in str(raised.value)
    assert "KycModel(litert=" in str(raised.value)
    assert not home.exists()


def test_the_first_that_can_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {"broken": OSError(), "old": "3 11", "good": "3 13", "better": "3 14"}

    def ask(command: Sequence[str], **options: Any) -> Any:
        answer = answers[command[0]]
        if isinstance(answer, OSError):
            raise answer
        return subprocess.CompletedProcess(command, 0, answer, "")

    monkeypatch.setattr(onnx2tf, "_candidates", lambda: iter(answers))
    monkeypatch.setattr(onnx2tf.subprocess, "run", ask)
    assert onnx2tf.find_python() == "good"


def test_versions_of_pyenv_are_candidates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version in ("3.11.2", "3.12.1"):
        (tmp_path / "versions" / version / "bin").mkdir(parents=True)
        (tmp_path / "versions" / version / "bin" / "python").touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    found = list(onnx2tf._candidates())
    assert found == [sys.executable, str(tmp_path / "versions" / "3.12.1" / "bin" / "python")]


def test_what_others_can_write_is_not_used(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    faked(monkeypatch)
    onnx2tf.make()
    home.chmod(0o777)
    with pytest.raises(RuntimeUnavailableError, match=r"others can write .*; delete it and"):
        onnx2tf.version_there()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys; sys.exit('NotImplementedError: Op LSTM')", "fails: NotImplementedError: Op"),
        ("pass", "onnx2tf 2.6.9 fails: it says nothing"),
        ("import time; time.sleep(60)", "took more than 0.5 s"),
    ],
)
def test_onnx2tf_fails(
    monkeypatch: pytest.MonkeyPatch, home: Path, script: str, message: str
) -> None:
    (home / "bin").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    home.parent.chmod(0o700)
    fake = home / "bin" / "python"
    fake.write_text(f"#!{sys.executable}\n{script}\n")
    fake.chmod(0o700)
    (home / "ready.json").write_text(json.dumps({"onnx2tf": "2.6.9"}))
    monkeypatch.setattr(onnx2tf, "_SECONDS", 0.5 if "sleep" in script else 60)
    with pytest.raises(ModelError, match=rf"^face: .*{message}.*convert it by other means"):
        onnx2tf.convert(b"", "face")
