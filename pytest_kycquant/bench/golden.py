"""The golden FP32 baseline: a small JSON file, reviewable in a pull request.

It freezes what verdicts hang on (the model, the data, the threshold and FP32's error rates) and
holds no image and no embedding.
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
# Another CPU rounds differently, and a comparison at the very threshold may tip over.
_FOREIGN_TOLERANCE = 3
_FIGURE_TOLERANCE, _FOREIGN_FIGURE_TOLERANCE = 1e-6, 0.01
# What a golden recorded elsewhere may differ in without any figure being in doubt.
_DECISIVE = ("onnxruntime", "pillow", "cpu", "features", "u8s8_saturates")


@dataclass(frozen=True)
class Golden:
    """The recorded FP32 baseline of one model.

    Args:
        model: name, sha256, size in bytes and opset of the FP32 file.
        inputs: digests of evaluation and selection data, pair list, preprocessing and the limit
            for which the threshold was chosen.
        threshold: accept iff score >= threshold; None for a task that has none.
        threshold_source: where it comes from, in words.
        rates: error counts and bounds of FP32 by name (see `statistics.Rate`), such as "FAR".
        latency_ms: median thread CPU time of one image, for reference only.
        environment: where it was recorded.
        figures: what FP32 must reproduce besides, such as mAP, which is no rate of errors.
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
    """Where the golden of a model lies.

    The threshold is chosen for a limit, so a profile with limits of its own has a file of its own.
    """
    return folder / (f"{name}.nist63a4.json" if profile == "nist63a4" else f"{name}.json")


def save(golden: Golden, path: Path) -> None:
    """Write a golden, whole or not at all.

    Raises:
        GoldenError: in CI, where nobody would review it, or if the folder cannot be written.
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
    """Refuse to update where a changed baseline would not be reviewed."""
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
        command: what to type to write it anew.

    Raises:
        GoldenError: missing, unreadable, of another schema or edited by hand.
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
        raise GoldenError(path, f"is not of schema {SCHEMA}", accept)
    checksum = values.pop("checksum", None)
    try:
        intact = checksum == digest_of(values)
        del values["schema"]
        golden = Golden(**values)
    except (TypeError, ValueError) as error:
        raise GoldenError(path, f"has the wrong fields ({error})", accept) from error
    if not intact:
        raise GoldenError(path, "was edited by hand (its checksum does not fit)", accept)
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
            f"if that was intended, accept it with: {command} (two gates that differ in this need "
            "two names: KycModel(name=...))",
        )


def check_reproduced(
    golden: Golden,
    rates: Mapping[str, Mapping[str, Any]],
    environment: Mapping[str, Any],
    path: Path,
    command: str,
    figures: Mapping[str, float] | None = None,
) -> None:
    """Compare FP32's errors of today with the recorded ones.

    Another environment warns, and may tip over a few decisions at the very threshold; in the
    same environment every count must be the same.

    Raises:
        GoldenError: FP32 no longer makes the errors that were recorded.
    """
    foreign = [k for k in _DECISIVE if golden.environment.get(k) != environment[k]]
    tolerance = _FOREIGN_TOLERANCE if foreign else 0
    if sorted(golden.rates) != sorted(rates):
        raise GoldenError(
            path,
            f"holds the rates {', '.join(golden.rates)}, not {', '.join(rates)}",
            f"find out why; if it is intended, accept it with: {command}",
        )
    for name, found in rates.items():
        recorded = golden.rates[name]
        apart = abs(int(recorded["errors"]) - int(found["errors"]))
        if recorded["trials"] != found["trials"] or apart > tolerance:
            raise GoldenError(
                path,
                f"FP32 {name} is {found['errors']} of {found['trials']} here, "
                f"recorded were {recorded['errors']} of {recorded['trials']}",
                f"find out why; if it is intended, accept it with: {command}",
            )
    today = figures or {}
    apart_by = _FOREIGN_FIGURE_TOLERANCE if foreign else _FIGURE_TOLERANCE
    for name in sorted({*golden.figures, *today}):
        before, now = golden.figures.get(name, math.nan), today.get(name, math.nan)
        # Relative where it is large: the unit may be any.
        if not abs(before - now) <= apart_by * max(1.0, abs(before)):  # NaN, too, is no agreement
            raise GoldenError(
                path,
                f"FP32 {name} is {now:.6g} here, recorded was {before:.6g}",
                f"find out why; if it is intended, accept it with: {command}",
            )
    if foreign:
        counts = ", ".join(f"{name} {found['errors']}" for name, found in rates.items())
        there = ", ".join(f"{name} {found['errors']}" for name, found in golden.rates.items())
        warnings.warn(
            f"{path.name} was recorded in another environment ({', '.join(foreign)} differ): its "
            f"latency is not comparable, and the counts of FP32 are {counts} here and {there} "
            f"there; to record it here: {command}",
            EnvironmentWarning,
            stacklevel=2,
        )
