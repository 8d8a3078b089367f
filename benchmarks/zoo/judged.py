"""What the gates said about each variant of a case, beside the truth."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from .case import DAMAGED, GATES, PRECISIONS, Case
from .truth import HARMLESS, RUINED, error

_ROOT = Path(__file__).resolve().parent.parent.parent
_OPTIONS = ("--kycquant-update-golden", "--kycquant-cache=cache", "--kycquant-report=report.json")
# Python's header of a traceback, or a frame of ours in one that pytest shows.
_TRACEBACK = re.compile(r"Traceback \(most recent|^\S*pytest_kycquant/\S+:\d+: ", re.MULTILINE)
_TEST = re.compile(r"test_(\w+)\[(.+)\]")
_SIZE = "size"


@dataclass(frozen=True)
class Cell:
    """One variant.

    Args:
        verdict: PASS, FAIL, INCONCLUSIVE or ERROR.
        reason: the message of the first gate that does not pass.
        error: see `truth.error`; NaN if there is no variant.
        size: size of the file relative to FP32's; NaN if there is no variant.
    """

    verdict: str
    reason: str
    error: float = float("nan")
    size: float = float("nan")

    @property
    def wrong(self) -> bool:
        """Whether the truth contradicts the verdict."""
        if self.verdict == "PASS":
            return not self.error <= RUINED
        return self.verdict == "FAIL" and self.error < HARMLESS


@dataclass(frozen=True)
class Judged:
    """A case that was judged.

    Args:
        case: the case.
        cells: variants by precision.
        how: how FP32's outputs are read, as the report says it.
        refused: why the whole model was refused; "" if it was not.
        traceback: whether the plugin printed a traceback of its own, or the process crashed.
        seconds: how long it took.
        output: all that pytest printed.
    """

    case: Case
    cells: dict[str, Cell] = field(default_factory=dict)
    how: str = ""
    refused: str = ""
    traceback: bool = False
    seconds: float = 0.0
    output: str = ""

    @property
    def errors(self) -> list[str]:
        """The precisions that could not be judged."""
        return [name for name, cell in self.cells.items() if cell.verdict == "ERROR"]

    @property
    def wrong(self) -> list[str]:
        """The precisions with a wrong verdict; a damaged model must not pass."""
        found = [name for name, cell in self.cells.items() if cell.wrong]
        damaged = self.cells.get(DAMAGED)
        if damaged is not None and damaged.verdict == "PASS" and DAMAGED not in found:
            found.append(DAMAGED)
        return found


def judge(case: Case, root: Path) -> Judged:
    """Gate a case in an empty folder, as a user does: by a gate file and pytest."""
    case.project(root)
    tests = " or ".join((*GATES, _SIZE, "copy"))
    command = [sys.executable, "-m", "pytest", "test_gate.py", "-k", tests, *_OPTIONS]
    command += ["--junitxml=junit.xml", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    paths = (str(_ROOT), environment.get("PYTHONPATH", ""))
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    start = time.perf_counter()
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    seconds, output = time.perf_counter() - start, run.stdout + run.stderr
    crashed = run.returncode not in {int(code) for code in pytest.ExitCode}
    traceback = crashed or bool(_TRACEBACK.search(output))
    outcomes = _outcomes(root / "junit.xml")
    report = root / "report.json"
    gates = json.loads(report.read_text())["gates"] if report.is_file() else []
    variants = {one["variant"]: one for one in gates[0]["variants"]} if gates else {}
    if not variants:
        reasons = [reason for found in outcomes.values() for reason in found.values() if reason]
        ended = f"the process ended with {run.returncode}" if crashed else _last(output)
        refused = reasons[0] if reasons and not crashed else ended
        return Judged(case, {}, "", refused, traceback, seconds, output)
    inputs = _inputs(case, root)
    whole = variants["fp32"]["size"]
    cells = {
        name: _cell(case, root, outcomes.get(name, {}), variants.get(name, {}), inputs, whole)
        for name in (*PRECISIONS, DAMAGED)
    }
    how = "; ".join(note for note in variants["fp32"]["notes"] if "are read as" in note)
    return Judged(case, cells, how, "", traceback, seconds, output)


def _outcomes(junit: Path) -> dict[str, dict[str, str]]:
    """Message of each test that failed, "" for one that passed, by precision and gate."""
    found: dict[str, dict[str, str]] = {}
    if not junit.is_file():
        return found
    for test in ElementTree.parse(junit).iter("testcase"):
        bad = [child for child in test if child.tag in ("failure", "error")]
        message = " ".join((bad[0].get("message", "") or bad[0].text or "?").split()) if bad else ""
        if bad and bad[0].tag == "error":
            message = f"ERROR: {message}"
        matched = _TEST.fullmatch(test.get("name", ""))
        gate, precision = matched.groups() if matched else (test.get("name", ""), "")
        found.setdefault(precision, {})[gate] = message
    return found


def _cell(
    case: Case,
    root: Path,
    outcomes: dict[str, str],
    variant: dict[str, Any],
    inputs: Sequence[NDArray[np.float32]],
    whole: int,
) -> Cell:
    broken = [text for text in outcomes.values() if text.startswith("ERROR: ")]
    if broken or not variant:
        return Cell("ERROR", (broken or ["ERROR: it was not judged"])[0].removeprefix("ERROR: "))
    verdicts = [variant["gates"][gate]["verdict"] for gate in GATES]
    worst = next((one for one in ("FAIL", "INCONCLUSIVE") if one in verdicts), "PASS")
    reason = next((text for gate in (*GATES, _SIZE) if (text := outcomes.get(gate, ""))), "")
    files = sorted((root / "variants" / variant["variant"]).glob("*.onnx"))
    return Cell(worst, reason, error(case.model, files[0], inputs), variant["size"] / whole)


def _inputs(case: Case, root: Path) -> list[NDArray[np.float32]]:
    """Input tensors of some images, prepared as the gate file says."""
    from pytest_kycquant import Preprocess
    from pytest_kycquant.data.files import find_images
    from pytest_kycquant.data.images import ImageSet, preprocess

    spec = eval(f"Preprocess({case.preprocess})", {"Preprocess": Preprocess})
    images = ImageSet.from_files(root / "images", find_images(root / "images")[:40])
    return [preprocess(images.pixels(n), spec, name) for n, name in enumerate(images.names)]


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith("E  ")]
    return " ".join((lines or output.splitlines() or ["nothing was printed"])[0].split())
