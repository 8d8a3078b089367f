"""Fixtures: projects to run gates in, and a cache that their tests build once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# pytester unloads what an inner run imports. Some modules cannot be imported a second time; others
# take most of the time of a run: the summary of hypothesis's plugin loads all of hypothesis.
import filelock  # noqa: F401
import hypothesis.strategies  # noqa: F401
import numpy  # noqa: F401
import onnx  # noqa: F401
import onnxruntime  # noqa: F401
import pytest
import scipy.special  # noqa: F401
import tabulate  # noqa: F401
from onnxruntime import quantization, transformers  # noqa: F401
from PIL import Image  # noqa: F401

import pytest_kycquant.bench.judge
import pytest_kycquant.bench.ladder
import pytest_kycquant.pipeline.run
import pytest_kycquant.plugin.gate_run
import pytest_kycquant.report.terminal
import pytest_kycquant.tasks.custom.agreement
import pytest_kycquant.tasks.detection.agreement
import pytest_kycquant.tasks.face.agreement
import pytest_kycquant.tasks.liveness.agreement  # noqa: F401
from pytest_kycquant.bench.better_preprocessing import refuse_worse
from pytest_kycquant.bench.variants import Variants
from pytest_kycquant.context.cache import digest_of
from pytest_kycquant.measure.latency import Latency
from pytest_kycquant.runtimes.environment import describe_machine
from tests.worlds.ci import environment_outside_ci
from tests.worlds.documents import write_document_project
from tests.worlds.pipelines import write_gate, write_pipeline
from tests.worlds.population import Run, write_project
from tests.worlds.presentations import write_liveness_project
from tests.worlds.processes import PYTEST


@pytest.fixture
def rewrite_ratio(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Latency ratio of every rewrite of a graph, in place of a measurement; [0] may be changed.

    On graphs as small as those of the tests, timing would decide at random.
    """
    ratio = [1.2]
    monkeypatch.setattr("pytest_kycquant.quantize.rewrite_choice._race", steady_race(ratio))
    return ratio


def steady_race(ratio: list[float]) -> Callable[..., Latency]:
    """A race that nobody runs: its result is `ratio[0]`."""

    def race(before: object, after: object, tensor: object, runtime: object) -> Latency:
        return Latency(ratio[0], ratio[0] - 0.01, ratio[0] + 0.01, 1.0, 20, 1, 1, 1, 1, None)

    return race


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests that do not test the cache."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def measured_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for runs in processes of their own.

    No fixture reaches them, so they measure rewrites. In `shared_cache`, what they find would
    decide in other tests.
    """
    return tmp_path_factory.mktemp("measured")


@pytest.fixture
def run(
    pytester: pytest.Pytester,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    rewrite_ratio: list[float],
) -> Run:
    """Run pytest in the test's folder with the shared cache."""
    # Bytecode is matched with its source by size and whole seconds: an edit could go unnoticed.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # Tests look for whole lines, however wide the terminal is that they are started in.
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr("pytest_kycquant.plugin.candidate.LEAST_WIDTH", 400)
    # A look at the clock needs no millisecond where the limit is far away.
    monkeypatch.setattr("pytest_kycquant.measure.latency._SHORTEST", 100_000)
    monkeypatch.setattr("pytest_kycquant.bench.baseline.refuse_worse", _look_once)

    def runner(*arguments: str) -> pytest.RunResult:
        # The inner run must not inherit the rule that warnings are errors in these tests.
        options = ["-Wdefault", f"--kycquant-cache={shared_cache}"]
        # Workers would load hypothesis for a summary of its own.
        workers = any(argument.startswith("-n") for argument in arguments)
        plugins = ["-p", "no:hypothesispytest", "-p", "tests.worlds.steady"] if workers else []
        return pytester.runpytest_inprocess(*options, *plugins, *arguments)

    return runner


_RECORDED: dict[str, bytes] = {}
"""Goldens by the digest of the project that they were recorded for."""


def record(root: Path, run: Run, name: str) -> None:
    """Record the golden of a project; one that was recorded before for the same files is copied."""
    golden = root / "golden" / f"{name}.json"
    state = hashlib.sha256(describe_machine().encode())
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        state.update(f"{path.relative_to(root)} {path.stat().st_size} ".encode())
        state.update(path.read_bytes())
    if state.hexdigest() in _RECORDED:
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(_RECORDED[state.hexdigest()])
        return
    result = run("--kycquant-update-golden", "-q", "-k", "test_size")
    assert golden.is_file(), result.stdout.str()
    _RECORDED[state.hexdigest()] = golden.read_bytes()


_LOOKED_AT: dict[str, str] = {}
"""What the comparison with other preprocessings found, by what it depends on."""


def _look_once(variants: Variants, path: Path) -> str:
    """Compare the preprocessing of the same model and data with others once for all tests."""
    facts = [variants.model_facts(), variants.input_facts(), variants.data.digests]
    key = digest_of([*facts, variants.task.policy()])
    if key not in _LOOKED_AT:
        _LOOKED_AT[key] = refuse_worse(variants, path)
    return _LOOKED_AT[key]


@pytest.fixture
def project(pytester: pytest.Pytester, run: Run) -> Callable[..., None]:
    """Write a project with a gate file and, by default, record its golden."""

    def write(*, golden: bool = True, **options: object) -> None:
        write_project(pytester.path, **options)  # type: ignore[arg-type]
        if golden:
            record(pytester.path, run, "face")

    return write


@pytest.fixture
def liveness_project(pytester: pytest.Pytester, run: Run) -> Callable[..., None]:
    """Write a project with a liveness gate and, by default, record its golden."""

    def write(*, golden: bool = True, **options: object) -> None:
        write_liveness_project(pytester.path, **options)  # type: ignore[arg-type]
        if golden:
            record(pytester.path, run, "liveness")

    return write


@pytest.fixture
def document_project(pytester: pytest.Pytester, run: Run) -> Callable[..., None]:
    """Write a project with a custom gate and, by default, record its golden."""

    def write(*, golden: bool = True, **options: object) -> None:
        write_document_project(pytester.path, **options)  # type: ignore[arg-type]
        if golden:
            record(pytester.path, run, "document")

    return write


@pytest.fixture(scope="session")
def pipeline_world(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """Three models with their data, gates and goldens, and a pipeline; do not write there."""
    root = tmp_path_factory.mktemp("pipeline")
    write_pipeline(root)
    (root / "pytest.ini").touch()
    command = [
        *PYTEST, "-q", "-k", "complete", "--kycquant-update-golden",
        f"--kycquant-cache={shared_cache}",
    ]  # fmt: skip
    result = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env=environment_outside_ci()
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    return root


@pytest.fixture(scope="session")
def applicants_world(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """The same three models with applicants, to whom INT8 of the liveness model is of no use."""
    root = tmp_path_factory.mktemp("applicants")
    write_pipeline(root, precisions='"int8-weights"', liveness='"int8"', people=300)
    (root / "pytest.ini").touch()
    command = [
        *PYTEST, "-q", "-k", "complete", "--kycquant-update-golden",
        f"--kycquant-cache={shared_cache}",
    ]  # fmt: skip
    result = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env=environment_outside_ci()
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    return root


@pytest.fixture
def applicants_project(pytester: pytest.Pytester, applicants_world: Path) -> Callable[..., Path]:
    """Copy that world and write a gate file with additional lines in its class."""
    return _copied(pytester, applicants_world)


@pytest.fixture
def pipeline_project(pytester: pytest.Pytester, pipeline_world: Path) -> Callable[..., Path]:
    """Copy that world and write a gate file with additional lines in its class."""
    return _copied(pytester, pipeline_world)


def _copied(pytester: pytest.Pytester, world: Path) -> Callable[..., Path]:
    def write(body: str = "") -> Path:
        ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
        shutil.copytree(world, pytester.path, dirs_exist_ok=True, ignore=ignored)
        write_gate(pytester.path, body)
        return pytester.path

    return write
