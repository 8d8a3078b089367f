"""Figures of public yardsticks: each one holds for a sound pipeline, and fails for its fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta

from pytest_kycquant.data.applicants import ApplicantSet
from pytest_kycquant.data.groups import GroupTable
from pytest_kycquant.pipeline.record import Yardstick
from pytest_kycquant.pipeline.seen import Seen
from pytest_kycquant.pipeline.yardsticks import NIST, PP_MODULE, rows
from pytest_kycquant.spec.limits import PipelineLimits
from pytest_kycquant.spec.profiles import limits_under
from tests.worlds.transactions import applicants, embedded, lost, scored, sound, transactions

COLUMNS = ("sex", "age", "skin")


def people(number: int = 200, columns: tuple[str, ...] = COLUMNS) -> ApplicantSet:
    found = applicants(number)
    groups = {
        name: tuple("ab"[(place >> shift) % 2] for shift in range(len(columns)))
        for place, name in enumerate(found.names)
    }
    return replace(found, groups=GroupTable(Path("a.csv"), "subject", columns, groups))


def judged(applicant_set: ApplicantSet, documents: Seen, selfies: Seen) -> dict[str, Yardstick]:
    found = rows(transactions(applicant_set, documents, selfies))
    return {f"{row.yardstick} {row.figure}": row for row in found}


def test_a_sound_pipeline_holds() -> None:
    everybody = people()
    found = judged(everybody, *sound(everybody))
    assert list(found) == [
        f"{NIST} FMR",
        f"{NIST} FNMR",
        f"{NIST} FMR, worst group",
        f"{NIST} FNMR, worst group",
        f"{NIST} IAPAR, worst species (print)",
        f"{PP_MODULE} FAR",
        f"{PP_MODULE} FRR",
    ]
    assert all(row.holds for row in found.values())
    # Ours allows for people who appear several times, and is therefore wider.
    far = found[f"{PP_MODULE} FAR"]
    assert far.value == pytest.approx(beta.ppf(0.9, 1, 200 * 199))
    assert far.upper is not None
    assert far.upper > far.value


def test_comparisons_leave_out_what_is_not_found_or_not_live() -> None:
    """FNMR is that of comparisons; the transactions of the others are turned away."""
    everybody = people()
    documents, selfies = sound(everybody)
    selfies = lost(selfies, everybody.bona_fide[:10])
    selfies = scored(selfies, everybody.bona_fide[10:30], 0.1)
    chosen = everybody.bona_fide[30:32]
    selfies = embedded(selfies, chosen, -selfies.embeddings[chosen])
    found = judged(everybody, documents, selfies)
    assert found[f"{NIST} FNMR"].detail == "2 of 190"
    assert not found[f"{NIST} FNMR"].holds
    assert found[f"{NIST} FMR"].detail == f"0 of {190 * 189:,}"
    assert found[f"{PP_MODULE} FRR"].detail == "32 of 200"
    assert not found[f"{PP_MODULE} FRR"].holds


def test_a_group_that_is_more_than_a_quarter_worse() -> None:
    everybody = people()
    documents, selfies = sound(everybody)
    bad = everybody.bona_fide[1::2][:10]  # all of sex b: 10 % of them, and 5 % of all
    selfies = embedded(selfies, bad, -selfies.embeddings[bad])
    worst = judged(everybody, documents, selfies)[f"{NIST} FNMR, worst group"]
    assert worst.value == pytest.approx(0.1)
    assert worst.limit == pytest.approx(1.25 * 0.05)
    assert not worst.holds
    assert worst.detail == "sex b: 10 of 100"


def test_groups_that_the_text_asks_for_are_missing() -> None:
    everybody = people(columns=("age",))
    found = judged(everybody, *sound(everybody))[f"{NIST} FNMR, worst group"]
    assert not found.holds
    assert "the data has no groups by sex, skin tone" in found.detail
    nobody = replace(everybody, groups=None)
    without = judged(nobody, *sound(nobody))[f"{NIST} FNMR, worst group"]
    assert without.value is None
    assert "the data has no groups by sex, age, skin tone" in without.detail


def test_attacks_of_the_worst_species() -> None:
    everybody = people()
    documents, selfies = sound(everybody)
    screens = np.flatnonzero(everybody.species == 1)[:20]
    found = judged(everybody, documents, scored(selfies, screens, 0.9))
    row = found[f"{NIST} IAPAR, worst species (screen)"]
    assert row.value == pytest.approx(0.1)
    assert not row.holds


def test_the_profile_makes_limits_of_pipelines_stricter() -> None:
    strict = limits_under("nist63a4", PipelineLimits(iapar=0.2, frr=0.005))
    assert (strict.far, strict.frr, strict.iapar) == (1e-4, 0.005, 0.07)
    assert strict.frr_degradation == pytest.approx(0.004)
    assert strict.flips == PipelineLimits().flips
    assert limits_under("standard", PipelineLimits(iapar=0.2)).iapar == 0.2
