"""Applicants: what parts of them, their digest and their groups are, and what can be judged."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.applicant_files import load_applicants
from pytest_kycquant.data.applicants import (
    ApplicantSet,
    check_attacks,
    check_judgeable,
)
from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import write_image

PEOPLE = ("ann", "bob", "cat", "dan")
AGES = {"ann": "old", "bob": "old", "cat": "young", "dan": "young"}
Row = dict[str, str]


def rows() -> list[Row]:
    """Everybody is attacked with a print, and only bob and dan with a mask."""
    return [
        {
            "person": name,
            "document": f"id/{name}.png",
            "selfie": f"{kind}/{name}.png",
            "presentation": kind,
            "age": AGES[name],
            "sex": "F" if name in ("ann", "cat") else "M",
        }
        for kind, people in (("live", PEOPLE), ("print", PEOPLE), ("mask", ("bob", "dan")))
        for name in people
    ]


def written(root: Path, given: list[Row]) -> Path:
    for seed, name in enumerate(
        f"{kind}/{name}.png" for kind in ("id", "live", "print", "mask") for name in PEOPLE
    ):
        if not (root / name).exists():
            write_image(root / name, seed)
    path = root / "applicants.csv"
    lines = [",".join(given[0]), *(",".join(row.values()) for row in given)]
    path.write_text("\n".join(lines))
    return path


def load(root: Path, given: list[Row] | None = None) -> ApplicantSet:
    return load_applicants(written(root, rows() if given is None else given))


def chosen(*names: str) -> np.ndarray:
    return np.isin(PEOPLE, names)


def changed(column: str, names: dict[str, str]) -> Callable[[Row], Row]:
    return lambda row: row | {column: names.get(row[column], row[column])}


def test_a_part_has_the_documents_and_selfies_of_its_people(tmp_path: Path) -> None:
    part = load(tmp_path).subset(chosen("bob", "cat"))
    assert part.names == ("bob", "cat")
    assert part.documents.names == ("id/bob.png", "id/cat.png")
    assert part.selfies.names == (
        *("live/bob.png", "live/cat.png", "mask/bob.png", "print/bob.png", "print/cat.png"),
    )
    assert part.people.tolist() == [0, 1, 0, 0, 1]
    assert part.people.dtype == np.int64
    assert part.species.tolist() == [LIVE, LIVE, 0, 1, 1]
    assert part.species_names == ("mask", "print")
    assert part.bona_fide.tolist() == [0, 1]
    assert part.describe(2) == "bob, mask"


def test_all_people_are_all(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.subset(chosen(*PEOPLE)).digest == found.digest


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        ((), "one with 0 of its 4 people would lack impostors, bona fide selfies, mask, print"),
        (("bob",), "one with 1 of its 4 people would lack impostors"),
        # What is not in a part is not judged there: a combination that lets it in could ship.
        (("ann", "cat"), "one with 2 of its 4 people would lack mask"),
    ],
)
def test_parts_that_cannot_be_judged(tmp_path: Path, names: tuple[str, ...], lacking: str) -> None:
    found = load(tmp_path)
    with pytest.raises(DataError) as caught:
        found.subset(chosen(*names))
    assert caught.value.where == str(tmp_path / "applicants.csv")
    assert caught.value.problem == f"split into parts, {lacking}"
    assert caught.value.remedy.startswith("add people with bona fide selfies")


def test_people_without_a_bona_fide_selfie_are_refused(tmp_path: Path) -> None:
    given = [row for row in rows() if row["selfie"] not in ("live/bob.png", "live/dan.png")]
    with pytest.raises(DataError, match="has no bona fide selfie of bob, dan; add one of each"):
        load(tmp_path, given)


def test_people_of_each_group(tmp_path: Path) -> None:
    found = load(tmp_path)
    groups = {name: mask.tolist() for name, mask in found.in_group()}
    assert list(groups) == ["age old", "age young", "sex F", "sex M"]
    assert groups["age old"] == [True, True, False, False]
    assert groups["sex F"] == [True, False, True, False]


def test_a_group_without_people_in_a_part_is_not_lost(tmp_path: Path) -> None:
    """Else nobody would notice that the people who confirm say nothing about it."""
    part = load(tmp_path).subset(chosen("ann", "bob"))
    groups = {name: mask.tolist() for name, mask in part.in_group()}
    assert groups["age young"] == [False, False]
    assert groups["sex M"] == [False, True]
    assert all(mask.dtype == np.bool_ for _, mask in part.in_group())


def test_without_groups(tmp_path: Path) -> None:
    assert replace(load(tmp_path), groups=None).in_group() == ()


CHANGES: dict[str, Callable[[Row], Row]] = {
    "nothing": lambda row: row,
    "a person": changed("person", {"ann": "eve"}),
    "two people": changed("person", {"ann": "bob", "bob": "ann"}),
    "two documents": changed("document", {"id/ann.png": "id/bob.png", "id/bob.png": "id/ann.png"}),
    "two selfies": changed(
        "selfie", {"live/ann.png": "live/bob.png", "live/bob.png": "live/ann.png"}
    ),
    "a label": lambda row: (
        row | ({"presentation": "live"} if row["selfie"] == "print/ann.png" else {})
    ),
    "two labels": changed("presentation", {"live": "print", "print": "live"}),
    "a species": changed("presentation", {"mask": "screen"}),
    "two species": changed("presentation", {"mask": "print", "print": "mask"}),
    "one of a species": lambda row: (
        row | ({"presentation": "mask"} if row["selfie"] == "print/ann.png" else {})
    ),
    "a group": changed("age", {"young": "middle"}),
    "two groups": changed("age", {"young": "old", "old": "young"}),
    "one of a group": lambda row: row | ({"sex": "M"} if row["person"] == "ann" else {}),
    "no group": lambda row: {column: row[column] for column in row if column != "age"},
    "no groups": lambda row: {
        column: row[column] for column in row if column not in ("age", "sex")
    },
    "a column": lambda row: {("years" if key == "age" else key): row[key] for key in row},
    "two columns": lambda row: row | {"age": row["sex"], "sex": row["age"]},
}


def test_the_digest_covers_every_label(tmp_path: Path) -> None:
    digests = {
        what: load(tmp_path, [change(row) for row in rows()]).digest
        for what, change in CHANGES.items()
    }
    for one, other in itertools.combinations(digests, 2):
        assert digests[one] != digests[other], (one, other)
    less = load(tmp_path, [row for row in rows() if row["selfie"] != "mask/dan.png"])
    assert less.digest not in digests.values()


@pytest.mark.parametrize("name", ["id/ann.png", "live/ann.png", "mask/dan.png"])
def test_the_digest_covers_every_image(tmp_path: Path, name: str) -> None:
    before = load(tmp_path).digest
    write_image(tmp_path / name, 99)
    assert load(tmp_path).digest != before


def test_the_digest_covers_names_of_images(tmp_path: Path) -> None:
    before = load(tmp_path).digest
    (tmp_path / "live/ann.png").rename(tmp_path / "live/other.png")
    change = changed("selfie", {"live/ann.png": "live/other.png"})
    assert load(tmp_path, [change(row) for row in rows()]).digest != before


SAME: dict[str, Callable[[list[Row]], list[Row]]] = {
    "rows": lambda given: given[::-1],
    "columns": lambda given: [dict(reversed(row.items())) for row in given],
    "spellings": lambda given: [changed("presentation", {"live": "Bona-Fide"})(r) for r in given],
    "paths": lambda given: [row | {"selfie": f".\\{row['selfie']}"} for row in given],
}


@pytest.mark.parametrize("what", SAME)
def test_the_digest_is_that_of_the_data(tmp_path: Path, what: str) -> None:
    found, other = load(tmp_path), load(tmp_path, SAME[what](rows()))
    assert other.digest == found.digest
    assert other.names == found.names
    assert other.selfies.names == found.selfies.names
    part = chosen("bob", "cat")
    assert other.subset(part).digest == found.subset(part).digest
    assert found.subset(part).digest != found.digest


def test_the_digest_of_a_part_is_that_of_its_people(tmp_path: Path) -> None:
    part = chosen("bob", "cat")
    before = load(tmp_path).subset(part).digest
    given = [row | ({"sex": "M"} if row["person"] == "ann" else {}) for row in rows()]
    assert load(tmp_path, given).subset(part).digest == before


def test_the_digest_does_not_follow_from_where_the_data_lies(tmp_path: Path) -> None:
    assert load(tmp_path / "a").digest == load(tmp_path / "b").digest


def test_somebody_can_be_judged(tmp_path: Path) -> None:
    found = load(tmp_path)
    check_judgeable(found)
    with pytest.raises(DataError, match=r"applicants\.csv: has no bona fide selfies, so nobody"):
        check_judgeable(replace(found, species=np.zeros_like(found.species)))
    with pytest.raises(DataError, match=r"has a single person \(ann\), so there are no impostor"):
        check_judgeable(replace(found, names=("ann",), people=np.zeros_like(found.people)))


@pytest.mark.parametrize(
    ("kinds", "asks", "single", "problem"),
    [
        (("live", "print", "mask"), True, False, ""),
        (("live", "print", "mask"), True, True, ""),
        (("live", "print"), True, True, ""),
        (("live",), False, False, ""),
        (("live",), False, True, ""),
        (
            ("live", "print", "mask"),
            False,
            False,
            r"has presentation attacks \(mask, print\), but the pipeline has no liveness model; "
            "name the gates of the liveness model in the attribute liveness, or remove the rows",
        ),
        (("live", "print"), False, True, r"has presentation attacks \(print\), but the pipeline"),
        (
            ("live",),
            True,
            False,
            "has no presentation attacks, but the pipeline has a liveness model; add selfies",
        ),
        (("live",), True, True, "has no presentation attacks, but the pipeline has a liveness"),
        (
            ("live", "print"),
            True,
            False,
            r"attacks of only one species \(print\), .* LivenessDetection\(single_species=True\)",
        ),
    ],
)
def test_attacks_are_there_if_something_stops_them(
    tmp_path: Path, kinds: tuple[str, ...], asks: bool, single: bool, problem: str
) -> None:
    found = load(tmp_path, [row for row in rows() if row["presentation"] in kinds])
    if not problem:
        check_attacks(found, asks=asks, single_species=single)
        return
    with pytest.raises(DataError, match=problem) as caught:
        check_attacks(found, asks=asks, single_species=single)
    assert caught.value.where == str(tmp_path / "applicants.csv")
