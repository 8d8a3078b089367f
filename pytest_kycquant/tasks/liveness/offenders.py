"""The captures that weigh most in the verdict of a liveness gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...data.liveness import LIVE
from ...results import MOST_OFFENDERS, Offender
from ..checks import known

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .scores import Decisions


def of_kind(
    fp32: Decisions, variant: Decisions, kind: int, among: NDArray[np.bool_] | None = None
) -> list[Offender]:
    """The attacks with the highest scores, or the live captures (`LIVE`) with the lowest.

    Args:
        fp32: the decisions of FP32.
        variant: the decisions of the variant.
        kind: the index of the species, or `LIVE`.
        among: (N,) bool, the captures to look at; all by default.
    """
    members = fp32.captures.species == kind
    if among is not None:
        members &= among
    scores = variant.scores[members]
    danger = np.where(np.isnan(scores), np.inf, -scores if kind == LIVE else scores)
    order = np.argsort(-danger, kind="stable")[:MOST_OFFENDERS]
    return [_capture(fp32, variant, int(i)) for i in np.flatnonzero(members)[order]]


def newly_wrong(
    fp32: Decisions, variant: Decisions, kind: int, among: NDArray[np.bool_] | None = None
) -> list[Offender]:
    """The captures of a kind that only the variant decides wrongly; see `of_kind`."""
    newly = variant.wrong & ~fp32.wrong
    return of_kind(fp32, variant, kind, newly if among is None else newly & among)


def furthest(
    fp32: Decisions, variant: Decisions, apart: NDArray[np.float64], among: NDArray[np.bool_]
) -> list[Offender]:
    """The captures whose scores are furthest from those of FP32.

    Args:
        fp32: the decisions of FP32.
        variant: the decisions of the variant.
        apart: (N,) how far.
        among: (N,) bool, the captures to look at.
    """
    (members,) = np.nonzero(among)
    order = np.argsort(-apart[members], kind="stable")[:MOST_OFFENDERS]
    return [_capture(fp32, variant, int(i)) for i in members[order]]


def _capture(fp32: Decisions, variant: Decisions, index: int) -> Offender:
    captures, threshold = fp32.captures, fp32.threshold
    species = int(captures.species[index])
    shown = "live" if species == LIVE else captures.species_names[species]
    if not captures.species_names:
        shown = ""  # without labels
    if captures.knows_subjects:
        shown = ", ".join(filter(None, (shown, captures.subject_names[captures.subjects[index]])))
    mine, theirs = variant.scores[index], fp32.scores[index]
    finding = "taken for live" if mine >= threshold else "rejected"
    if np.isnan(threshold):  # nothing was decided
        finding = "score"
    elif (mine >= threshold) != (theirs >= threshold):
        finding = f"newly {finding}"
    name = captures.images.names[index]
    return Offender((name,), shown, known(mine), known(theirs), known(threshold), finding)
