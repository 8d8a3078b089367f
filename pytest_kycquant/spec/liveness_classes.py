"""Which value of a liveness model's output stands for a live face, by the names of its classes."""

from __future__ import annotations

from typing import Any

from ..errors import SpecError
from . import coerce

LIVE_WORDS = frozenset({"live", "real", "genuine", "bona fide", "bonafide"})
ATTACK_WORDS = frozenset({"attack", "attacks", "spoof", "fake", "presentation attack"})
_USUAL = 1  # the live class where no class is named: that of MiniFASNet
_WHERE = "LivenessDetection.live_class"


def word(text: str) -> str:
    """Unify the spellings of a word, such as Bona-Fide and bona_fide."""
    return text.lower().replace("_", " ").replace("-", " ").strip()


def live_index(given: Any, classes: tuple[str, ...] | None) -> int:
    """Find the index of the live class.

    Args:
        given: the index, a name, or None if the names of the classes tell it.
        classes: the names of the classes, if they are given. A single one may be that of the
            attack; live is then the class after it, whose value is what remains to one.

    Raises:
        SpecError: there is no such class, or the names do not tell which one is live.
    """
    plain = coerce.scalar(given)
    if classes is None:
        if isinstance(plain, str):
            remedy = 'name all classes in their order, such as classes=("spoof", "live")'
            raise SpecError(_WHERE, f"{coerce.shown(given)} needs the names of the classes", remedy)
        return _USUAL if given is None else _index(given)
    if given is None:
        return _by_words(classes)
    if not isinstance(plain, str):
        index = _index(given)
        # The index after a single attack is what None becomes: a copy of the task says it again.
        if index < len(classes):
            return _not_attack(index, classes)
        if len(classes) == 1 and index == _by_words(classes):
            return index
        raise SpecError(_WHERE, f"{index} is not one of the {len(classes)} classes", _choose())
    return _not_attack(classes.index(coerce.choice(_WHERE, plain, classes)), classes)


def _not_attack(index: int, classes: tuple[str, ...]) -> int:
    if word(classes[index]) in ATTACK_WORDS:
        problem = f"{classes[index]!r} is the name of an attack, not of a live face"
        raise SpecError(_WHERE, problem, _choose())
    return index


def _index(given: Any) -> int:
    remedy = "give the index of the live class, counted from 0"
    index = coerce.whole(_WHERE, given, remedy)
    if index < 0:
        raise SpecError(_WHERE, f"{index} is not an index", remedy)
    return index


def _by_words(classes: tuple[str, ...]) -> int:
    live = [index for index, name in enumerate(classes) if word(name) in LIVE_WORDS]
    if len(live) == 1:
        return live[0]
    if len(classes) == 1 and word(classes[0]) in ATTACK_WORDS:
        return 1
    names = ", ".join(map(repr, classes))
    raise SpecError(_WHERE, f"does not follow from the names of the classes {names}", _choose())


def _choose() -> str:
    return (
        'name the live one, as in classes=("fake", "authentic"), live_class="authentic"; a single '
        'value is ("live",) or ("attack",)'
    )
