"""Exports the model to ship, with the evidence for it.

Nothing is overwritten or removed that an earlier export did not write: an earlier file is known by
its digest, which the evidence beside it names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..bench.records import VariantRecord
from ..errors import KycquantError, SettingsError
from ..files import read_regular, write_whole
from ..runtimes.formats import ONNX
from ..spec.flags import EXPORT
from ..spec.runtime import ORT
from .exported_files import copies, is_export
from .json_report import evidence
from .pipelines import waivers
from .records import Collected, GatedModel

_LARGEST = 1 << 26  # bytes of evidence
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = {"files", "replaced", "environment", "model", "gate"}  # since the first schema
_REMEDY = f"move it away, or give {EXPORT} another folder"


@dataclass
class Exported:
    """What an export did.

    Args:
        lines: a line about each model.
        failed: whether a model or its evidence could not be written.
    """

    lines: list[str] = field(default_factory=list)
    failed: bool = False


def export(collected: Collected, folder: Path) -> Exported:
    """Write each gate's model to ship and its evidence.

    Files are ``<model>.onnx``, or of another format, and ``<model>.json``. If a model has several
    gates, the gate's name is added; if it has several files, the name of each FP32 file. FP32
    itself is not copied: its file stays where it is. A model that an earlier export wrote and that
    no longer passes is removed, whatever its name was. A run that was not complete changes nothing.
    """
    done = Exported()
    stems = _stems(collected)
    shared = Counter(stem.casefold() for stem in stems.values())
    written: set[str] = set()  # names of gates
    for key, (model, name) in sorted(collected.models().items(), key=lambda item: item[1]):
        stem, gate = stems[key], collected.by_key.get(key)
        try:
            if not collected.present.has(name):
                continue  # another shard exports it
            if gate is None:
                problem = f"exported: nothing for {model}: nothing of {name} was judged"
                done.lines.append(problem + _kept(folder / stem))
                continue
            if shared[stem.casefold()] > 1:
                raise SettingsError(
                    EXPORT,
                    f"two gates would write {stem}.json",
                    "give one of the models another name: KycModel(name=...)",
                )
            done.lines += _export(collected, gate, folder / stem)
            written |= set() if gate.incomplete else {name}
        except OSError as error:
            done.failed = True
            problem = f"{error.filename or folder} cannot be written ({error.strerror or error})"
            done.lines.append(f"ERROR: {model} is not exported: {problem}")
        except KycquantError as error:
            done.failed = True
            done.lines.append(f"ERROR: {model} is not exported: {error}")
    try:
        done.lines += _leave(collected, folder, set(stems.values()), written)
    except OSError as error:
        done.failed = True
        done.lines.append(
            f"ERROR: an earlier export stays: {error.filename or folder} cannot be read or removed "
            f"({error.strerror or error})"
        )
    return done


def refuse_foreign(
    folder: Path, model: str, sources: Iterable[Path], suffixes: Iterable[str] = (ONNX,)
) -> None:
    """Refuse an export before any work is done, if it would overwrite a file of the user's.

    Args:
        folder: the folder to export to.
        model: the name of the model.
        sources: the files of the FP32 model and its golden.
        suffixes: those of the files that may be exported.

    Raises:
        SettingsError: the export would overwrite a source, or a file that no export has written.
    """
    stem = folder / model
    proof, targets = _beside(stem, ".json"), [_beside(stem, each) for each in suffixes]
    for target in (proof, *targets):
        _refuse_source(target, sources)
    _refuse_foreign(targets, _evidence(proof).files)


def _export(collected: Collected, gate: GatedModel, stem: Path) -> list[str]:
    ship, proof = gate.ship, _beside(stem, ".json")
    earlier = _evidence(proof).files
    if gate.incomplete:
        return [f"exported: nothing for {gate.model}: {gate.incomplete}{_kept(stem)}"]
    found = [] if ship is None or ship.variant == "fp32" else copies(gate, ship, stem)
    targets = [target for copy in found for target in (*copy.targets, *copy.beside)]
    _refuse_foreign(targets, earlier)
    for target in (proof, *targets):
        _refuse_source(target, [Path(path) for paths in gate.paths.values() for path in paths])
    contents = dict(pair for copy in found for pair in copy.contents())
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = {path.name: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    # The evidence comes first and names both files: if this process is killed in between, the next
    # export still knows the earlier file as its own.
    write_whole(proof, evidence(collected, gate, files, _found(stem.parent, earlier)))
    for target, content in contents.items():
        write_whole(target, content)
    removed = _remove(stem.parent, {k: v for k, v in earlier.items() if k not in files})
    return [*_lines(collected, gate, ship, tuple(targets)), *removed]


def _lines(
    collected: Collected, gate: GatedModel, ship: VariantRecord | None, targets: tuple[Path, ...]
) -> list[str]:
    if ship is None:
        return [f"exported: nothing for {gate.model}, not even FP32 passes"]
    if not targets:
        where = ", ".join(gate.paths["fp32"])
        return [f"exported: nothing for {gate.model}, keep FP32 ({where})"]
    lines = [f"exported: {target} ({ship.variant})" for target in targets]
    lines += [f"{gate.model}: {line}" for line in waivers(ship.variant, ship.gates)]
    if ship.runtime is not None and not ship.runtime.is_reference:
        settings = ", ".join(f"{key}={value}" for key, value in ship.runtime.settings.items())
        lines.append(
            f"deploy {gate.model} on {ship.runtime.description} with {settings}, as it was judged"
        )
    elif ship.is_integer and ship.options.get("format") != ORT:  # where no option has an effect
        lines += [
            f"deploy {gate.model} with the session option {key}={value}, as it was judged"
            for key, value in collected.session_config.items()
        ]
    for stem, ports in ship.ports.items():
        lines += ports.lines(gate.model if len(ship.files) == 1 else f"{gate.model}, {stem}")
    other = [
        stem
        for stem, found in ship.preprocess.items()
        if gate.rows()[0].preprocess.get(stem, found) != found
    ]
    if other:
        lines.append(
            f"feed {gate.model}: pixels as Prequantized(preprocess=...) says, not as FP32's; see "
            f"preprocess in the evidence"
        )
    return lines


@dataclass(frozen=True)
class _Evidence:
    """What an earlier export says of itself.

    Args:
        model: name of the model.
        gate: name of its gate.
        files: the files that it wrote, with the digests that they may have.
    """

    model: str = ""
    gate: str = ""
    files: Mapping[str, list[str]] = field(default_factory=dict)


def _evidence(proof: Path) -> _Evidence:
    """Read the evidence of an earlier export; empty if there is none.

    Raises:
        SettingsError: something else is in its place. Evidence decides what may be overwritten and
            removed, and anybody can have written it, so it may name exports of its own stem only.
    """
    if not (proof.exists() or proof.is_symlink()):
        return _Evidence()
    try:
        values: Any = json.loads(read_regular(proof, _LARGEST))
        if not values.keys() >= _KEYS:
            raise ValueError(f"lacks {_KEYS - values.keys()}")
        model, gate = values["model"], values["gate"]
        files: dict[str, list[str]] = {}
        for name, digest in (*values["files"].items(), *values["replaced"].items()):
            if not (is_export(name, proof.stem) and _SHA256.fullmatch(digest)):
                raise ValueError(name)
            files.setdefault(name, []).append(digest)
        return _Evidence(_text(model), _text(gate), files)
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise SettingsError(EXPORT, f"{proof} was not written by an export", _REMEDY) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _found(folder: Path, earlier: Mapping[str, list[str]]) -> dict[str, str]:
    """The files of an earlier export that are still there as it wrote them, with their digests."""
    return {
        name: digest
        for name, digests in earlier.items()
        if (digest := _digest(folder / name)) in digests
    }


def _kept(stem: Path) -> str:
    """Name the models of an earlier export that stay where they are; "" if there are none."""
    names = sorted(_found(stem.parent, _evidence_or_none(_beside(stem, ".json")).files))
    return f"; {_are(names)} of an earlier run" if names else ""


def _are(names: list[str]) -> str:
    return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'}"


def _leave(collected: Collected, folder: Path, stems: set[str], written: set[str]) -> Iterator[str]:
    """Remove what this run's gates exported under names that they no longer have; say so.

    An earlier run named files otherwise if a model had another number of gates. What belongs to a
    gate that this run neither judged nor misses is only named.

    Args:
        collected: everything that the tests of the run reported.
        folder: the folder of exports.
        stems: names of this run's files, without their endings.
        written: names of the gates that this run decided.
    """
    models = {model for model, _ in collected.models().values()}
    decided = {model for model, name in collected.models().values() if name in written}
    proofs = (_beside(folder / stem, ".json") for stem in stems)
    current = {name for proof in proofs for name in _evidence_or_none(proof).files}
    for proof in sorted(folder.glob("*.json")):
        stem = proof.name.removesuffix(".json")
        owners = {model for model in models if f"{stem}-".startswith(f"{model}-")}
        if stem in stems or not owners:  # other files need not be read
            continue
        earlier = _evidence_or_none(proof)
        model, gate = earlier.model, earlier.gate
        if model not in owners:
            continue
        owned = {name: known for name, known in earlier.files.items() if name not in current}
        if model in decided and (gate in written or collected.gone(gate)):
            yield from _remove(folder, owned)
            proof.unlink()
            yield f"removed: {proof}, which an earlier run exported"
        elif names := sorted(_found(folder, owned)):
            yield f"exported earlier: {_are(names)} of {gate}, which this run did not decide"


def _evidence_or_none(proof: Path) -> _Evidence:
    """The same as `_evidence`; empty if the file is something else."""
    with contextlib.suppress(SettingsError):
        return _evidence(proof)
    return _Evidence()


def _refuse_foreign(targets: Iterable[Path], earlier: Mapping[str, list[str]]) -> None:
    """Refuse to overwrite a file that no export has written, or that was changed since."""
    for target in targets:
        present = target.exists() or target.is_symlink()
        if present and _digest(target) not in earlier.get(target.name, ()):
            raise SettingsError(EXPORT, f"{target} was not written by an export", _REMEDY)


def _refuse_source(target: Path, sources: Iterable[Path]) -> None:
    """Refuse to overwrite a file that this run reads."""
    for source in sources:
        if target.exists() and source.exists() and target.samefile(source):
            raise SettingsError(EXPORT, f"{target} is a file that this run reads", _REMEDY)


def _remove(folder: Path, stale: Mapping[str, list[str]]) -> list[str]:
    """Remove what an earlier export wrote and nothing vouches for any more; say so."""
    lines = []
    for name in _found(folder, stale):
        (folder / name).unlink()
        lines.append(f"removed: {folder / name}, which an earlier run exported")
    return lines


def _digest(path: Path) -> str:
    """SHA-256 of a regular file; "" of anything else."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _stems(collected: Collected) -> dict[str, str]:
    """Names of the files of each gate that was collected, without endings, by its digest."""
    gates = collected.models()
    number = Counter(model for model, _ in gates.values())
    return {
        key: model if number[model] == 1 else f"{model}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}"
        for key, (model, name) in gates.items()
    }
