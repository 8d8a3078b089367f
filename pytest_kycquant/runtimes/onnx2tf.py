"""The environment of onnx2tf, which converts ONNX files to LiteRT, and the command that makes it.

::

    python -m pytest_kycquant.runtimes.onnx2tf

onnx2tf pins numpy, onnx, onnxruntime and others, and wants another Python than this package. So it
lives in an environment of its own, in a folder of the user's that gates never write: only this
command installs anything.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import KycquantError, ModelError, RuntimeUnavailableError
from ..files import temporary_folder

VERSION = "2.6.9"
COMMAND = "python -m pytest_kycquant.runtimes.onnx2tf"
_OLDEST = (3, 12)
_WHERE = "conversion to LiteRT"
_INSTEAD = 'give the converted file: KycModel(litert="model.tflite")'
_READY = "ready.json"  # written last: an environment without it is not used
_NAMES = ("python3.12", "python3.13", "python3.14", "python3")
_ASK = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
_SECONDS = 900.0  # for one conversion; those of KYC models take a few


class Converted(NamedTuple):
    """What onnx2tf makes of an ONNX file.

    Args:
        content: the float ``.tflite`` file.
        report: its report of which tensor stands for which, as JSON.
    """

    content: bytes
    report: bytes


def folder() -> Path:
    """The folder of the environment, below ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        RuntimeUnavailableError: this user has no such folder.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise RuntimeUnavailableError(
            _WHERE, "this user has no home folder", "set XDG_CACHE_HOME to an absolute path"
        ) from error
    return root / "pytest-kycquant" / f"onnx2tf-{VERSION}"


def version_there() -> str:
    """Version of onnx2tf in the environment.

    Raises:
        RuntimeUnavailableError: there is no whole environment.
    """
    _python()
    return VERSION


def convert(content: bytes, name: str) -> Converted:
    """Convert an ONNX model whose inputs have fixed shapes. The same model gives the same file.

    Args:
        content: the ONNX model.
        name: the model, for messages.

    Raises:
        RuntimeUnavailableError: there is no environment with onnx2tf.
        ModelError: onnx2tf cannot convert the model.
    """
    python = _python()
    with temporary_folder() as work:
        (work / "model.onnx").write_bytes(content)
        # -nuo: onnx-simplifier is not asked for; the graph is prepared here already.
        options = ["-i", "model.onnx", "-o", "out", "-tb", "flatbuffer_direct", "-nuo"]
        start = [str(python), "-I", "-m", "onnx2tf", *options]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        try:
            done = subprocess.run(
                start, cwd=work, capture_output=True, text=True, errors="replace",
                timeout=_SECONDS, env=environment, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise _unconverted(name, f"took more than {_SECONDS:g} s") from None
        except OSError as error:
            raise _unconverted(name, f"cannot be started ({error.strerror})") from error
        made = work / "out" / "model_float32.tflite"
        report = work / "out" / "model_tensor_correspondence_report.json"
        if done.returncode or not made.is_file() or not report.is_file():
            said = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
            last = next((line for line in reversed(said) if line), "it says nothing")
            raise _unconverted(name, f"fails: {last[-300:]}")
        return Converted(made.read_bytes(), report.read_bytes())


def _unconverted(name: str, problem: str) -> ModelError:
    return ModelError(
        name, f"onnx2tf {VERSION} {problem}", f"convert it by other means, and {_INSTEAD}"
    )


def _python() -> Path:
    """The interpreter of the environment."""
    home = folder()
    if not _ready(home):
        raise RuntimeUnavailableError(
            _WHERE, f"there is no environment with onnx2tf {VERSION}",
            f"run: {COMMAND}, or {_INSTEAD}",
        )  # fmt: skip
    if problem := _objection(home):
        raise RuntimeUnavailableError(home, problem, f"delete it and run: {COMMAND}")
    return home / "bin" / "python"


def _ready(home: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads((home / _READY).read_bytes())
        return facts == {"onnx2tf": VERSION} and (home / "bin" / "python").exists()
    return False


def _objection(home: Path) -> str:
    """Why an environment is not used: whoever can write it decides verdicts."""
    for path in (home, home.parent):
        found = path.stat()
        if hasattr(os, "getuid") and found.st_uid != os.getuid():
            return f"{path} belongs to another user"
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"others can write {path}"
    return ""


def make() -> Path:
    """Make the environment, unless it is there. A process that is killed leaves none.

    Raises:
        RuntimeUnavailableError: no suitable Python is found, or the installation fails.
    """
    import filelock

    home = folder()
    try:
        home.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with filelock.FileLock(home.parent / f"{home.name}.lock"):
            return _made(home)
    except OSError as error:
        raise RuntimeUnavailableError(
            home, f"cannot be written ({error.strerror})", "set XDG_CACHE_HOME to another folder"
        ) from error


def _made(home: Path) -> Path:
    if _ready(home):
        return home
    for left in home.parent.glob(f"partial-{home.name}-*"):  # by killed processes
        shutil.rmtree(left, ignore_errors=True)
    python = find_python()
    partial = home.parent / f"partial-{home.name}-{os.urandom(4).hex()}"
    try:
        _step([python, "-m", "venv", str(partial)], "a virtual environment cannot be made")
        inside = str(partial / "bin" / "python")
        install = ["install", "--no-input", "--disable-pip-version-check", "--quiet"]
        _step([inside, "-m", "pip", *install, f"onnx2tf=={VERSION}"], "pip cannot install onnx2tf")
        _step([inside, "-I", "-c", "import onnx2tf"], "onnx2tf was installed but cannot be used")
        partial.chmod(0o700)
        (partial / _READY).write_text(json.dumps({"onnx2tf": VERSION}), encoding="utf-8")
        if home.exists():  # an environment that is not whole, such as one whose Python is gone
            shutil.rmtree(home)
        partial.rename(home)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return home


def find_python() -> str:
    """Path of the first Python that can run onnx2tf.

    Raises:
        RuntimeUnavailableError: there is none.
    """
    for candidate in _candidates():
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            found = subprocess.run(
                [candidate, "-I", "-c", _ASK], capture_output=True, text=True, timeout=60,
                check=True,
            )  # fmt: skip
            if tuple(map(int, found.stdout.split())) >= _OLDEST:
                return candidate
    oldest = ".".join(map(str, _OLDEST))
    raise RuntimeUnavailableError(
        _WHERE, f"onnx2tf {VERSION} needs Python {oldest} or later with venv, and none was found",
        f"install Python {oldest}, or {_INSTEAD}",
    )  # fmt: skip


def _candidates() -> Iterator[str]:
    yield sys.executable
    yield from filter(None, map(shutil.which, _NAMES))
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")  # noqa: PTH111
    yield from sorted(glob.glob(f"{glob.escape(root)}/versions/3.1[2-9]*/bin/python"))  # noqa: PTH207


def _step(command: Sequence[str], problem: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    if done.returncode:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        reason = " / ".join(said[-2:])[:400] or f"status {done.returncode}"
        raise RuntimeUnavailableError(
            _WHERE, f"{problem} ({reason})", f"check the network and try again, or {_INSTEAD}"
        )


def main() -> int:
    """Make the environment and say where it is."""
    print(f"making an environment with onnx2tf {VERSION}, which takes about 700 MB", flush=True)
    try:
        print(f"ready: {make()}")
    except KycquantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
