"""Exported models of a folder, by the evidence beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..bench.golden import Golden
from ..errors import ReportError
from ..files import from_here, shown_command
from ..plain import from_plain
from ..report.reading import kind_of, read_evidence
from ..report.searched import files_below

if TYPE_CHECKING:
    from ..report.document import Evidence, VariantEntry

_AGAIN = "export the model again, with pytest --kycquant-export=FOLDER"
_REMEDY = "give the folder of pytest --kycquant-export"
_MOST_NAMED = 3  # folders with exports


@dataclass(frozen=True)
class Exported:
    """A model that an export wrote.

    Args:
        proof: the evidence.
        evidence: what it says.
    """

    proof: Path
    evidence: Evidence

    @property
    def shipped(self) -> VariantEntry | None:
        """The variant that ships; None if none does."""
        found = self.evidence.found
        return next((one for one in found.variants if one.variant == found.ship), None)

    @property
    def files(self) -> dict[Path, str]:
        """What became of each exported file: "fits", "changed" or "gone"."""
        known = self.evidence.files
        return {self.proof.with_name(name): _state(self.proof.with_name(name), known[name])
                for name in sorted(known)}  # fmt: skip


def exported_in(folder: Path) -> tuple[list[Exported], list[str], list[str]]:
    """The exported models of a folder, by the names of their evidence.

    Args:
        folder: the folder that pytest exported to.

    Returns:
        the models; a line about each JSON file that cannot be read as evidence or that another one
        contradicts; and a line about each report of a run, which nobody has to mend.

    Raises:
        ReportError: there is no such folder, or no evidence in it.
    """
    if not folder.is_dir():
        raise ReportError(folder, "is not a folder", _REMEDY)
    models: list[Exported] = []
    problems: list[str] = []
    foreign: list[str] = []
    notes: list[str] = []
    for path in sorted(folder.glob("*.json")):
        kind = kind_of(path)
        if kind == "report":
            notes.append(f"{path} is the report of a run, which kycquant history and html show")
            continue
        if kind == "":
            foreign.append(f"{path}: is not evidence of an export; move it away, or {_AGAIN}")
            continue
        try:
            evidence = read_evidence(path)
            if flaw := _flaw(evidence):
                raise ReportError(path, f"was edited: it {flaw}", _AGAIN)
        except ReportError as error:
            problems.append(str(error))
        else:
            models.append(Exported(path, evidence))
    if not models and not problems:
        what = "holds no exported model"
        if notes:
            what += ", but the report of a run, which kycquant history and html show"
        raise ReportError(folder, what, _elsewhere(folder) or _REMEDY)
    return models, [*foreign, *problems, *_claimed_twice(models)], notes


def _elsewhere(folder: Path) -> str:
    """Name the folders below that hold exports; "" if there are none."""
    proofs = files_below(folder, ".json")
    there = dict.fromkeys(path.parent for path in proofs if kind_of(path) == "evidence")
    if not there:
        return ""
    named = [shown_command([from_here(one)]) for one in there][:_MOST_NAMED]
    more = f" and {len(there) - len(named)} more" if len(there) > len(named) else ""
    return f"give a folder that does: {', '.join(named)}{more}"


def _flaw(evidence: Evidence) -> str:
    """What no export writes, in words; "" if there is nothing. Anybody can make a digest anew."""
    found, files = evidence.found, evidence.files
    shipped = next((one for one in found.variants if one.variant == found.ship), None)
    if elsewhere := [name for name in files if Path(name).name != name]:
        return f"names {elsewhere[0]!r}, which is not a file beside it"
    if found.ship is not None and shipped is None:
        return f"says that {found.ship} ships, of which it says nothing else"
    if shipped is not None and shipped.variant != "fp32":
        if shipped.verdict == "FAIL":
            return f"says that {shipped.variant} ships, which failed"
        if not files:
            return f"says that {shipped.variant} ships, and names no file"
    try:
        from_plain(Golden, found.golden)
    except (KeyError, TypeError, ValueError):
        return "holds no golden"
    return ""


def _claimed_twice(models: list[Exported]) -> Iterator[str]:
    owners: dict[str, Path] = {}
    for model in models:
        for name in model.evidence.files:
            first = owners.setdefault(name, model.proof)
            if first != model.proof:
                yield (
                    f"{model.proof}: is evidence for {name}, and so is {first.name}; remove the "
                    "one that is not of the last export"
                )


def _state(path: Path, digest: str) -> str:
    try:
        if not path.is_file():  # a named pipe would never end
            return "gone"
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "gone"
    return "fits" if found == digest else "changed"
