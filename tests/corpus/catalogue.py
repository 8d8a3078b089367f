"""All kinds of bad inputs by name, and the few that run with the tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.corpus.case import Case
from tests.corpus.kinds import (
    archives,
    caches,
    copies,
    crafted,
    environments,
    gates,
    goldens,
    images,
    labels,
    models,
    settings,
    weights,
)

KINDS: dict[str, Callable[[random.Random], Iterator[Case]]] = {
    "models": models.cases,
    "crafted": crafted.cases,
    "weights": weights.cases,
    "images": images.cases,
    "copies": copies.cases,
    "labels": labels.cases,
    "archives": archives.cases,
    "goldens": goldens.cases,
    "gates": gates.cases,
    "settings": settings.cases,
    "caches": caches.cases,
    "environments": environments.cases,
}
"""Each makes its cases from a source of random numbers."""


def cases_of(kind: str, seed: int) -> list[Case]:
    """The cases of a kind; another seed gives other inputs."""
    return list(KINDS[kind](random.Random(f"{seed}/{kind}")))


def share(seed: int, each: int = 2) -> list[Case]:
    """A few quick cases of every kind, for the tests; two of the worlds are enough for them."""
    rng = random.Random(f"{seed}/share")
    found = []
    for kind in KINDS:
        quick = [case for case in cases_of(kind, seed) if not case.slow and case.world in _QUICK]
        found += rng.sample(quick, each)
    return found


_QUICK = ("face", "folders")
