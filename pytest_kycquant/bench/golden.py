"""The golden FP32 baseline: a small JSON file, reviewable in a pull request.

It freezes what verdicts depend on (the model, the data, the threshold and FP32's error rates) and
contains neither images nor embeddings.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..context.cache import digest_of
from ..errors import GoldenError, MissingGoldenError
from ..files import read_regular, write_whole
from ..plain import from_plain, parse, plain
from ..runtimes.environment import Environment
from ..spec.flags import UPDATE_GOLDEN
from ..spec.profiles import PROFILES, Profile

T = TypeVar("T")
SCHEMA = 4
READABLE = (2, 3, 4)
"""Schemas that are read. Schema 3 has `schema` as a field and more figures of each rate. The bounds
in schemas 2 and 3 follow from other rules and are not compared."""
CI_VARIABLES = ("CI", "BUILD_NUMBER", "TF_BUILD")
"""What CI services set: what pytest looks at, and what Azure Pipelines sets in its place."""
_LARGEST = 1 << 20  # bytes; a golden has a few thousand
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Golden:
    """The recorded FP32 baseline of one model.

    Args:
        model: name, sha256, size in bytes and opset of the FP32 file.
        inputs: digests of evaluation and selection data, pair list, preprocessing and the limit
            for which the threshold was chosen.
        threshold: accept iff score >= threshold, or distance <= threshold for a face gate with a
            distance; None for a task without a threshold.
        threshold_source: where the threshold comes from, in words.
        rates: error counts and bounds of FP32 by name (see `statistics.Rate`), such as "FAR".
        latency_ms: median thread CPU time of one image, for reference only.
        environment: the environment in which the golden was recorded.
        figures: other figures that FP32 must reproduce and that are not error rates, such as mAP.
        schema: the schema of the file.
        note: what the golden does not vouch for, or "".
    """

    model: Mapping[str, Any]
    inputs: Mapping[str, Any]
    threshold: float | None
    threshold_source: str
    rates: Mapping[str, Mapping[str, Any]]
    latency_ms: float
    environment: Mapping[str, Any]
    figures: Mapping[str, float] = field(default_factory=dict)
    schema: int = SCHEMA
    note: str = ""

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
    """Write a golden, whole or not at all; a link stays a link.

    Raises:
        GoldenError: this is CI, where the file would not be reviewed; the folder cannot be
            written; or the file is not a golden.
    """
    refuse_in_ci(path)
    refuse_other_file(path)
    body = {"schema": SCHEMA, **plain(golden)}
    text = json.dumps({**body, "checksum": digest_of(body)}, indent=2, sort_keys=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(os.path.realpath(path)), text)
    except OSError as error:
        raise GoldenError(
            path, f"cannot be written ({error.strerror})", "make the folder writable"
        ) from error


def refuse_in_ci(path: Path) -> None:
    """Refuse to update a golden in CI, where the change would not be reviewed."""
    for name in CI_VARIABLES:
        if os.environ.get(name):  # whatever its value is, as pytest decides
            raise GoldenError(
                path,
                f"{UPDATE_GOLDEN} is refused when the environment variable {name} is set",
                "update it on a developer's machine and commit the file",
            )


def refuse_other_file(path: Path) -> None:
    """Refuse to write over a file that is not a golden and was none before.

    An edited or outdated golden is one, as long as it is JSON with the digests of a golden.

    Raises:
        GoldenError: something else has this name.
    """
    try:
        known = _is_golden(path)
    except (FileNotFoundError, NotADirectoryError):
        return  # there is nothing to lose; writing tells whether it is possible
    if not known:
        raise GoldenError(
            path, "is not a golden, so it is not written over", "move it away and try again"
        )


def orphans(folder: Path, names: Collection[str]) -> list[Path]:
    """Return the goldens in a folder that belong to none of these models, under any profile.

    Args:
        folder: the folder of goldens; it need not exist.
        names: the names of the models that gates use.
    """
    used = {path_of(folder, name, profile).name for name in names for profile in PROFILES}
    try:
        others = [path for path in sorted(folder.glob("*.json")) if path.name not in used]
        return [path for path in others if _is_golden(path)]
    except OSError:
        return []


def _is_golden(path: Path) -> bool:
    """Whether a file is or was a golden, edited or outdated.

    Raises:
        FileNotFoundError: there is no such file.
        NotADirectoryError: nor its folder.
    """
    try:
        values: Any = json.loads(read_regular(path, _LARGEST).decode("utf-8-sig"))
        digests = values["checksum"], values["model"]["sha256"]
        return isinstance(values["schema"], int) and all(map(_DIGEST.fullmatch, digests))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return False


def unsound(path: Path) -> str:
    """What is wrong with a golden that is about to be replaced; "" if it is sound or missing."""
    try:
        load(path, "")
    except MissingGoldenError:
        return ""
    except GoldenError as error:
        return error.problem
    return ""


def load(path: Path, command: str) -> Golden:
    """Read a golden, whoever wrote it.

    Args:
        path: the file.
        command: the command that records it again.

    Raises:
        GoldenError: the file is missing, unreadable, of another schema or edited by hand, or a
            field is missing, unknown or has another type.
    """
    accept = f"restore it from version control, or record it anew with: {command}"
    try:
        values = parse(read_regular(path, _LARGEST))
    except FileNotFoundError:
        raise MissingGoldenError(
            path, "there is no golden baseline yet", f"record it with: {command}"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise GoldenError(path, f"is not readable JSON ({reason})", accept) from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if type(schema) is not int or schema not in READABLE:
        known = " or ".join(map(str, READABLE))
        raise GoldenError(path, f"does not have schema {known}", accept)
    checksum = values.pop("checksum", None)
    try:
        intact = checksum == digest_of(values)
        golden = _typed(values)
    except (TypeError, ValueError, RecursionError) as error:
        raise GoldenError(path, f"has the wrong fields ({error})", accept) from error
    if not intact:
        raise GoldenError(path, "was edited by hand (its checksum does not match)", accept)
    return golden


@dataclass(frozen=True)
class _Model:
    """The facts about a model; see `Variants.model_facts`."""

    name: str
    sha256: str
    size: int
    opset: int
    files: Mapping[str, str] = field(default_factory=dict)


def _typed(values: Mapping[str, Any]) -> Golden:
    """Check the type of every field, and that there are no others.

    What `inputs` holds is only ever compared, so it may be anything.
    """
    from ..statistics import Rate

    noted = values.get("schema") == SCHEMA
    golden = _exact(Golden, values, "golden", optional=set() if noted else {"note"})
    _exact(_Model, golden.model, "model", optional={"files"})
    newer = {"room", "deff_many"} if golden.schema == 2 else set()
    for name, rate in golden.rates.items():
        if unknown := newer & rate.keys():
            raise ValueError(f"unknown in rate {name!a:.40}: {', '.join(sorted(unknown))}")
        _exact(Rate, rate, f"rate {name!a:.40}", optional=newer)
    _exact(Environment, golden.environment, "environment")
    if golden.latency_ms < 0:
        raise ValueError(f"latency_ms is {golden.latency_ms}")
    return golden


def _exact(kind: type[T], values: Mapping[str, Any], what: str, optional: Any = ()) -> T:
    names = {each.name for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(values.keys() - names):
        raise ValueError(f"unknown in {what}: {', '.join(f'{name!a:.40}' for name in unknown[:5])}")
    if missing := sorted(names - values.keys() - set(optional)):
        raise ValueError(f"missing in {what}: {', '.join(missing)}")
    return from_plain(kind, values, strict=True)
