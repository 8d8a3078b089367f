"""An interrupted report or export leaves each file as it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.report import write
from pytest_kycquant.report.export import export
from pytest_kycquant.report.records import Collected, GatedModel
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.findings import ENVIRONMENT
from tests.worlds.limits import below

FILES = ["face.json", "face.onnx"]


def collected(folder: Path, content: bytes) -> Collected:
    """One gate whose INT8 variant ships; its file lies in `folder`."""
    source = folder / "int8.onnx"
    source.write_bytes(content)
    gates = {"size": GateResult("size", (Check("size", Verdict.PASS, below(0.75), 0.3),))}
    options = {"precision": "int8"}
    files = {"face": hashlib.sha256(content).hexdigest()}
    record = VariantRecord("face", "int8", "int8", len(content), 0.3, options, gates, files=files)
    gate = GatedModel(
        "face", "test_gate.py", variants={"int8": record}, paths={"int8": (str(source),)}
    )
    environment = replace(ENVIRONMENT, cpu=content.decode())
    return Collected(environment, by_key={"face": gate})


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def arm(after: int) -> None:
        """Interrupt the process while it writes the next file after `after` files."""
        left = iter(range(after))

        def fsync(file: int) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", fsync)

    return arm


def test_report(tmp_path: Path, interrupt: Callable[[int], None]) -> None:
    path = tmp_path / "reports" / "report.json"
    write(collected(tmp_path, b"old"), path)
    interrupt(0)
    with pytest.raises(KeyboardInterrupt):
        write(collected(tmp_path, b"new"), path)
    assert json.loads(path.read_text())["environment"]["cpu"] == "old"
    assert [file.name for file in path.parent.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    ("after", "model", "evidence"), [(0, b"old", "old"), (1, b"old", "new"), (2, b"new", "new")]
)
def test_export(
    tmp_path: Path, interrupt: Callable[[int], None], after: int, model: bytes, evidence: str
) -> None:
    ship = tmp_path / "ship"
    export(collected(tmp_path, b"old"), ship)
    interrupt(after)
    if after < len(FILES):
        with pytest.raises(KeyboardInterrupt):
            export(collected(tmp_path, b"new"), ship)
    else:
        export(collected(tmp_path, b"new"), ship)
    assert (ship / "face.onnx").read_bytes() == model
    assert json.loads((ship / "face.json").read_text())["environment"]["cpu"] == evidence
    assert sorted(file.name for file in ship.iterdir()) == FILES
