"""The table of commands: one line each, loaded on demand, readable, with documented exit codes."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from pytest_kycquant.cli import exits
from pytest_kycquant.cli.commands import COMMANDS, Command
from pytest_kycquant.cli.main import main
from pytest_kycquant.errors import ModelError
from tests.cli.conftest import Kycquant

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "onnx", "onnxruntime", "scipy", "PIL", "pytest", "_pytest")


def test_a_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = ModuleType("mine", "Greet somebody.")

    def arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name")

    def run(given: argparse.Namespace) -> int:
        print(f"hello {given.name}")
        return exits.NEGATIVE

    mine.arguments, mine.run = arguments, run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mine", mine)
    monkeypatch.setitem(COMMANDS, "greet", Command("say hello", "mine"))  # type: ignore[arg-type]
    assert main(["greet", "Ada"]) == exits.NEGATIVE
    assert capsys.readouterr().out == "hello Ada\n"
    assert main(["greet", "--help"]) == exits.DONE
    assert "Greet somebody." in capsys.readouterr().out
    assert main(["--help"]) == exits.DONE
    assert "greet     say hello" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=str)
def test_help_fits_80_columns_and_names_the_exit_codes(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(words) == exits.DONE
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "exit codes: 0 done, 1 not possible or a negative answer, 2 wrong usage" in text


def test_every_command_is_in_the_manual() -> None:
    manual = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^## `kycquant (\w+)", manual, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=str)
def test_help_loads_nothing_heavy_and_no_other_command(words: list[str]) -> None:
    code = (
        "import sys; from pytest_kycquant.cli.main import main; code = main(sys.argv[1:]);"
        "print('LOADED', *sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert not loaded.intersection(HEAVY)
    mine = COMMANDS[words[0]].module if words[0] in COMMANDS else ""
    others = {command.module for command in COMMANDS.values()} - {mine}
    assert not loaded.intersection(others)


@pytest.mark.parametrize("words", [[], ["nope"], ["init"], ["plan", "face", "--people", "x"]])
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == exits.USAGE
    shown = capsys.readouterr()
    assert "usage: kycquant" in shown.out + shown.err


def test_options_cannot_be_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "face", "--peop", "300"]) == exits.USAGE
    assert "--peop" in capsys.readouterr().err


def test_an_error_is_one_line(kycquant: Kycquant) -> None:
    code, shown, error = kycquant("inspect", "absent.onnx")
    assert (code, shown) == (exits.NEGATIVE, "")
    assert error == "kycquant inspect: absent.onnx: does not exist; correct the path of the model\n"


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        (ModelError("m", "is wrong", "mend it"), exits.NEGATIVE, "m: is wrong; mend it"),
        (exits.UsageError("a", "and b contradict", "choose"), exits.USAGE, "and b contradict"),
        (KeyboardInterrupt(), exits.INTERRUPTED, "interrupted"),
    ],
    ids=["error", "usage", "interrupt"],
)
def test_exit_codes(
    raised: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(given: argparse.Namespace) -> int:
        raise raised

    monkeypatch.setattr("pytest_kycquant.cli.plan.run", run)
    assert main(["plan", "face", "--people", "3"]) == code
    assert text in capsys.readouterr().err


def test_module_and_script_are_the_same() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert scripts["scripts"] == {"kycquant": "pytest_kycquant.cli.main:main"}
    command = [sys.executable, "-m", "pytest_kycquant", "plan", "face", "--people", "300", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["decides"] is True


def test_a_reader_that_has_seen_enough_is_no_traceback() -> None:
    command = [sys.executable, "-m", "pytest_kycquant", "plan", "face", "--people", "300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
