"""Whether what an exported model was judged with is still the same: one answer for each thing."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ..bench.golden import Golden, load, path_of
from ..bench.golden_check import check_current
from ..bench.variants import Variants
from ..bench.workspace import Workspace
from ..context.progress import Progress
from ..errors import GoldenError, KycquantError, one_line
from ..files import from_here, shown_command, temporary_folder
from ..plain import from_plain, plain
from ..report.document import DataEntry, LimitEntry
from ..runtimes.environment import environment
from ..spec.flags import EXPORT
from ..spec.profiles import limits_under
from ..spec.settings import DEFAULT_GOLDEN, Settings
from ..verdicts import Unit
from .gate_classes import gate_classes

if TYPE_CHECKING:
    from ..report.document import Evidence
    from .exported import Exported

_RUN = "run the gate again"
State = Literal["fits", "changed", "gone", "unknown"]
# What decides verdicts on a machine; another CPU with the same features computes the same.
_DECISIVE = ("onnxruntime", "features", "u8s8_saturates")


@dataclass(frozen=True)
class Fit:
    """Whether one thing is as the evidence says.

    Args:
        what: what was compared.
        state: "fits", "changed", "gone", or "unknown" if it could not be compared.
        detail: what is different.
        remedy: what to do about it, with the command; "" if it fits.
        command: that command; "" if there is none.
    """

    what: str
    state: State
    detail: str = ""
    remedy: str = ""
    command: str = ""

    @classmethod
    def again(cls, what: str, state: State, detail: str, command: str, do: str = _RUN) -> Fit:
        """One that does not fit, and a command that mends it.

        Args:
            what: see `Fit`.
            state: see `Fit`.
            detail: see `Fit`.
            command: the command.
            do: what it does, in words.
        """
        return cls(what, state, detail, f"{do}: {command}", command)


@dataclass(frozen=True)
class Place:
    """Where a project is.

    Args:
        root: pytest's rootdir; None to look for it.
        golden: the folder of goldens; None for that in the root.
    """

    root: Path | None
    golden: Path | None

    def root_of(self, exported: Exported) -> Path | None:
        """The folder in which the gate file of a model is: here, above, or above the export."""
        file = exported.evidence.gate.partition("::")[0]
        here, there = Path.cwd(), exported.proof.absolute().parent
        near = [here, *here.parents, there, *there.parents]
        tried = near if self.root is None else [self.root.absolute()]
        return next((folder for folder in tried if (folder / file).is_file()), None)


def fitness(exported: Exported, place: Place) -> Iterator[Fit]:
    """Compare a model with its evidence.

    Args:
        exported: the model.
        place: where its project is.
    """
    root = place.root_of(exported)
    again = _again(exported, root)
    yield from _files(exported, again)
    yield from _waivers(exported)
    yield from _pipelines(exported.evidence, root)
    if root is None:
        file, _, _ = exported.evidence.gate.partition("::")
        what = f"{file} is neither here nor above {exported.proof.parent}"
        yield Fit("gate", "gone", what, "say with --root where pytest's rootdir is")
    else:
        golden = place.golden or root / DEFAULT_GOLDEN
        yield from _project(exported.evidence, root, golden, again)
    yield _machine(exported.evidence, again)


def _again(exported: Exported, root: Path | None) -> str:
    """The command that judges and exports a model again, as it is typed in the current folder."""
    gate = _from_here(exported.evidence.gate, root)
    return shown_command(["pytest", gate, f"{EXPORT}={from_here(exported.proof.parent)}"])


def _from_here(gate: str, root: Path | None) -> str:
    """A node id as it is typed in the current folder; as it is if nobody knows its root."""
    file, separator, name = gate.partition("::")
    return f"{from_here(root / file)}{separator}{name}" if root else gate


def _files(exported: Exported, again: str) -> Iterator[Fit]:
    if exported.shipped is None:
        yield Fit.again("verdict", "unknown", "no variant passes, not even FP32", again)
    for path, state in exported.files.items():
        what, known = f"file {path.name}", cast("State", state)
        if state == "fits":
            yield Fit(what, known)
            continue
        detail = {"changed": "it is not the file that was judged"}.get(state, "")
        yield Fit.again(what, known, detail, again, "export it again")


def _waivers(exported: Exported) -> Iterator[Fit]:
    today = datetime.now(UTC).date().isoformat()
    for result in exported.shipped.gates.values() if exported.shipped else ():
        if result.waiver is not None and result.verdict != "PASS":
            waiver, over = result.waiver, result.waiver.expires < today
            detail = f"{waiver.ticket}, until {waiver.expires}"
            remedy = f"mend the variant, or renew the waiver in {waiver.source}" if over else ""
            yield Fit(f"waiver for {result.gate}", "changed" if over else "fits", detail, remedy)


def _pipelines(evidence: Evidence, root: Path | None) -> Iterator[Fit]:
    for one in evidence.pipelines:
        if one.verdict not in ("PASS", "WAIVED") or one.not_shipped:
            why = "; ".join(one.not_shipped) or one.verdict
            command = shown_command(["pytest", _from_here(one.gate, root)])
            yield Fit.again(f"pipeline {one.gate}", "unknown", why, command, "see why")


def _project(evidence: Evidence, root: Path, golden: Path, again: str) -> Iterator[Fit]:
    """Compare the gate file, and the model and the images that it names."""
    file, _, name = evidence.gate.partition("::")
    try:
        with _quiet():
            known = {cls.__name__: cls for cls in gate_classes(root / file)}
    except KycquantError as error:
        yield Fit("gate", "unknown", error.problem, error.remedy)
        return
    if name not in known:
        what = f"{file} has no class {name} at its top level"
        yield Fit.again("gate", "unknown", what, again)
        return
    yield from _limits(evidence, known[name], again)
    yield _golden(evidence, golden, again)
    with temporary_folder() as cache, _quiet():
        yield from _model_and_data(evidence, known[name], root, root / file, cache, again)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings: pytest shows those of gate files and images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _limits(evidence: Evidence, cls: Any, again: str) -> Iterator[Fit]:
    before = {one.name: one for one in evidence.found.limits}
    now = {one.name: one for one in LimitEntry.all_of(_limits_of(evidence, cls))}
    changed = [
        f"{name} {_shown(before.get(name))} -> {_shown(now.get(name))}"
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name)
    ]
    if changed:
        yield Fit.again("limits", "changed", ", ".join(changed), again)
    else:
        yield Fit("limits", "fits")


def _limits_of(evidence: Evidence, cls: Any) -> Any:
    return limits_under(cast("Any", evidence.found.profile), cls.limits)


def _shown(one: LimitEntry | None) -> str:
    if one is None:
        return "none"
    return "off" if one.value is None else Unit(one.unit).show(one.value)


def _golden(evidence: Evidence, folder: Path, again: str) -> Fit:
    found = evidence.found
    path = path_of(
        folder, str(found.golden.get("model", {}).get("name")), cast("Any", found.profile)
    )
    if not path.is_file():
        return Fit("golden", "gone", from_here(path), "check it out, or say with --golden where")
    try:
        same = plain(load(path, "")) == plain(from_plain(Golden, found.golden))
    except GoldenError as error:
        return Fit("golden", "changed", error.problem, "check it out again")
    if same:
        return Fit("golden", "fits")
    return Fit.again("golden", "changed", f"{from_here(path)} is another one", again)


def _model_and_data(
    evidence: Evidence, cls: Any, root: Path, gate_file: Path, cache: Path, again: str
) -> Iterator[Fit]:
    settings = Settings(
        cache=cache, golden=root, update_golden=False, strict=False, inconclusive="fail",
        report=None, export=None, threads=os.cpu_count() or 1,
    )  # fmt: skip
    space = Workspace(settings, root, "status", Progress())
    variants = Variants.of_gate(space, cls.model, gate_file, _limits_of(evidence, cls))
    golden = from_plain(Golden, evidence.found.golden)
    model = _model(variants, golden, again)
    yield model
    if model.state in ("fits", "changed"):
        yield from _data(evidence, variants, golden, again)


def _model(variants: Variants, golden: Golden, again: str) -> Fit:
    what = "FP32 model"
    try:
        variants.require_files()
    except KycquantError as error:
        return Fit(what, "gone", error.problem, error.remedy)
    try:
        check_current(golden, variants.model_facts(), golden.inputs, Path(), "")
    except GoldenError as error:
        return Fit.again(what, "changed", _of_golden(error), again)
    except KycquantError as error:
        return Fit(what, "changed", error.problem, error.remedy)
    return Fit(what, "fits")


def _data(evidence: Evidence, variants: Variants, golden: Golden, again: str) -> Iterator[Fit]:
    """Compare images by their digests, and whatever else verdicts of FP32 depend on."""
    try:
        data = variants.task.load()
    except KycquantError as error:
        yield Fit("images", "gone", f"{error.where}: {error.problem}", error.remedy)
        return
    yield from _images(evidence, DataEntry.all_of(data), again)
    what = "labels and preprocessing"
    try:
        inputs = {**data.digests, **variants.input_facts(), **variants.task.policy()}
        check_current(golden, golden.model, inputs, Path(), "")
    except GoldenError as error:
        yield Fit.again(what, "changed", _of_golden(error), again)
    except KycquantError as error:
        yield Fit(what, "unknown", one_line(error), error.remedy)
    else:
        yield Fit(what, "fits")


def _of_golden(error: GoldenError) -> str:
    return error.problem.removeprefix("is stale: ").replace(" since it was recorded", "")


def _images(evidence: Evidence, now: dict[str, DataEntry], again: str) -> Iterator[Fit]:
    before = evidence.found.data
    for role in sorted({*before, *now}):
        then, here = before.get(role), now.get(role)
        if then == here:
            yield Fit(f"{role} images", "fits")
        elif here is None or then is None:
            state: State = "gone" if here is None else "changed"
            one = then or here
            assert one is not None
            what = f"{one.images:,} {'then, none' if here is None else 'here, none then'}"
            yield Fit.again(f"{role} images", state, what, again)
        else:
            what = f"{then.images:,} then, {here.images:,} here"
            if then.images == here.images:
                what = f"{here.images:,} as then, but not the same"
            yield Fit.again(f"{role} images", "changed", what, again)


def _machine(evidence: Evidence, again: str) -> Fit:
    """Compare what decides verdicts on a machine, and the runtime that the model was judged on."""
    here, there = environment(), evidence.environment
    if there is None:
        return Fit.again("machine", "unknown", "the evidence names none", again)
    found = evidence.found
    runtime = next((one.runtime for one in found.variants if one.variant == found.ship), None)
    changed = [
        f"{name} {_words(getattr(there, name))} -> {_words(getattr(here, name))}"
        for name in _DECISIVE
        if getattr(there, name) != getattr(here, name)
    ]
    changed += _packages(dict(runtime.packages) if runtime else {})
    if changed:
        return Fit.again("machine", "changed", "; ".join(dict.fromkeys(changed)), again)
    other = "" if here.cpu == there.cpu else f"latency was measured on {there.cpu}"
    return Fit("machine", "fits", other)


def _packages(known: dict[str, str]) -> Iterator[str]:
    from importlib.metadata import PackageNotFoundError, version

    for name, then in known.items():
        try:
            now = version(name)
        except PackageNotFoundError:
            now = "not installed"
        if now != then:
            yield f"{name} {then} -> {now}"


def _words(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
