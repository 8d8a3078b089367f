"""Say what data can decide before anything runs, and how many people are missing.

Either for a gate file, whose data is read, or for a kind of model and numbers
of people and images that could be collected. Decide on the number beforehand:
collecting until a gate passes gives luck too many chances. The exit code is 1
if a limit cannot be decided, or may not be.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import output
from .exits import DONE, NEGATIVE, UsageError

if TYPE_CHECKING:
    from ..bench.beforehand import Outlook
    from ..spec.profiles import Profile

_FAMILIES = ("face", "liveness", "detector")
_PROFILES = ("standard", "nist63a4")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "subject", metavar="GATE_FILE|KIND", help="a gate file, or face, liveness or detector"
    )
    numbers = parser.add_argument_group("for a kind of model")
    numbers.add_argument(
        "--people", type=_whole, metavar="N", help="people (detector: images) to judge"
    )
    numbers.add_argument(
        "--images-each", type=_whole, default=2, metavar="N", help="images of each (default: 2)"
    )
    numbers.add_argument(
        "--species", type=_whole, default=1, metavar="N", help="attack species (default: 1)"
    )
    numbers.add_argument(
        "--limit",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=VALUE",
        help="a limit that is not the default, such as far=0.0005; may be repeated",
    )
    parser.add_argument("--profile", choices=_PROFILES, default="standard", help="which limits")
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


@dataclass(frozen=True)
class Planned:
    """One gate of the plan, for ``--json``.

    Args:
        name: the gate class or the kind of model.
        outlook: what its data can decide.
        decides: whether it can decide everything.
    """

    name: str
    outlook: Outlook
    decides: bool


def run(given: argparse.Namespace) -> int:
    """Look ahead for each gate."""
    if given.subject in _FAMILIES:
        if given.people is None:
            remedy = f"say how many: kycquant plan {given.subject} --people 300"
            raise UsageError("--people", "is missing", remedy)
        found = [_of_numbers(given)]
    else:
        if given.people is not None or given.limit:
            raise UsageError(
                "plan", "numbers belong to a kind of model", f"name {', '.join(_FAMILIES)}"
            )
        found = _of_file(Path(given.subject), given.profile)
    if given.json:
        output.as_json(found)
    else:
        for one in found:
            _tell(one)
        _close(found)
    return DONE if all(one.decides for one in found) else NEGATIVE


def _of_numbers(given: argparse.Namespace) -> Planned:
    from ..bench.beforehand import of_trials
    from .imagined_data import Numbers, data_of, imagined

    numbers = Numbers(given.people, given.images_each, given.species)
    task = imagined(given.subject, given.profile, dict(given.limit))
    data = data_of(given.subject, numbers)
    outlook = of_trials(given.subject, data.evaluation.size, task.prospects(data))
    return _planned(given.subject, outlook)


def _of_file(path: Path, profile: Profile) -> list[Planned]:
    from ..bench.beforehand import of_gate
    from .gate_classes import gate_classes, resolver

    found = []
    for cls in gate_classes(path):
        asked: Profile = getattr(cls, "profile", None) or profile
        outlook = of_gate(cls.model, cls.limits, asked, resolver(path), f"{cls.__name__}.limits")
        found.append(_planned(cls.__name__, outlook))
    return found


def _planned(name: str, outlook: Outlook) -> Planned:
    return Planned(name, outlook, not outlook.cannot and not outlook.may)


def _tell(planned: Planned) -> None:
    outlook = planned.outlook
    output.say(f"{planned.name}: {outlook.size}")
    if not (outlook.can or outlook.cannot or outlook.may):
        output.point("nothing is known beforehand: it depends on the metric", "?")
    if outlook.can:
        output.point(f"{', '.join(outlook.can)}, if hardly any decision is wrong", "can decide:")
    for sentence in outlook.cannot:
        output.point(sentence, "cannot:")
    for sentence in outlook.may:
        output.point(sentence, "may not:")
    if outlook.plan:
        output.point(outlook.plan, "plan:")


def _close(found: list[Planned]) -> None:
    output.say()
    if all(one.decides for one in found):
        output.say("This data can decide. What it decides depends on the model.")
    else:
        output.say(
            "Gates that stay undecided fail. Collect the planned number before the first run, not "
            "until a run passes."
        )
    output.say("How it is counted: docs/verdicts.md.")


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        problem = f"{text!r} is not NAME=VALUE, such as far=0.0005"
        raise argparse.ArgumentTypeError(problem) from None
