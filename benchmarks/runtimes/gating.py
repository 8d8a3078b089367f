"""Runs a gate file as a user does, and reads the plugin's report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pytest_kycquant.bench.golden import CI_VARIABLES

from .subjects import GATE_FILE, HERE, Subject

_TEST = re.compile(r"test_\w+\[(.+)\]")
_REPORT, _JUNIT = "report.json", "junit.xml"
Variant = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """What the gates found.

    Args:
        variants: records by label, as in the report; "fp32" is the model itself.
        problems: messages about what could not be judged, by label.
        printed: what pytest printed.
    """

    variants: dict[str, Variant] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    printed: str = ""


def judge(subject: Subject, precisions: Sequence[str], root: Path, cache: Path) -> Judged:
    """Judge variants of a model, all in one process without workers.

    Args:
        subject: the model.
        precisions: what to judge, as code of the gate file.
        root: an empty folder.
        cache: the cache of the gates.
    """
    subject.write(root, precisions)
    command = [
        *(sys.executable, "-m", "pytest", GATE_FILE, "-q", "--kycquant-update-golden"),
        *(f"--kycquant-cache={cache.resolve()}", f"--kycquant-report={_REPORT}"),
        *(f"--junitxml={_JUNIT}", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
    ]
    environment = {k: v for k, v in os.environ.items() if k not in (*CI_VARIABLES, "COLUMNS")}
    paths = (str(HERE), environment.get("PYTHONPATH", ""))
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    printed = done.stdout + done.stderr
    report = root / _REPORT
    variants = variants_of(report.read_text("utf-8")) if report.is_file() else {}
    problems = errors((root / _JUNIT).read_text("utf-8")) if (root / _JUNIT).is_file() else {}
    if not variants and not problems:
        problems[""] = (printed.strip().splitlines() or ["nothing was printed"])[-1]
    return Judged(variants, problems, printed)


def variants_of(report: str) -> dict[str, Variant]:
    """The records of a report, by label."""
    gates = json.loads(report)["gates"]
    return {each["variant"]: each for gate in gates for each in gate["variants"]}


def errors(junit: str) -> dict[str, str]:
    """The first error of each precision in pytest's report: not a verdict, but a reason for none.

    Those of tests without a precision are under "".
    """
    found: dict[str, str] = {}
    for test in ElementTree.fromstring(junit).iter("testcase"):
        matched = _TEST.fullmatch(test.get("name", ""))
        for child in test:
            if child.tag == "error":
                text = child.get("message", "") or child.text or "no message"
                found.setdefault(matched[1] if matched else "", " ".join(text.split()))
    return found
