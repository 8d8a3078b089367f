"""What the repository says about itself is true."""

import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from pytest_kycquant import (
    AgreementGates,
    CustomGates,
    CustomTask,
    DetectionGates,
    DetectionLimits,
    FaceGates,
    FaceLimits,
    FaceVerification,
    LivenessDetection,
    LivenessGates,
    LivenessLimits,
    ObjectDetection,
)
from pytest_kycquant.spec.gates import GateSpec
from pytest_kycquant.spec.runtime import RUNTIMES

ROOT = Path(__file__).parents[2]


def test_ci_runs_the_commands_of_the_readme() -> None:
    lines = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    commands = [line.split("#")[0].rstrip() for line in lines]
    assert len(commands) == 2
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    # Without the exit, a line whose first part fails would not fail the script.
    assert all(f"{command} || exit 1" in script for command in commands)


def test_extras_install_what_runtimes_ask_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name, line in RUNTIMES.items():
        declared = extras[line.extra] if line.extra else project["dependencies"]
        found = {Requirement(each).name: Requirement(each).specifier for each in declared}
        for package, oldest in line.packages.items():
            assert str(found[package]).removeprefix(">=") == oldest, (name, package)


@pytest.mark.parametrize(
    ("package", "environment"),
    [("openvino", "runtimes"), ("litert_quantizer", "runtimes"), ("torch", "torch")],
)
def test_what_is_skipped_without_a_runtime_runs_where_it_is(package: str, environment: str) -> None:
    """A test that every environment skips tests nothing."""
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    commands = config[f"testenv:{environment}"]["commands"].split()
    named = [Path(word.strip("{}\\").removeprefix("posargs:")) for word in commands]
    skipped = [
        path.relative_to(ROOT)
        for path in (ROOT / "tests").rglob("test_*.py")
        if f'importorskip("{package}' in path.read_text()
    ]
    elsewhere = [  # the environments "real" and "train"
        path for path in skipped if path.parts[1] == "real" or "test_training" in path.name
    ]
    missing = [
        str(path)
        for path in skipped
        if path not in elsewhere and not {path, *path.parents}.intersection(named)
    ]
    assert skipped
    assert not missing


@pytest.mark.parametrize(
    "page",
    [
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
        "models/README.md",
        *(p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").rglob("*.md"))),
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_every_option_is_documented() -> None:
    options = re.findall(
        r'"(--kycquant-[a-z-]+)"', Path(ROOT / "pytest_kycquant/spec/flags.py").read_text()
    )
    text = (ROOT / "docs" / "running.md").read_text()
    assert len(options) >= 8
    assert not [option for option in options if option not in text]


PAGES = {
    "custom.md": (CustomGates, CustomTask),
    "detection.md": (DetectionGates, ObjectDetection),
    "face.md": (FaceGates, FaceVerification),
    "liveness.md": (LivenessGates, LivenessDetection),
}


@pytest.mark.parametrize("page", PAGES)
def test_every_limit_and_every_option_of_a_task_is_documented(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    task = PAGES[page][1]
    limits = [name for name in task.limits.__dataclass_fields__ if f"{name}`" not in text]
    options = [f.name for f in fields(task) if not re.search(rf"\b{f.name}\b", text)]
    assert not limits
    assert not options


GATE_FILES = {**PAGES, "agreement.md": (AgreementGates, FaceVerification)}


@pytest.mark.parametrize("page", GATE_FILES)
def test_gate_file_of_a_page_can_be_copied(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    block = re.search(r"```python\n(from .*?)```", text, re.DOTALL)
    assert block is not None
    names: dict[str, object] = {"__name__": "gate_file"}
    exec(block[1], names)
    classes = [v for v in names.values() if isinstance(v, type)]
    (gates,) = [v for v in classes if v.__module__ == "gate_file"]
    assert issubclass(gates, GATE_FILES[page][0])
    spec = GateSpec.of(gates.values(), page)
    assert isinstance(spec.model.task, GATE_FILES[page][1])
    assert all(callable(getattr(gates, f"test_{gate}")) for gate in spec.model.task.gates())


def test_other_tasks_without_labels_can_be_copied() -> None:
    text = (ROOT / "docs" / "agreement.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks[1:]:
        exec(block, names)
    for name in ("documents", "heads"):
        own = names[name]
        assert isinstance(own, CustomTask)
        own.check_limits(names["limits"])  # type: ignore[arg-type]
    first, other = np.zeros((2, 4, 1)), np.array([[[0.5]], [[0.1]]])
    assert own.metric((first, other), (first, 0 * other)).tolist() == [True, False]
    for name, kind in (("captures", LivenessDetection), ("scenes", ObjectDetection)):
        task = names[name]
        assert isinstance(task, kind)
        assert task.gates() == ("finite", "agreement", "latency", "size")


def test_every_limit_of_agreement_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "agreement.md").read_text()
    for limits, shown in (
        (FaceLimits(), {"flips": ".05 %", "mean_cosine": ".99", "p1_cosine": ".97"}),
        (LivenessLimits(), {"flips": "2 %", "score_drift": ".03", "fp16_max_drift": ".01"}),
        (DetectionLimits(), {"agreement": "98 %", "overlap": ".85", "fp16_overlap": ".95"}),
    ):
        for name, value in shown.items():
            assert re.search(rf"`{name}`(,)? \(?{re.escape(value)}", text), name
            number = float(value.rstrip(" %")) / (100 if "%" in value else 1)
            assert getattr(limits, name) == number


WITHOUT_THE_EXTRA = """
import sys

EXTRA = {"hypothesis", "cv2", "pycocotools", "sklearn", "statsmodels"}


class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in EXTRA:
            raise ModuleNotFoundError(f"No module named {name!r}")


sys.meta_path.insert(0, Absent)
import pytest

options = ["--collect-only", "-q", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
sys.exit(pytest.main(["tests/gates", *options]))
"""


def test_the_gates_need_no_package_of_the_tests() -> None:
    """Their environment has none of the extra `test`, and loads what is above their folder, too."""
    command = [sys.executable, "-c", WITHOUT_THE_EXTRA]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
