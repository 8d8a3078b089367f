"""The figures that public yardsticks ask for, beside ours: no certificate, but the same question.

Both texts were read in full:

NIST SP 800-63A-4 (August 2025), section 3.11, on biometrics in identity proofing: for one-to-one
comparison "False match rate: 1:10,000 or better" and "False non-match rate: 1:100 or better"; for
each demographic group (sex, age, skin tone) a performance "that is no more than 25 % worse than the
performance for the overall population", of both rates; presentation attack detection with an
"impostor attack presentation accept rate (IAPAR) performance metric of <0.07". It names no
confidence, so the measured rates are compared.

The Common Criteria PP-Module for Biometric Enrolment and Verification (FIA_MBV_EXT.1.2): a FAR
"not exceeding [value equal to or less than 0.01% (1:10^4)]" and an FRR not exceeding "5% (5:100)],
for the upper bound of [value equal to or greater than 80%] confidence interval", of transactions.
Its supporting document takes all comparisons of the test subjects for independent, so the bound
here is that of Clopper and Pearson without a design effect.

That of FIDO's Biometrics Requirements is left out, since only summaries of its text could be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..data.applicants import ApplicantSet
from ..data.liveness import LIVE
from ..statistics import Rate, clopper_pearson
from .record import Yardstick
from .transactions import Mask, Thresholds, Transactions

if TYPE_CHECKING:
    from collections.abc import Mapping

NIST = "NIST SP 800-63A-4"
PP_MODULE = "BIO PP-Module (Common Criteria)"
_FMR, _FNMR, _IAPAR, _WORSE = 1e-4, 1e-2, 0.07, 1.25
_FAR, _FRR, _CONFIDENCE = 1e-4, 0.05, 0.9  # the upper bound of a two-sided interval of 80 %
_GROUPS = {
    "sex": ("sex", "gender"),
    "age": ("age",),
    "skin tone": ("skin", "tone", "fitzpatrick", "monk"),
}


def rows(one: Transactions) -> list[Yardstick]:
    """Compare a pipeline with each yardstick."""
    return [*_nist(one), *_pp_module(one)]


def _nist(one: Transactions) -> Iterator[Yardstick]:
    """Comparisons of documents and selfies on which a face is found, and attacks."""
    rule = "measured, at most"
    everybody = np.ones(len(one.applicants.names), np.bool_)
    overall = _compared(one, everybody)
    for name, limit in (("FMR", _FMR), ("FNMR", _FNMR)):
        yield _row(NIST, name, limit, overall.get(name), rule)
    groups = {group: _compared(one, members) for group, members in one.applicants.in_group()}
    for name in ("FMR", "FNMR"):
        found = {group: rates[name] for group, rates in groups.items() if name in rates}
        yield _worst_group(one, name, overall.get(name), found)
    species = [one.iapar(kind) for kind in range(len(one.applicants.species_names))]
    if species:
        worst = max(range(len(species)), key=lambda kind: species[kind].value)
        attacks = species[worst]
        yield Yardstick(
            NIST,
            f"IAPAR, worst species ({one.applicants.species_names[worst]})",
            _IAPAR,
            attacks.value,
            "measured, below",
            attacks.upper,
            attacks.value < _IAPAR,
            _of(attacks),
        )


def _compared(one: Transactions, among: Mask) -> dict[str, Rate]:
    """FMR and FNMR of the comparisons among some people, whatever is live; without FTA.

    Comparisons are those of people on all of whose pictures a face is found.

    Args:
        one: the transactions.
        among: whether each person is one of them, (P,) bool.
    """
    applicants = one.applicants
    people, genuine = applicants.people, applicants.species == LIVE
    found = one.documents.found & among
    lost = people[genuine & ~one.selfies.found]
    found[lost] = False
    chosen = found & np.isin(np.arange(len(found)), people[genuine])
    kept = genuine & chosen[people]
    if np.count_nonzero(chosen) < 2:
        return {}
    number = np.cumsum(chosen) - 1
    part = ApplicantSet(
        applicants.documents.subset(chosen),
        applicants.selfies.subset(kept),
        number[people[kept]],
        np.full(int(kept.sum()), LIVE, np.int64),
        (),
        tuple(name for name, each in zip(applicants.names, chosen, strict=True) if each),
    )
    thresholds = Thresholds(one.thresholds.match, None, one.thresholds.how)
    documents = one.documents.subset(chosen, part.documents.names)
    selfies = one.selfies.subset(kept, part.selfies.names)
    comparisons = Transactions(part, documents, selfies, thresholds)
    return {"FMR": comparisons.far(), "FNMR": comparisons.frr()}


def _worst_group(
    one: Transactions, name: str, overall: Rate | None, found: Mapping[str, Rate]
) -> Yardstick:
    lacking = [
        wanted
        for wanted, words in _GROUPS.items()
        if not any(word in column.lower() for column in _columns(one) for word in words)
    ]
    missing = f"the data has no groups by {', '.join(lacking)}" if lacking else ""
    rule = "measured, at most 1.25 of all"
    title = f"{name}, worst group"
    limit = 0.0 if overall is None else _WORSE * overall.value
    if not found or overall is None:
        return Yardstick(NIST, title, limit, None, rule, None, False, missing)
    worst = max(found, key=lambda group: found[group].value)
    rate = found[worst]
    holds = rate.value <= limit and not lacking
    detail = "; ".join(filter(None, (missing, f"{worst}: {_of(rate)}")))
    return Yardstick(NIST, title, limit, rate.value, rule, rate.upper, holds, detail)


def _columns(one: Transactions) -> tuple[str, ...]:
    groups = one.applicants.groups
    return () if groups is None else groups.columns


def _pp_module(one: Transactions) -> Iterator[Yardstick]:
    """Transactions: everything must hold."""
    rule = "upper bound of the interval of 80 %, pairs as independent"
    for name, limit, found in (("FAR", _FAR, one.far()), ("FRR", _FRR, one.frr())):
        _, upper = clopper_pearson(found.errors, found.trials, _CONFIDENCE)
        yield Yardstick(
            PP_MODULE, name, limit, upper, rule, found.upper, upper <= limit, _of(found)
        )


def _row(yardstick: str, name: str, limit: float, found: Rate | None, rule: str) -> Yardstick:
    if found is None or not found.trials:
        return Yardstick(yardstick, name, limit, None, rule, None, False, "nothing is compared")
    return Yardstick(
        yardstick, name, limit, found.value, rule, found.upper, found.value <= limit, _of(found)
    )


def _of(found: Rate) -> str:
    return f"{found.errors:,} of {found.trials:,}"
