"""Names of people, classes and groups, compared as a reader compares them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from ..errors import DataError
from .files import listed

# Letters that show nothing, besides the format characters (Cf), from Unicode's list of default
# ignorable code points: joiners, fillers and variation selectors.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)


def plain_name(name: str) -> str:
    """Return a name without the differences that no reader sees or cares about.

    These are case, surrounding space and the amount of inner space, compatibility forms of Unicode
    (NFKC, such as full-width letters), and characters that show nothing.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return " ".join(_INVISIBLE.sub("", seen).split())


def refuse_same_names(names: Iterable[str], where: object, what: str) -> None:
    """Reject names that differ in nothing else: one person would count as two.

    Args:
        names: the names, each once.
        where: the data that the names come from.
        what: what has the names, such as "people", for the message.

    Raises:
        DataError: two names are the same for a reader.
    """
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        spellings[plain_name(name)].append(name)
    same = [" = ".join(map(repr, group)) for group in spellings.values() if len(group) > 1]
    if same:
        raise DataError(
            where,
            f"has {what} whose names differ only in case, space or form: {listed(same)}",
            "use one spelling for one and the same, and really different names for others",
        )


def shared_names(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """Find the names of one set that another has, too, perhaps in another spelling.

    Names without a letter are ignored: they are mere numbers, which start again in every folder.

    Returns:
        The names, sorted; both spellings if they differ.
    """
    known = {plain_name(name): name for name in second}
    shared = []
    for name in sorted(set(first)):
        other = known.get(plain_name(name))
        if other is not None and any(letter.isalpha() for letter in name):
            shared.append(name if name == other else f"{name!r} = {other!r}")
    return shared
