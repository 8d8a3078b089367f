"""What must happen with a bad input, and what is wrong about what happened."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.corpus.outcome import Outcome
from tests.corpus.trial import Seen, Trial

REFUSED, WARNED, SAME, FAILS, PASSES = "refused", "warned", "same verdicts", "fails", "passes"
WRONG_PASS, TRACEBACK, UNCLEAR, HANG, DESTROYED, LEAKED, OTHER = KINDS = (
    "wrong passes",
    "tracebacks",
    "unclear messages",
    "hangs",
    "things destroyed",
    "leaked",
    "other outcomes",
)
LONGEST = 2_000
_TELEMETRY = "home/.cache"  # onnxruntime 1.29 and later
_LONGEST_OUTPUT = 60_000
# What moves the cursor, starts a sequence, or changes the direction of the text after it.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Expect:
    """What must happen: one of these outcomes.

    Args:
        outcomes: "refused" with one clear error, "warned" and passing, "same verdicts" as the sound
            project, "fails" because of a gate, or "passes", whatever the figures.
        about: the error must contain one of these words: the file or the attribute at fault.
        sound: whether the model is sound, so that it may be named to ship in a run that is refused.
        says: pattern that the error or the warning must contain, in upper or lower case.
    """

    outcomes: frozenset[str]
    about: tuple[str, ...] = ()
    says: str = ""
    sound: bool = False

    def __or__(self, other: Expect) -> Expect:
        """Either outcome will do."""
        outcomes, about = self.outcomes | other.outcomes, self.about + other.about
        return Expect(outcomes, about, self.says or other.says, self.sound or other.sound)


def refused(*about: str, says: str = "", sound: bool = False) -> Expect:
    """Refused with one clear error about one of these."""
    return Expect(frozenset({REFUSED}), about, says, sound)


def warned(says: str) -> Expect:
    """Passes, and says this."""
    return Expect(frozenset({WARNED}), (), says)


SAME_VERDICTS = Expect(frozenset({SAME}))
FAILING = Expect(frozenset({FAILS}))
PASSING = Expect(frozenset({PASSES}))


@dataclass(frozen=True)
class Finding:
    """Something that should not have happened."""

    kind: str
    what: str


def judge(
    expect: Expect,
    trial: Trial,
    outcome: Outcome,
    before: Mapping[str, Seen],
    after: Mapping[str, Seen],
    sound: Mapping[str, Any],
) -> list[Finding]:
    """Compare what happened with what must happen, and with what must never happen.

    Args:
        expect: what must happen.
        trial: the run.
        outcome: what it printed.
        before: the user's files before the run.
        after: the same after it.
        sound: the verdicts of the project without damage.
    """
    found = [
        *_never(trial, outcome),
        *_destroyed(trial, before, after),
        *_left(trial, before, after),
    ]
    if trial.clears_nothing:
        exported = sorted(path for path in set(after) - set(before) if path.endswith(".onnx"))
        cleared = (*outcome.ships, *exported)
        found += [Finding(WRONG_PASS, f"{what} is cleared to ship") for what in cleared]
    if outcome.status is not None and not any(f.kind == TRACEBACK for f in found):
        found += _unexpected(expect, outcome, sound)
    return found


def _never(trial: Trial, outcome: Outcome) -> Iterator[Finding]:
    """What must not happen to any input."""
    if outcome.status is None:
        yield Finding(HANG, f"killed after {trial.timeout:g} s")
    elif outcome.status < 0 or outcome.status > 128:
        yield Finding(TRACEBACK, f"ended by a signal ({outcome.status})")
    if outcome.raw:
        yield Finding(TRACEBACK, outcome.raw[-1].strip()[:200])
    if control := _CONTROL.search(outcome.text):
        near = outcome.text[max(0, control.start() - 40) : control.end() + 20]
        yield Finding(LEAKED, f"prints a control character: {near!r}")


def _destroyed(
    trial: Trial, before: Mapping[str, Seen], after: Mapping[str, Seen]
) -> Iterator[Finding]:
    found = []
    for path, was in before.items():
        now = after.get(path)
        if path in trial.may_change or now == was:
            continue
        if now is None:
            found.append(f"{path} is gone")
        elif (now.kind, now.content) != (was.kind, was.content):
            found.append(f"{path} was overwritten")
        else:
            found.append(f"{path} has other permissions ({now.mode:o})")
    if found:
        yield Finding(DESTROYED, _some(found))


def _left(trial: Trial, before: Mapping[str, Seen], after: Mapping[str, Seen]) -> Iterator[Finding]:
    """What lies where it should not."""
    new = set(after) - set(before)
    if any(path.startswith(_TELEMETRY) for path in new):
        yield Finding(LEAKED, f"onnxruntime's telemetry is on: {_TELEMETRY}")
    known = {trial.report_file.name, _TELEMETRY, *trial.may_appear}
    found = [
        f"leaves {path}"
        for path in sorted(new)
        if os.path.dirname(path) not in new
        and (path.endswith(".partial") or not any(_below(path, one) for one in known))
    ]
    if found:
        yield Finding(LEAKED, _some(found))
    for tag in trial.root.rglob("CACHEDIR.TAG"):
        if tag.parent.name != ".pytest_cache":
            yield from _laid_open(tag.parent)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _some(found: list[str]) -> str:
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more


def _laid_open(cache: Path) -> Iterator[Finding]:
    """Others' rights to a cache, which holds biometric templates, and leftovers in it."""
    mode = stat.S_IMODE(cache.stat().st_mode)
    if mode & 0o077:
        yield Finding(LEAKED, f"the cache is open to others ({mode:o})")
    for path in sorted(cache.rglob("*")):
        if path.name.startswith("partial-") or path.name.endswith(".partial"):
            yield Finding(LEAKED, f"leaves {path.relative_to(cache)} in the cache")
        elif not path.is_symlink() and mode & 0o077 and path.stat().st_mode & 0o004:
            yield Finding(LEAKED, "everybody can read what is in the cache")
            return


def _unexpected(expect: Expect, outcome: Outcome, sound: Mapping[str, Any]) -> Iterator[Finding]:
    wanted = " or ".join(sorted(expect.outcomes))
    if outcome.status == 0:
        if PASSES in expect.outcomes:
            return
        same = outcome.verdicts == sound
        if SAME in expect.outcomes and same:
            return
        if WARNED in expect.outcomes and re.search(expect.says, outcome.text, re.IGNORECASE):
            return
        if expect.outcomes == {SAME}:
            yield Finding(OTHER, "passes with other verdicts than the sound project")
        else:
            yield Finding(WRONG_PASS, f"exit status 0, but it must be {wanted}")
        return
    if outcome.ships and not expect.sound and not expect.outcomes & {SAME, WARNED, PASSES}:
        yield Finding(WRONG_PASS, f"names {outcome.ships[0]} to ship, but it must be {wanted}")
    if outcome.errors:
        if REFUSED in expect.outcomes:
            yield from _unclear(expect, outcome)
        else:
            problem = f"refused, but it must be {wanted}: {outcome.errors[0][:200]!r}"
            yield Finding(OTHER, problem)
    elif outcome.failures:
        if FAILS not in expect.outcomes:
            yield Finding(OTHER, f"fails, but it must be {wanted}: {outcome.failures[0][:120]!r}")
    elif WARNED not in expect.outcomes or not re.search(expect.says, outcome.text, re.IGNORECASE):
        yield Finding(UNCLEAR, f"exit status {outcome.status}, and no error says why")


def _unclear(expect: Expect, outcome: Outcome) -> Iterator[Finding]:
    """Whether an error lacks what its reader needs."""
    if len(outcome.errors) > 1:
        both = " and ".join(repr(message[:100]) for message in outcome.errors[:2])
        yield Finding(UNCLEAR, f"{len(outcome.errors)} different errors: {both}")
    if len(outcome.text) > _LONGEST_OUTPUT:
        yield Finding(UNCLEAR, f"prints {len(outcome.text):,} characters")
    message = outcome.errors[0]
    if len(message) > LONGEST:
        yield Finding(UNCLEAR, f"an error of {len(message):,} characters: {message[:100]!r}")
        return
    folded = message.casefold()
    lacks = []
    if expect.about and not any(word.casefold() in folded for word in expect.about):
        lacks.append(f"does not name {' or '.join(expect.about)}")
    where, _, rest = message.partition(": ")
    problem, _, remedy = rest.partition("; ")
    if not (where.strip() and problem.strip()):
        lacks.append("does not say where and what")
    if not remedy.strip():
        lacks.append("has no remedy")
    if expect.says and not re.search(expect.says, message, re.IGNORECASE):
        lacks.append(f"does not say {expect.says!r}")
    if lacks:
        yield Finding(UNCLEAR, f"{', '.join(lacks)}: {message[:300]!r}")
