"""Rates of whole transactions, compared with counting each one by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.pipeline.seen import Seen
from pytest_kycquant.pipeline.transactions import Reason, Thresholds, Transactions
from pytest_kycquant.spec.tasks import FaceVerification
from pytest_kycquant.statistics import Counts, design_effect
from pytest_kycquant.tasks.face.measures import COSINE, measure_of
from tests.worlds.transactions import (
    THRESHOLDS,
    applicants,
    embedded,
    lost,
    scored,
    sound,
    transactions,
)


def messy(people: int = 60, seed: int = 1) -> Transactions:
    """A pipeline with errors of all kinds: the embeddings are noisy, some faces are not found."""
    everybody = applicants(people, each=2)
    documents, selfies = sound(everybody, seed=seed, noise=1.2)
    rng = np.random.default_rng(seed)
    number = len(selfies.found)
    documents = lost(documents, rng.choice(people, 4, replace=False))
    selfies = scored(selfies, np.arange(number), 0.0)
    selfies.scores[:] = rng.uniform(0.2, 1.0, number)
    selfies = lost(selfies, rng.choice(number, 9, replace=False))
    # Some people look like the next one.
    chosen = [0, 6, 30]
    selfies = embedded(scored(selfies, chosen, 0.9), chosen, documents.embeddings[[5, 9, 20]])
    selfies.found[chosen] = True
    return transactions(everybody, documents, selfies)


def unit(rows: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)


def by_hand(one: Transactions) -> dict[str, set[tuple[int, int]]]:
    """Every (document, selfie) that is let in, and why customers are not."""
    people, kinds = one.applicants.people, one.applicants.species
    gallery, probes = unit(one.documents.embeddings), unit(one.selfies.embeddings)
    found: dict[str, set[tuple[int, int]]] = {
        "impostors": set(),
        "attacks": set(),
        "genuine": set(),
    }
    for document in range(len(gallery)):
        for selfie in range(len(probes)):
            if not (one.documents.found[document] and one.selfies.found[selfie]):
                continue
            if one.selfies.scores[selfie] < THRESHOLDS.live:
                continue
            if gallery[document] @ probes[selfie] < THRESHOLDS.match:
                continue
            own = people[selfie] == document
            if kinds[selfie] != LIVE:
                if own:
                    found["attacks"].add((document, selfie))
            else:
                found["genuine" if own else "impostors"].add((document, selfie))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_every_decision_is_that_of_counting(seed: int) -> None:
    one = messy(seed=seed)
    wanted, number = by_hand(one), len(one.applicants.people)
    chosen, reasons = one.genuine()
    accepted = chosen[reasons == Reason.ACCEPTED]
    assert {(int(one.applicants.people[i]), int(i)) for i in accepted} == wanted["genuine"]
    impostors = {divmod(int(i), number) for i in one.impostors.accepted}
    assert impostors == wanted["impostors"]
    attacks = {(int(one.applicants.people[i]), int(i)) for k in (0, 1) for i in one.attacks(k)}
    assert attacks == wanted["attacks"]
    assert wanted["genuine"]
    assert wanted["impostors"]
    assert wanted["attacks"]
    frr, far = one.frr(), one.far()
    assert frr.trials == 2 * 60
    assert frr.errors == frr.trials - len(wanted["genuine"])
    assert (far.errors, far.trials) == (len(wanted["impostors"]), 2 * 60 * 59)
    assert one.iapar(0).trials == one.iapar(1).trials == 2 * 60
    assert one.iapar(0).errors + one.iapar(1).errors == len(wanted["attacks"])
    gone = np.isin(reasons, (Reason.DOCUMENT, Reason.SELFIE))
    assert one.fta().errors == int(gone.sum()) > 0


def test_the_interval_of_impostors_counts_people() -> None:
    """The design effect is that of a jackknife over people, who each own a document and selfies."""
    one = messy(40, seed=3)
    number, people = len(one.applicants.people), one.applicants.people
    errors, trials = np.zeros(40, int), np.zeros(40, int)
    couples: dict[tuple[int, int], list[int]] = {}
    wrong = {divmod(int(i), number) for i in one.impostors.accepted}
    for document in range(40):
        for selfie in one.applicants.bona_fide:
            owner = int(people[selfie])
            if owner == document:
                continue
            bad = int((document, int(selfie)) in wrong)
            pair = couples.setdefault((min(document, owner), max(document, owner)), [0, 0])
            pair[0] += bad
            pair[1] += 1
            for person in (document, owner):
                errors[person] += bad
                trials[person] += 1
    found = one._impostor_counts(one.impostors.accepted)
    assert isinstance(found, Counts)
    assert found.subject_errors.tolist() == errors.tolist()
    assert found.subject_trials.tolist() == trials.tolist()
    assert found.couples is not None
    known = {tuple(sorted(pair)): bad for pair, (bad, _) in couples.items() if bad}
    assert sorted(found.couples.errors.tolist()) == sorted(known.values())
    assert found.couples.squares == sum(seen**2 for _, seen in couples.values())
    assert one.far().deff == design_effect(found) > 1


def test_reasons_name_the_first_stage_that_ends_an_attempt() -> None:
    everybody = applicants(30)
    documents, selfies = sound(everybody)
    place = {person: 3 * person for person in range(30)}  # of the bona fide selfie
    documents = lost(documents, [0, 1])
    selfies = lost(selfies, [place[1], place[2]])
    selfies = scored(selfies, [place[0], place[3], place[4]], 0.1)
    away = -selfies.embeddings[[place[4], place[5]]]
    selfies = embedded(selfies, [place[4], place[5]], away)
    one = transactions(everybody, documents, selfies)
    _, reasons = one.genuine()
    wanted = [Reason.DOCUMENT, Reason.DOCUMENT, Reason.SELFIE, Reason.LIVENESS, Reason.LIVENESS]
    assert reasons[:6].tolist() == [*wanted, Reason.MATCH]
    assert (reasons[6:] == Reason.ACCEPTED).all()
    assert one.fta().errors == 3
    assert one.frr().errors == 6


def test_a_function_that_stops_at_an_attack_does_not_fail_to_acquire() -> None:
    """A production pipeline may return None for what is not live: that is no missing face."""
    everybody = applicants(30)
    documents, selfies = sound(everybody)
    selfies = lost(selfies, [0])
    selfies = scored(selfies, [0], 0.1)  # it was asked, and was not live
    _, reasons = transactions(everybody, documents, selfies).genuine()
    assert reasons[0] == Reason.LIVENESS


def test_what_is_broken_is_its_own_worst_case() -> None:
    """A customer is turned away; an impostor and an attack are let in."""
    everybody = applicants(25)
    documents, selfies = sound(everybody)
    clean = transactions(everybody, documents, selfies)
    assert clean.frr().errors == clean.far().errors == clean.iapar(0).errors == 0
    nan = np.full((1, 128), np.nan, np.float32)
    bona_fide, print_ = 0, 1
    broken = embedded(selfies, [bona_fide, print_], nan)
    broken = scored(broken, [print_], 0.9)
    one = transactions(everybody, documents, broken)
    assert one.frr().errors == 1
    assert one.far().errors == 24  # with the documents of all others
    assert one.iapar(0).errors == 1
    # A broken score of liveness, too, with an embedding that would match.
    scoreless = scored(selfies, [bona_fide, print_], np.nan)
    one = transactions(everybody, documents, scoreless)
    assert one.frr().errors == 1
    assert one.iapar(0).errors == 1
    # And a broken document accepts every live selfie.
    one = transactions(everybody, embedded(documents, [3], nan), selfies)
    assert one.far().errors == 24
    assert one.frr().errors == 1


def test_embeddings_without_direction_are_broken() -> None:
    everybody = applicants(25)
    documents, selfies = sound(everybody)
    one = transactions(everybody, embedded(documents, [3], np.zeros((1, 128))), selfies)
    assert one.far().errors == 24


def test_without_a_liveness_model_nobody_is_asked() -> None:
    everybody = applicants(30, kinds=(LIVE,))
    documents, selfies = sound(everybody)
    selfies = scored(selfies, list(range(30)), np.inf)
    one = transactions(everybody, documents, selfies, Thresholds(0.5, None, COSINE))
    assert one.frr().errors == one.far().errors == 0


def test_a_score_at_the_threshold_is_accepted() -> None:
    everybody = applicants(20, kinds=(LIVE,))
    documents, selfies = sound(everybody)
    one = transactions(everybody, documents, selfies)
    exact = float(np.float32(one.scores[4]))
    at = transactions(everybody, documents, selfies, Thresholds(exact, None, COSINE))
    _, reasons = at.genuine()
    assert reasons[4] == Reason.ACCEPTED
    above = np.nextafter(np.float32(exact), np.float32(2))
    over = transactions(everybody, documents, selfies, Thresholds(float(above), None, COSINE))
    assert over.genuine()[1][4] == Reason.MATCH


def test_distances_are_accepted_below_their_threshold() -> None:
    everybody = applicants(20, kinds=(LIVE,))
    documents, selfies = sound(everybody)
    far = measure_of(FaceVerification("d", distance="euclidean", threshold=1.0))
    one = transactions(everybody, documents, selfies, Thresholds(1.0, None, far))
    assert one.frr().errors == 0
    strict = transactions(everybody, documents, selfies, Thresholds(0.01, None, far))
    assert strict.frr().errors == 20


def test_of_few_errors_the_nearest_transactions_tell_the_design_effect() -> None:
    one = messy(80, seed=5)
    assert len(one.impostors.nearest) == 30
    accepted = set(one.impostors.accepted.tolist())
    if len(accepted) >= 30:
        assert set(one.impostors.nearest.tolist()) <= accepted
    else:
        assert accepted <= set(one.impostors.nearest.tolist())


def test_an_interval_is_wider_if_selfies_are_of_the_same_people() -> None:
    """Ten selfies of each of 30 people are not 300 people."""
    many, few = applicants(300, kinds=(LIVE,)), applicants(30, kinds=(LIVE,), each=10)
    bounds = []
    for everybody in (many, few):
        documents, selfies = sound(everybody)
        bounds.append(transactions(everybody, documents, selfies).frr().upper)
    assert bounds[1] > 3 * bounds[0]


def test_seen_of_some_people(tmp_path: object) -> None:
    everybody = applicants(30)
    documents, selfies = sound(everybody)
    chosen = np.zeros(30, np.bool_)
    chosen[[2, 5, 7, 8]] = True
    part = everybody.subset(chosen)
    kept = chosen[everybody.people]
    mine: Seen = selfies.subset(kept, part.selfies.names)
    one = transactions(part, documents.subset(chosen, part.documents.names), mine)
    assert one.frr().trials == 4
    assert one.frr().errors == 0
    assert one.far().trials == 12
