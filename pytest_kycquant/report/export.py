"""Exports the model to ship, with the evidence for it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..errors import CacheError
from ..files import write_whole
from .json_report import evidence
from .records import Collected, GatedModel


def export(collected: Collected, folder: Path) -> list[str]:
    """Write each gate's model to ship and its evidence.

    Files are ``<model>.onnx`` and ``<model>.json``. If a model has several gates, the gate's name
    is added; if it has several files, the name of each FP32 file. FP32 itself is not copied: its
    file stays where it is.

    Returns:
        A line about each gate.

    Raises:
        CacheError: the variant's file has changed since it was judged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for gate in collected.gates:
        ship = gate.ship
        stem = folder / _stem(collected, gate)
        if ship is None:
            lines.append(f"exported: nothing for {gate.model}, not even FP32 passes")
        elif ship.variant == "fp32":
            where = ", ".join(gate.paths["fp32"])
            lines.append(f"exported: nothing for {gate.model}, keep FP32 ({where})")
        else:
            files = zip(gate.paths[ship.variant], ship.files.items(), strict=True)
            for source, (name, digest) in files:
                suffix = f"-{name}.onnx" if len(ship.files) > 1 else ".onnx"
                target = stem.with_name(stem.name + suffix)
                _copy(Path(source), target, digest)
                lines.append(f"exported: {target} ({ship.variant})")
            if ship.is_integer:
                lines += [
                    f"deploy {gate.model} with the session option {key}={value}, as it was judged"
                    for key, value in collected.session_config.items()
                ]
        found = evidence(collected, gate)
        write_whole(stem.with_name(stem.name + ".json"), found)
    return lines


def _copy(source: Path, target: Path, digest: str) -> None:
    """Copy a file, whole or not at all."""
    content = source.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise CacheError(source, "is not the file that was judged", "run the gate again")
    write_whole(target, content)


def _stem(collected: Collected, gate: GatedModel) -> str:
    if sum(other.model == gate.model for other in collected.gates) == 1:
        return gate.model
    return f"{gate.model}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', gate.name)}"
