"""The golden FP32 baseline: a small JSON file, reviewable in a pull request.

It freezes what verdicts depend on (the model, the data, the threshold and FP32's error rates) and
contains neither images nor embeddings.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..context.cache import digest_of
from ..errors import EnvironmentWarning, GoldenError
from ..files import write_whole
from ..plain import plain
from ..spec.flags import UPDATE_GOLDEN
from ..spec.profiles import Profile

SCHEMA = 2
# Another CPU rounds differently, so decisions right at the threshold may flip.
_FOREIGN_TOLERANCE = 3
_FIGURE_TOLERANCE, _FOREIGN_FIGURE_TOLERANCE = 1e-6, 0.01
# If none of these facts about the environment differs, FP32 must reproduce every figure.
_DECISIVE = ("onnxruntime", "pillow", "cpu", "features", "u8s8_saturates")


@dataclass(frozen=True)
class Golden:
    """The recorded FP32 baseline of one model.

    Args:
        model: name, sha256, size in bytes and opset of the FP32 file.
        inputs: digests of evaluation and selection data, pair list, preprocessing and the limit
            for which the threshold was chosen.
        threshold: accept iff score >= threshold; None for a task without a threshold.
        threshold_source: where the threshold comes from, in words.
        rates: error counts and bounds of FP32 by name (see `statistics.Rate`), such as "FAR".
        latency_ms: median thread CPU time of one image, for reference only.
        environment: the environment in which the golden was recorded.
        figures: other figures that FP32 must reproduce and that are not error rates, such as mAP.
    """

    model: Mapping[str, Any]
    inputs: Mapping[str, Any]
    threshold: float | None
    threshold_source: str
    rates: Mapping[str, Mapping[str, Any]]
    latency_ms: float
    environment: Mapping[str, Any]
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Size of the FP32 file in bytes."""
        return int(self.model["size"])

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.model["name"])


def path_of(folder: Path, name: str, profile: Profile = "standard") -> Path:
    """Path of the golden of a model.

    The threshold is chosen for a limit, so a profile with its own limits has its own file.
    """
    return folder / (f"{name}.nist63a4.json" if profile == "nist63a4" else f"{name}.json")


def save(golden: Golden, path: Path) -> None:
    """Write a golden, whole or not at all.

    Raises:
        GoldenError: this is CI, where the file would not be reviewed, or the folder cannot be
            written.
    """
    refuse_in_ci(path)
    body = {"schema": SCHEMA, **plain(golden)}
    text = json.dumps({**body, "checksum": digest_of(body)}, indent=2, sort_keys=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise GoldenError(
            path, f"cannot be written ({error.strerror})", "make the folder writable"
        ) from error


def refuse_in_ci(path: Path) -> None:
    """Refuse to update a golden in CI, where the change would not be reviewed."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        raise GoldenError(
            path,
            f"{UPDATE_GOLDEN} is refused when the environment variable CI is set",
            "update it on a developer's machine and commit the file",
        )


def load(path: Path, command: str) -> Golden:
    """Read a golden.

    Args:
        path: the file.
        command: the command that records it again.

    Raises:
        GoldenError: the file is missing, unreadable, of another schema or edited by hand.
    """
    accept = f"review the change and accept it with: {command}"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GoldenError(
            path, "there is no golden baseline yet", f"record it with: {command}"
        ) from None
    except (OSError, ValueError) as error:
        raise GoldenError(path, f"is not readable JSON ({error})", accept) from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise GoldenError(path, f"does not have schema {SCHEMA}", accept)
    checksum = values.pop("checksum", None)
    try:
        intact = checksum == digest_of(values)
        del values["schema"]
        golden = Golden(**values)
    except (TypeError, ValueError) as error:
        raise GoldenError(path, f"has the wrong fields ({error})", accept) from error
    if not intact:
        raise GoldenError(path, "was edited by hand (its checksum does not match)", accept)
    return golden


def check_current(
    golden: Golden, model: Mapping[str, Any], inputs: Mapping[str, Any], path: Path, command: str
) -> None:
    """Refuse a golden that was recorded for something else.

    Raises:
        GoldenError: model, data, pairs, preprocessing or threshold policy changed.
    """
    changed = [
        f"model {key}"
        for key in ("sha256", "size", "opset", "name")
        if golden.model.get(key) != model[key]
    ]
    changed += [
        key
        for key in sorted({*golden.inputs, *inputs})
        if golden.inputs.get(key) != inputs.get(key)
    ]
    if changed:
        raise GoldenError(
            path,
            f"is stale: {', '.join(changed)} changed since it was recorded",
            f"if that was intended, accept it with: {command} (gates that differ in this need "
            "different names: KycModel(name=...))",
        )


def check_reproduced(
    golden: Golden,
    rates: Mapping[str, Mapping[str, Any]],
    environment: Mapping[str, Any],
    path: Path,
    command: str,
    figures: Mapping[str, float] | None = None,
) -> None:
    """Compare FP32's errors now with the recorded ones.

    In the same environment every count must be the same. In another environment a few decisions
    right at the threshold may differ, and a warning is given.

    Raises:
        GoldenError: FP32 does not reproduce the recorded errors.
    """
    foreign = [k for k in _DECISIVE if golden.environment.get(k) != environment[k]]
    tolerance = _FOREIGN_TOLERANCE if foreign else 0
    if sorted(golden.rates) != sorted(rates):
        raise GoldenError(
            path,
            f"records the rates {', '.join(golden.rates)}, not {', '.join(rates)}",
            f"find out why; if that was intended, accept it with: {command}",
        )
    for name, found in rates.items():
        recorded = golden.rates[name]
        apart = abs(int(recorded["errors"]) - int(found["errors"]))
        if recorded["trials"] != found["trials"] or apart > tolerance:
            raise GoldenError(
                path,
                f"FP32 {name} is {found['errors']} of {found['trials']} here, "
                f"but the golden records {recorded['errors']} of {recorded['trials']}",
                f"find out why; if that was intended, accept it with: {command}",
            )
    today = figures or {}
    apart_by = _FOREIGN_FIGURE_TOLERANCE if foreign else _FIGURE_TOLERANCE
    for name in sorted({*golden.figures, *today}):
        before, now = golden.figures.get(name, math.nan), today.get(name, math.nan)
        # The tolerance is relative for large values, since the unit is unknown. NaN fails, too.
        if not abs(before - now) <= apart_by * max(1.0, abs(before)):
            raise GoldenError(
                path,
                f"FP32 {name} is {now:.6g} here, but the golden records {before:.6g}",
                f"find out why; if that was intended, accept it with: {command}",
            )
    if foreign:
        counts = ", ".join(f"{name} {found['errors']}" for name, found in rates.items())
        there = ", ".join(f"{name} {found['errors']}" for name, found in golden.rates.items())
        warnings.warn(
            f"{path.name} was recorded in another environment (different: {', '.join(foreign)}): "
            f"its latency is not comparable, and FP32's error counts are {counts} here and {there} "
            f"there; to record it here: {command}",
            EnvironmentWarning,
            stacklevel=2,
        )
