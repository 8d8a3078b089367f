"""Imaginary populations of people, for benchmarks of the statistics.

Each function draws unit embeddings of some people with some images each, and says who each image
shows. What belongs to a population, such as a direction that some faces share, is the same in all
draws. A variant moves embeddings as quantization does; `VARIANTS` says how far.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.tasks.face.measures import normalise

DIMENSION = 64

Floats = NDArray[np.float32]
Subjects = NDArray[np.int64]
Draw = Callable[[int, int, np.random.Generator], tuple[Floats, Subjects]]


def strangers(people: int, images: int, rng: np.random.Generator) -> tuple[Floats, Subjects]:
    """Identities are independent, and everybody is photographed equally well."""
    return _photographs(rng.normal(size=(people, DIMENSION)), images, 0.75, rng)


def families(people: int, images: int, rng: np.random.Generator) -> tuple[Floats, Subjects]:
    """Groups of four look alike: most false accepts are among relatives."""
    parents = rng.normal(size=(-(-people // 4), DIMENSION)).repeat(4, axis=0)[:people]
    return _photographs(parents * 0.5 + rng.normal(size=parents.shape), images, 0.75, rng)


def lambs(people: int, images: int, rng: np.random.Generator) -> tuple[Floats, Subjects]:
    """Some people resemble others, and some are hard to recognize (Doddington's menagerie)."""
    common = np.ones(DIMENSION)  # the same in all runs, since it belongs to the population
    pull = rng.beta(1, 5, (people, 1)) * 1.2
    identities = rng.normal(size=(people, DIMENSION)) + pull * common
    return _photographs(identities, images, 0.4 + rng.gamma(2, 0.2, (people, 1)), rng)


def goats(people: int, images: int, rng: np.random.Generator) -> tuple[Floats, Subjects]:
    """One person in twenty is hard to recognize."""
    noise = np.where(rng.random((people, 1)) < 0.05, 1.3, 0.65)
    return _photographs(rng.normal(size=(people, DIMENSION)), images, noise, rng)


def rare_goats(people: int, images: int, rng: np.random.Generator) -> tuple[Floats, Subjects]:
    """One person in a hundred is nearly always rejected, and the others hardly ever."""
    noise = np.where(rng.random((people, 1)) < 0.01, 2.5, 0.6)
    return _photographs(rng.normal(size=(people, DIMENSION)), images, noise, rng)


def bad_photographs(people: int, images: int, rng: np.random.Generator) -> tuple[Floats, Subjects]:
    """One photograph of each person is bad, such as that of the document."""
    noise = np.full((people, images), 0.6)
    noise[:, 0] = 1.15
    return _photographs(rng.normal(size=(people, DIMENSION)), images, noise.reshape(-1, 1), rng)


def goats_among_others(
    people: int, images: int, rng: np.random.Generator
) -> tuple[Floats, Subjects]:
    """One person in a hundred is nearly always rejected, and the others now and then."""
    noise = np.where(rng.random((people, 1)) < 0.01, 2.5, 0.9)
    return _photographs(rng.normal(size=(people, DIMENSION)), images, noise, rng)


POPULATIONS: tuple[Draw, ...] = (
    strangers,
    families,
    lambs,
    goats,
    rare_goats,
    bad_photographs,
    goats_among_others,
)

VARIANTS = {"as FP16": 1e-4, "8-bit weights": 0.03, "INT8": 0.11}
"""How far a variant moves embeddings of unit length: mean cosines 1.0000, .9996 and .994."""


def moved(embeddings: Floats, amount: float, rng: np.random.Generator) -> Floats:
    """The embeddings of a variant."""
    noise = rng.normal(size=embeddings.shape) * amount / np.sqrt(DIMENSION)
    return normalise((embeddings + noise).astype(np.float32))


def threshold_at(draw: Draw, rate: float, rng: np.random.Generator, people: int = 2000) -> float:
    """The threshold at which that share of impostor pairs of a population is accepted."""
    embeddings, subjects = draw(people, 2, rng)
    scores = embeddings[::2] @ embeddings[1::2].T
    others = subjects[::2, None] != subjects[None, 1::2]
    return float(np.quantile(scores[others], 1 - rate))


def _photographs(
    identities: NDArray[np.float64],
    images: int,
    noise: float | NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[Floats, Subjects]:
    """Photographs with a noise for all, for each person, or for each photograph."""
    subjects = np.arange(len(identities)).repeat(images)
    each = np.asarray(noise, np.float64)
    if each.ndim and len(each) == len(identities):
        each = each[subjects]
    shots = identities[subjects] + each * rng.normal(size=(len(subjects), DIMENSION))
    return normalise(shots.astype(np.float32)), subjects
