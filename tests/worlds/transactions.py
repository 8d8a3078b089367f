"""Applicants and what a pipeline made of them, without images: for tests of rates and gates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.data.applicants import ApplicantSet
from pytest_kycquant.data.groups import GroupTable
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.pipeline.decisions import Decisions
from pytest_kycquant.pipeline.seen import Seen
from pytest_kycquant.pipeline.transactions import Thresholds, Transactions
from pytest_kycquant.spec.limits import PipelineLimits
from pytest_kycquant.tasks.face.measures import COSINE

THRESHOLDS = Thresholds(0.5, 0.6, COSINE)
KINDS = (LIVE, 0, 1)  # bona fide, print, screen
# Limits so generous that a sound pipeline passes beyond doubt.
GENEROUS = PipelineLimits(
    far=0.9,
    frr=0.9,
    iapar=0.9,
    fta=0.9,
    far_degradation=0.9,
    frr_degradation=0.9,
    iapar_degradation=0.9,
    group_frr_degradation=0.9,
    flips=0.9,
    pair_flips=0.9,
)


def blank(names: list[str], origin: str) -> ImageSet:
    """Images that are never looked at."""
    return ImageSet(Path(origin), tuple(names), np.zeros((len(names), 1, 1), np.uint8))


def applicants(people: int, *, kinds: tuple[int, ...] = KINDS, each: int = 1) -> ApplicantSet:
    """People with so many selfies of each kind; every other one is in group one."""
    names = [f"p{number:04d}" for number in range(people)]
    owner = np.repeat(np.arange(people), len(kinds) * each)
    species = np.tile(np.repeat(np.array(kinds), each), people)
    groups = {name: ("one" if place % 2 else "two",) for place, name in enumerate(names)}
    return ApplicantSet(
        blank([f"d{name}.jpg" for name in names], "documents"),
        blank([f"s{place}.jpg" for place in range(len(owner))], "selfies"),
        owner,
        species,
        ("print", "screen") if len(kinds) > 1 else (),
        tuple(names),
        GroupTable(Path("applicants.csv"), "subject", ("half",), groups),
    )


def sound(people: ApplicantSet, *, seed: int = 0, noise: float = 0.25) -> tuple[Seen, Seen]:
    """What a sound pipeline makes of documents and selfies: nobody is let in or out by mistake."""
    rng = np.random.default_rng(seed)
    number, selfies = len(people.names), len(people.people)
    centres = rng.normal(size=(number, 128))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)

    def seen(owner: NDArray[Any], scores: NDArray[Any]) -> Seen:
        given = centres[owner] + noise * rng.normal(size=(len(owner), 128)) / np.sqrt(128)
        return Seen(given.astype(np.float32), np.ones(len(owner), np.bool_), scores)

    live = np.where(people.species == LIVE, 0.9, 0.2) + rng.uniform(-0.05, 0.05, selfies)
    return seen(np.arange(number), np.full(number, np.inf)), seen(people.people, live)


def transactions(
    people: ApplicantSet, documents: Seen, selfies: Seen, thresholds: Thresholds = THRESHOLDS
) -> Transactions:
    """The decisions of a pipeline that made this of them."""
    return Transactions(people, documents, selfies, thresholds)


def decisions(
    fp32: Transactions, shipped: Transactions, limits: PipelineLimits | None = None
) -> Decisions:
    """Both beside each other."""
    return Decisions(fp32, shipped, limits or PipelineLimits())


def lost(seen: Seen, chosen: NDArray[Any] | list[int]) -> Seen:
    """Images on which no face is found."""
    found, embeddings = seen.found.copy(), seen.embeddings.copy()
    found[chosen], embeddings[chosen] = False, np.nan
    scores = seen.scores.copy()
    scores[chosen] = np.inf
    return replace(seen, found=found, embeddings=embeddings, scores=scores)


def scored(seen: Seen, chosen: NDArray[Any] | list[int], score: float) -> Seen:
    """Images with another probability of a live face."""
    scores = seen.scores.copy()
    scores[chosen] = score
    return replace(seen, scores=scores)


def embedded(seen: Seen, chosen: NDArray[Any] | list[int], like: NDArray[Any]) -> Seen:
    """Images with other embeddings."""
    embeddings = seen.embeddings.copy()
    embeddings[chosen] = like
    return replace(seen, embeddings=embeddings)
