"""Each gate about transactions passes for a sound pipeline, and fails for the fault it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import Verdict
from pytest_kycquant.data.applicants import ApplicantSet
from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.pipeline.decisions import Decisions, reasons_of, stops_of
from pytest_kycquant.pipeline.evidence import copied
from pytest_kycquant.pipeline.seen import Seen
from pytest_kycquant.spec.limits import PipelineLimits
from tests.worlds.transactions import (
    applicants,
    decisions,
    embedded,
    lost,
    scored,
    sound,
    transactions,
)

PEOPLE = 400
Change = Callable[[ApplicantSet, Seen, Seen], tuple[Seen, Seen]]


def judged(change: Change, limits: PipelineLimits | None = None) -> Decisions:
    """A sound FP32 pipeline beside one that was changed."""
    people = applicants(PEOPLE)
    documents, selfies = sound(people)
    fp32 = transactions(people, documents, selfies)
    return decisions(fp32, transactions(people, *change(people, documents, selfies)), limits)


def unchanged(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
    return documents, selfies


def misses_documents(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
    return lost(documents, list(range(30))), selfies


def misses_selfies(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
    return documents, lost(selfies, people.bona_fide[:30])


def distrusts(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
    return documents, scored(selfies, people.bona_fide[:40], 0.1)


def forgets_faces(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
    chosen = people.bona_fide[:40]
    return documents, embedded(selfies, chosen, -selfies.embeddings[chosen])


def sees_one_face(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
    """All faces become more alike."""
    common = np.full((1, 128), 0.07, np.float32)
    return (
        replace(documents, embeddings=documents.embeddings + common),
        replace(selfies, embeddings=selfies.embeddings + common),
    )


def lets_prints_in(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
    return documents, scored(selfies, np.flatnonzero(people.species == 0)[:60], 0.95)


def breaks(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
    nan = np.full((3, 128), np.nan, np.float32)
    return embedded(documents, [0, 1, 2], nan), selfies


def test_a_sound_pipeline_passes() -> None:
    gates = judged(unchanged).gates()
    assert list(gates) == ["fta", "frr", "far", "iapar", "degradation"]
    for gate in gates.values():
        assert gate.verdict is Verdict.PASS, gate.describe()


@pytest.mark.parametrize(
    ("change", "failing", "words"),
    [
        (misses_documents, {"fta", "frr", "degradation"}, "no face on the document 30"),
        (misses_selfies, {"fta", "frr", "degradation"}, "no face on the selfie 30"),
        (distrusts, {"frr", "degradation"}, "not live 40"),
        (forgets_faces, {"frr", "degradation"}, "no match 40"),
        (lets_prints_in, {"iapar", "degradation"}, "print: 60 of 400 attacks"),
    ],
)
def test_each_fault_fails_its_gates(change: Change, failing: set[str], words: str) -> None:
    gates = judged(change).gates()
    assert {name for name, gate in gates.items() if gate.verdict is Verdict.FAIL} == failing
    assert any(words in gate.describe() for gate in gates.values())
    for name in failing:
        assert gates[name].offenders, name
        assert gates[name].remedy in gates[name].describe()


def test_impostors_who_are_let_in_fail() -> None:
    gates = judged(sees_one_face).gates()
    far = gates["far"]
    assert far.verdict is Verdict.FAIL, far.describe()
    assert gates["degradation"].verdict is Verdict.FAIL
    (first, *_) = far.offenders
    assert first.finding == "newly accepted"
    assert first.who.startswith("document of p0000, selfie of p0")


def test_what_is_broken_lets_everybody_in() -> None:
    gates = judged(breaks).gates()
    assert gates["far"].verdict is Verdict.FAIL


def test_degradation_names_the_stage_where_attempts_newly_end() -> None:
    found = judged(distrusts).gates()["degradation"]
    assert "40 customers newly wrong (not live 40), 0 newly right" in found.describe()


def test_the_worst_species_is_the_headline() -> None:
    found = judged(lets_prints_in).gates()["iapar"]
    names = [check.name for check in found.checks]
    assert names == ["IAPAR, maximum over 2 species", "IAPAR print", "IAPAR screen"]
    assert found.checks[0].value == pytest.approx(60 / 400)
    assert found.checks[2].verdict is Verdict.PASS  # pooled, it would be half of that
    assert {one.who.split(", ")[1] for one in found.offenders} == {"print"}
    assert found.checks[1].detail.endswith("design effect 1.0: not live 340")


def test_what_stops_attacks_is_counted_by_species() -> None:
    """Attacks that only the match stops are no credit to the liveness model."""

    def change(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
        prints = np.flatnonzero(people.species == 0)[:60]
        strangers = np.roll(selfies.embeddings[prints], 1, axis=0)
        return documents, embedded(scored(selfies, prints, 0.95), prints, strangers)

    found = stops_of(judged(change).shipped)
    assert list(found) == ["print", "screen"]
    assert (found["print"]["not live"], found["print"]["no match"]) == (340, 60)
    assert (found["screen"]["not live"], found["screen"]["no match"]) == (400, 0)


def test_few_people_prove_nothing() -> None:
    people = applicants(12)
    one = transactions(people, *sound(people))
    for gate in decisions(one, one).gates().values():
        assert gate.verdict is Verdict.INCONCLUSIVE, gate.describe()
        assert "a claim needs at least 20 people" in gate.describe()


def test_a_group_that_bears_all_errors_fails() -> None:
    """Half of the people, all in one group: 6 % of them are newly turned away."""

    def change(people: ApplicantSet, documents: Seen, selfies: Seen) -> tuple[Seen, Seen]:
        chosen = people.bona_fide[1::2][:18]
        return documents, scored(selfies, chosen, 0.1)

    found = judged(change, PipelineLimits(frr=0.2, frr_degradation=0.2))
    gate = found.gates()["degradation"]
    (groups,) = [check for check in gate.checks if check.name.endswith("2 groups")]
    assert groups.verdict is not Verdict.PASS
    assert groups.detail.startswith("half one: 18 customers newly wrong")
    assert [group.group for group in found.groups()] == ["half one", "half two"]
    assert all(one.who.startswith("p") for one in gate.offenders)


def test_errors_that_cancel_out_do_not_degrade_but_are_counted() -> None:
    """As many newly right as newly wrong."""
    people = applicants(PEOPLE)
    documents, selfies = sound(people)
    before = scored(selfies, people.bona_fide[:4], 0.1)
    after = scored(selfies, people.bona_fide[4:8], 0.1)
    fp32 = transactions(people, documents, before)
    found = decisions(fp32, transactions(people, documents, after)).gates()["degradation"]
    assert "4 customers newly wrong (not live 4), 4 newly right" in found.describe()


def test_figures_for_the_report() -> None:
    found = judged(distrusts)
    assert reasons_of(found.shipped) == {
        "no face on the document": 0,
        "no face on the selfie": 0,
        "not live": 40,
        "no match": 0,
    }
    assert list(found.rates(found.fp32)) == ["FTA", "FRR", "FAR", "IAPAR print", "IAPAR screen"]
    assert found.rates(found.shipped)["FRR"].value == pytest.approx(0.1)


def test_without_attacks_there_is_no_such_gate() -> None:
    people = applicants(60, kinds=(LIVE,))
    one = transactions(people, *sound(people))
    assert "iapar" not in decisions(one, one).gates()


def test_selfies_with_the_embedding_of_the_document_are_found() -> None:
    """Also scaled or rounded; sound selfies of the same people are not."""
    people = applicants(50)
    documents, selfies = sound(people)
    assert copied(transactions(people, documents, selfies)) == []
    chosen = people.bona_fide[:3]
    same = documents.embeddings[people.people[chosen]]
    for like in (same, 2 * same + 0.0001, same.astype(np.float16)):
        found = copied(transactions(people, documents, embedded(selfies, chosen, like)))
        assert found == ["s0.jpg", "s3.jpg", "s6.jpg"]


def test_limits_decide() -> None:
    """The same figures pass with wider limits."""
    wide = PipelineLimits(iapar=0.3, iapar_degradation=0.3)
    gates = judged(lets_prints_in, wide).gates()
    assert all(gate.verdict is Verdict.PASS for gate in gates.values())
    tight = replace(wide, fta=0.001)
    assert judged(unchanged, tight).gates()["fta"].verdict is Verdict.INCONCLUSIVE
