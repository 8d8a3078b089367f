"""Names of people, classes and groups, compared as a reader compares them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from ..errors import DataError
from .files import listed

# Unicode's default ignorable code points, which show nothing, with those kept for later versions.
# Format characters (Cf) outside of it show nothing either.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# Symbols and letters whose picture is empty, but has a width: blanks of Braille, of musical and
# Egyptian writing, and fillers of Hangul and Khitan.
_BLANK = re.compile("[\u2800\u3164\uffa0\U00013441\U00013442\U00016fe4\U0001d159]")
_DASH = re.compile("[\u2010-\u2015\u2043\u2212\ufe58\ufe63\uff0d]")
# The last is an acute accent of its own, decomposed.
_APOSTROPHE = re.compile("[`\u02b9\u02bb-\u02bd\u02c8\u2018-\u201b\u2032\u2035]|\\s\u0301")
# In Turkish, the capitals of i and dotless i are dotted I and I: the dot depends on case.
_DOT = re.compile("([ij\u0131\u0237][\u0316-\u0333]*)\u0307")


def plain_name(name: str) -> str:
    """Return a name without the differences that no reader sees or cares about.

    These are case (also of the Turkish i), space, compatibility forms of Unicode (NFKD, such as
    full-width letters), the kinds of dashes and apostrophes, and characters that show nothing.
    A name that was made plain stays as it is.
    """
    before, text = None, name
    while text != before:
        before, text = text, _visible(text).casefold()
        text = _DOT.sub(r"\1", text).replace("\u0131", "i").replace("\u0237", "j")
    return text


def _visible(name: str) -> str:
    """Decompose a name, and leave out what shows nothing."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKD", _BLANK.sub(" ", name)))
    seen = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    # What was left out may have kept accents apart that have an order.
    text = _DASH.sub("-", _APOSTROPHE.sub("'", unicodedata.normalize("NFKD", seen)))
    return " ".join(text.split())


def _written(names: Iterable[str]) -> str:
    """Write names as ``a = b``, with escapes if they look the same."""
    spellings = list(names)
    alike = len({_visible(name) for name in spellings}) < len(spellings)
    hidden = any(_INVISIBLE.search(name) or _BLANK.search(name) for name in spellings)
    return " = ".join(map(ascii if alike or hidden else repr, spellings))


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
    same = [_written(group) for group in spellings.values() if len(group) > 1]
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
            shared.append(name if name == other else _written((name, other)))
    return shared
