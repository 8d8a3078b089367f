"""What the data at hand can decide, said before anything is quantized."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..context.progress import Progress
from ..spec import coerce
from ..spec.limits import Limits
from ..spec.model import KycModel
from ..spec.profiles import Profile, limits_under
from ..spec.task import StrPath
from ..tasks.base import Resolve, Task
from ..tasks.prospects import Trials
from ..tasks.registry import task_of


@dataclass(frozen=True)
class Outlook:
    """What some data can decide; printed, it says so in sentences.

    Args:
        model: the name of the model.
        size: the amount of data in words.
        can: the figures that it can decide, if hardly any decision is wrong or changes.
        cannot: a sentence for each figure that stays undecided whatever a variant does.
        may: a sentence for each figure that stays undecided if trials depend on each other as they
            typically do.
        plan: how many people or images would decide everything, in words; "" if these do, or if
            no number would.
    """

    model: str
    size: str
    can: tuple[str, ...]
    cannot: tuple[str, ...]
    may: tuple[str, ...] = ()
    plan: str = ""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The outlook in sentences; none if nothing is known beforehand."""
        for sentence in (*self.cannot, *self.may):
            yield f"{self.model}: {sentence}"
        if self.can:
            named = _listed(self.can)
            yield (
                f"{self.model}: {self.size} can decide {named}, if hardly any decision is wrong or "
                "changes"
            )
        if self.plan:
            yield f"{self.model}: {self.plan}"


def of_trials(model: str, size: str, trials: Iterator[Trials]) -> Outlook:
    """The outlook for some trials.

    Args:
        model: the name of the model.
        size: the amount of data in words.
        trials: the trials of all rates that will be judged.
    """
    found = sorted(trials, key=lambda one: one.increase)
    return Outlook(
        model,
        size,
        tuple(one.what for one in found if one.likely and not one.chooses),
        tuple(one.describe() for one in found if not one.decidable),
        tuple(one.describe() for one in found if one.decidable and not one.likely),
        "" if all(one.likely for one in found) else _plan(found),
    )


def _plan(trials: list[Trials]) -> str:
    """How many subjects would decide all of these trials, without errors and with some."""
    few, some = ([one.needed for one in trials], [one.needed_at_half for one in trials])
    if None in few or None in some or len({one.whose for one in trials}) > 1:
        return ""
    least, most = (max(n for n in each if n is not None) for each in (few, some))
    plan = f"about {least:,} {trials[0].whose} would do for all of it"
    if most > least:
        plan += f", and about {most:,} if the error rates are half of their limits"
    return plan


@coerce.call("outlook")
def outlook(
    model: KycModel,
    limits: Limits | None = None,
    *,
    profile: Profile = "standard",
    root: StrPath = ".",
) -> Outlook:
    """Say what the data of a model can decide, without running the model.

    Args:
        model: the model with its data, as in a gate file.
        limits: the limits of the gates; None for the defaults of the task.
        profile: the profile under which the model would be judged.
        root: the folder to which relative paths belong.

    Raises:
        DataError: the data cannot be used.
        LeakageError: calibration, selection and evaluation overlap.
        SpecError: the limits are not those of the task.
    """
    from ..errors import DataError

    def resolve(path: StrPath, attribute: str) -> Path:
        found = Path(root) / path
        if not found.exists():
            raise DataError(found, f"does not exist, but {attribute} names it", "check the path")
        return found

    return of_gate(model, limits, profile, resolve, "outlook(limits=...)")


def of_gate(
    model: KycModel, limits: Limits | None, profile: Profile, resolve: Resolve, where: str
) -> Outlook:
    """The outlook for a model of a gate file; see `outlook`.

    Args:
        model: the model with its data.
        limits: the limits of the gates; None for the defaults of the task.
        profile: the profile under which the model would be judged.
        resolve: a function from a path of the gate file, and the attribute that names it, to an
            existing path.
        where: where the limits stand, for messages.
    """
    from ..errors import SpecError

    kind = model.task.limits
    if limits is not None and not isinstance(limits, kind):
        raise SpecError(
            where,
            f"{type(limits).__name__} does not belong to {type(model.task).__name__}",
            f"give {kind.__name__}(...), or leave it out",
        )
    asked = limits_under(profile, kind() if limits is None else limits)
    task: Task[Any, Any] = task_of(model, asked, resolve)
    data = task.load()
    return of_trials(model.name, data.evaluation.size, task.prospects(data))


def announce(found: Outlook, progress: Progress) -> None:
    """Say it in the run."""
    for line in found.lines():
        progress.announce(line)


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
