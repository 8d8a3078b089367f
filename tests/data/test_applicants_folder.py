"""Folders of documents, selfies and attacks become applicants; errors name what does not fit."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.applicant_files import load_applicants
from pytest_kycquant.data.applicants import ApplicantSet
from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.errors import DataError, LeakageError
from tests.worlds.pictures import write_image

SOUND = ("documents/ann.png", "documents/bob.png", "live/ann.png", "live/bob.png", "print/ann.png")


def written(root: Path, *names: str) -> Path:
    """Write images of these names, all different; those that end in a slash are empty folders."""
    for seed, name in enumerate(names):
        if name.endswith("/"):
            (root / name).mkdir(parents=True)
        else:
            write_image(root / name, seed)
    return root


def load(root: Path, *names: str) -> ApplicantSet:
    return load_applicants(written(root, *names))


def refuse(path: Path, problem: str, remedy: str, kind: type[DataError] = DataError) -> None:
    with pytest.raises(kind) as caught:
        load_applicants(path)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert str(caught.value).isprintable()


def test_people_are_the_files_and_species_the_folders(tmp_path: Path) -> None:
    found = load(tmp_path, *SOUND, "Mask/bob.png")
    assert found.names == ("ann", "bob")
    assert found.documents.names == ("documents/ann.png", "documents/bob.png")
    assert found.selfies.names == ("Mask/bob.png", "live/ann.png", "live/bob.png", "print/ann.png")
    assert found.species_names == ("Mask", "print")
    assert found.species.tolist() == [0, LIVE, LIVE, 1]
    assert found.people.tolist() == [1, 0, 1, 0]
    assert found.species.dtype == found.people.dtype == np.int64
    assert found.groups is None
    assert found.describe(0) == "bob, Mask"
    assert found.describe(1) == "ann, bona fide"


def test_people_are_the_folders_below(tmp_path: Path) -> None:
    names = ("documents/ann/front.png", "live/ann/1.png", "live/ann/2.png", "print/ann/b/3.png")
    found = load(tmp_path, "documents/bob.png", "live/bob.png", *names)
    assert found.names == ("ann", "bob")
    assert found.people.tolist() == [0, 0, 1, 0]
    assert found.species.tolist() == [LIVE, LIVE, LIVE, 0]


def test_a_selfie_of_a_name_beside_selfies_in_its_folder(tmp_path: Path) -> None:
    found = load(tmp_path, *SOUND, "live/ann/2.png", "live/ann.bmp")
    assert found.selfies.names[:4] == ("live/ann.bmp", "live/ann.png", "live/ann/2.png", SOUND[3])
    assert found.people.tolist() == [0, 0, 0, 1, 0]


@pytest.mark.parametrize("folder", ["live", "Live", "real", "bona_fide", "Bona-Fide", "bona  fide"])
@pytest.mark.parametrize("documents", ["documents", "document", "Documents"])
def test_spellings_of_folders(tmp_path: Path, folder: str, documents: str) -> None:
    names = [name.replace("live", folder).replace("documents", documents) for name in SOUND]
    found = load(tmp_path, *names)
    assert len(found.bona_fide) == 2
    assert found.species_names == ("print",)
    assert len(found.documents) == 2


def test_names_with_dots(tmp_path: Path) -> None:
    found = load(tmp_path, *SOUND, "documents/c.d.png", "live/c.d/1.png", "print/c.d.png")
    assert found.names == ("ann", "bob", "c.d")


def test_hidden_and_companion_files_are_no_selfies(tmp_path: Path) -> None:
    written(tmp_path, *SOUND, ".trash/ann.png", "live/.ann.png", "live/.old/cat.png")
    (tmp_path / "live" / "notes.txt").write_text("x")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    assert len(load_applicants(tmp_path).selfies) == 3


def test_links_are_followed(tmp_path: Path) -> None:
    written(tmp_path / "elsewhere", *SOUND)
    root = tmp_path / "data"
    root.mkdir()
    for folder in ("documents", "live"):
        (root / folder).symlink_to(tmp_path / "elsewhere" / folder)
    (root / "print").mkdir()
    (root / "print" / "ann.png").symlink_to(tmp_path / "elsewhere" / "print" / "ann.png")
    assert load_applicants(root).names == ("ann", "bob")


def test_a_list_of_the_same_images_is_the_same_data(tmp_path: Path) -> None:
    found = load(tmp_path, *SOUND, "print/bob.png")
    rows = [
        f"{name[-7:-4]},documents/{name[-7:]},{name},{name.split('/')[0]}"
        for name in reversed(found.selfies.names)
    ]
    path = tmp_path / "applicants.csv"
    path.write_text("\n".join(["person,document,selfie,presentation", *rows]))
    listed = load_applicants(path)
    assert listed.selfies.names == found.selfies.names
    assert listed.digest == found.digest


@pytest.mark.parametrize(
    ("names", "problem", "remedy"),
    [
        ((), "contains no images", "add a sub-folder documents, one live"),
        (("cat.png",), "contains images outside any presentation: cat.png", "move each into"),
        (("mask/",), "has folders without images: mask", "fill or remove them"),
        (("mask/.hidden.png",), "has folders without images: mask", "fill or remove them"),
        (
            ("documents/ann.bmp",),
            "has several documents of ann: documents/ann.bmp and documents/ann.png",
            "one document for each person",
        ),
        (("documents/ann/1.png",), "has several documents of ann", "one document for each"),
        (("documents/cat.png",), "has no selfie of cat", "add one to live or to an attack species"),
        (("live/cat.png",), "has no document of cat", "add it to documents, named after the"),
        (("print/0001.png",), "has no document of 0001", "add it to documents, named after the"),
        (
            ("document/cat.png", "live/cat.png"),
            "has several documents folders: document, documents",
            "merge them into documents",
        ),
        (("bona_fide/ann.png",), "has several live folders: bona_fide, live", "merge them"),
        (("li\u200bve/ann.png",), "has several live folders: live, li\\u200bve", "merge them"),
        (("spoof/ann.png",), "the folder spoof is an attack without a species", "print, screen"),
        (
            ("Attacks/print/ann.png",),
            "the folder Attacks is an attack without a spe",
            "print, screen",
        ),
        ((" /ann.png",), "the presentation in the folder   shows nothing: ' '", "write a name"),
        (
            ("documents/\u200b.png", "live/\u200b.png"),
            "the person in live/\\u200b.png shows nothing: '\\u200b'",
            "write a name",
        ),
        (
            ("documents/Ann.png", "live/Ann/2.png"),
            "has people whose names differ only in case, space or form: 'Ann' = 'ann'",
            "use one spelling",
        ),
        # Nobody should look for the document of Bob, who has one.
        (("live/Bob.png",), "names differ only in case, space or form: 'Bob' = 'bob'", "use one"),
        (("live/bob .png",), "names differ only in case, space or form: 'bob' = 'bob '", "use one"),
        (("documents/a\u200bnn.png",), "'ann' = 'a\\u200bnn'", "use one spelling"),
        (("Print/bob.png",), "attack species whose names differ only in case, space", "use one"),
        (("print /bob.png",), "attack species whose names differ only in case, space", "use one"),
        (
            (f"documents/{'n' * 201}.png", f"live/{'n' * 201}.png"),
            "has 201 letters",
            "a name of at most 200",
        ),
    ],
)
def test_folders_that_cannot_be_right(
    tmp_path: Path, names: tuple[str, ...], problem: str, remedy: str
) -> None:
    refuse(written(tmp_path, *(SOUND if names else ()), *names), problem, remedy)


@pytest.mark.parametrize(
    ("names", "problem", "remedy"),
    [
        (SOUND[2:], "has no folder documents", "give a sub-folder documents, one live"),
        (SOUND[:2], "has no selfie of ann, bob", "add one to live or to an attack species"),
        (
            (*SOUND[:2], "print/ann.png", "print/bob.png"),
            "has no bona fide selfies, so nobody can be turned away by mistake",
            "add selfies of the people themselves",
        ),
        (("documents/ann.png", "live/ann.png"), "has a single person (ann)", "add other people"),
        (("data/" + SOUND[0], "data/" + SOUND[2]), "has no folder documents", "give a sub-folder"),
    ],
)
def test_what_is_missing(tmp_path: Path, names: tuple[str, ...], problem: str, remedy: str) -> None:
    refuse(written(tmp_path, *names), problem, remedy)


@pytest.mark.parametrize(
    ("original", "copy", "problem", "kind"),
    [
        ("documents/ann.png", "documents/bob.png", "appears under two people", DataError),
        ("live/ann.png", "live/bob.png", "under two labels: live/ann.png = live/bob.p", DataError),
        ("live/ann.png", "print/ann.png", "under two labels: live/ann.png = print/ann", DataError),
        ("print/ann.png", "mask/ann.png", "under two labels: mask/ann.png = print/ann", DataError),
        ("print/ann.png", "print/ann/2.png", "appears twice: print/ann.png = print/a", DataError),
        ("documents/ann.png", "live/ann.png", "are also used for selfies", LeakageError),
        ("documents/bob.png", "print/ann.png", "are also used for selfies", LeakageError),
    ],
)
def test_the_same_pixels_under_another_name(
    tmp_path: Path, original: str, copy: str, problem: str, kind: type[DataError]
) -> None:
    written(tmp_path, *SOUND)
    (tmp_path / copy).parent.mkdir(exist_ok=True)
    shutil.copy(tmp_path / original, tmp_path / copy)
    refuse(tmp_path, problem, "", kind)


def test_unknown_files(tmp_path: Path) -> None:
    written(tmp_path, *SOUND)
    (tmp_path / "documents" / "ann.pdf").write_bytes(b"x")
    refuse(tmp_path, "unknown kind: documents/ann.pdf", "convert images")


def test_an_image_that_is_a_folder(tmp_path: Path) -> None:
    """A folder is named after its person, even if its name looks like that of an image."""
    refuse(written(tmp_path, *SOUND, "live/cat.png/1.png"), "has no document of cat.png", "add it")


def test_links_that_lead_nowhere_or_back(tmp_path: Path) -> None:
    written(tmp_path, *SOUND)
    (tmp_path / "live" / "cat.png").symlink_to("gone.png")
    with pytest.raises(DataError, match=r"cat\.png: is a broken link"):
        load_applicants(tmp_path)
    (tmp_path / "live" / "cat.png").unlink()
    (tmp_path / "live" / "ann").symlink_to(tmp_path)
    with pytest.raises(DataError, match="is a link to a folder that contains it"):
        load_applicants(tmp_path)


@pytest.mark.parametrize("name", [b"an\xffna", b"an\x1b[2Jna", b"an\nna"])
def test_names_that_cannot_be_shown(tmp_path: Path, name: bytes) -> None:
    written(tmp_path, *SOUND)
    (tmp_path / "live" / "ann.png").rename(tmp_path / "live" / os.fsdecode(name + b".png"))
    with pytest.raises(DataError, match="control characters or undecodable bytes"):
        load_applicants(tmp_path)


def test_missing_path(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", "does not exist", "check the path")
