"""The cache may be deleted at any time: a run goes on, or ends with one error of the cache."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.context.cache import Cache
from pytest_kycquant.runtimes import ort
from tests.worlds.population import Run, write_project
from tests.worlds.processes import PYTEST


@pytest.fixture
def shared_cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def verdicts(output: str) -> dict[str, str]:
    return dict(re.findall(r"::(test_\w+\[\w+\]) (\w+)", output))


def one_error_of_the_cache(output: str) -> bool:
    """Whether everything that went wrong is explained by one error, without a traceback."""
    explained = re.findall(r"^/\S+: (.*(?:deleted|cache).*); .*$", output, re.MULTILINE)
    return bool(explained) and "Error: " not in output.replace("CacheError: ", "")


@pytest.mark.parametrize("when", ["before", "after"])
def test_at_every_use(
    pytester: pytest.Pytester,
    run: Run,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    write_project(pytester.path)
    run("--kycquant-update-golden", "-k", "test_size").assert_outcomes(passed=1)
    clean = verdicts(run("-v").stdout.str())
    assert len(clean) == 6
    honest = {name: getattr(Cache, name) for name in ("load", "once")}
    for moment in (0, 2, 5, 9) if when == "before" else (1, 4, 8):
        uses = itertools.count()

        def deleting(name: str, moment: int = moment, uses: Any = uses) -> Callable[..., Any]:
            def call(self: Cache, *given: Any) -> Any:
                now = next(uses) == moment
                if now and when == "before":
                    shutil.rmtree(shared_cache)
                found = honest[name](self, *given)
                if now and when == "after":
                    shutil.rmtree(shared_cache)
                return found

            return call

        for name in honest:
            monkeypatch.setattr(Cache, name, deleting(name))
        output = run("-v").stdout.str()
        for name, method in honest.items():
            monkeypatch.setattr(Cache, name, method)
        assert verdicts(output) == clean or one_error_of_the_cache(output), output
    assert verdicts(run("-v").stdout.str()) == clean


def test_while_a_model_is_opened(
    pytester: pytest.Pytester, run: Run, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the variant is gone when its session is opened: that is not the model's fault."""
    write_project(pytester.path)
    run("--kycquant-update-golden", "-k", "test_size").assert_outcomes(passed=1)
    honest = ort.open_session
    opened = itertools.count()

    def opening(model: Any, *given: Any, **options: Any) -> Any:
        if next(opened) == 1:
            shutil.rmtree(shared_cache, ignore_errors=True)
        return honest(model, *given, **options)

    monkeypatch.setattr(ort, "open_session", opening)
    output = run("-v").stdout.str()
    assert next(opened) > 2
    assert "PASSED" in output or one_error_of_the_cache(output), output


def test_with_two_workers(pytester: pytest.Pytester, tmp_path: Path) -> None:
    """It is deleted again and again while two workers fill it."""
    write_project(pytester.path, precisions='"fp16"')
    cache = tmp_path / "cache"
    command = [*PYTEST, "-v", "-n", "2", f"--kycquant-cache={cache}"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    options: dict[str, Any] = {"capture_output": True, "text": True, "env": environment}
    recorded = subprocess.run([*command, "--kycquant-update-golden"], cwd=pytester.path, **options)
    assert "6 passed" in recorded.stdout, recorded.stdout
    stop = threading.Event()

    def delete() -> None:
        while not stop.wait(1.0):
            shutil.rmtree(cache, ignore_errors=True)
            time.sleep(0.2)

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        done = subprocess.run(command, cwd=pytester.path, timeout=300, **options)
    finally:
        stop.set()
        thread.join()
    assert "6 passed" in done.stdout or one_error_of_the_cache(done.stdout), done.stdout
    assert "INTERNALERROR" not in done.stdout + done.stderr
    shutil.rmtree(cache, ignore_errors=True)
    again = subprocess.run(command, cwd=pytester.path, **options)
    assert "6 passed" in again.stdout, again.stdout
