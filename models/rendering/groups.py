"""Which groups rendered people belong to, by what `people.person` drew for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .people import Person, person

# A third of all people each: skin is drawn evenly along a palette (`people.person`).
_LIGHT, _DARK = 190.0, 131.0  # luma, 0..255
_YOUNG = 0.35  # of `Skin.age`; half of all people


def write_groups(path: Path, *splits: Iterable[int]) -> None:
    """Write a table of groups: ``subject,skin,age``, a line for each person of the splits."""
    people = (seed for split in splits for seed in split)
    lines = ["subject,skin,age"]
    lines += [",".join((f"id{seed}", *groups(person(seed)))) for seed in people]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def groups(who: Person) -> tuple[str, str]:
    """Tone of the skin (ITU-R BT.601 luma) and age, in words."""
    red, green, blue = who.skin.colour
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    tone = "light" if luma > _LIGHT else "medium" if luma > _DARK else "dark"
    return tone, "younger" if who.skin.age < _YOUNG else "older"
