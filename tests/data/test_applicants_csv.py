"""A CSV of applicants is checked line by line."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.data.applicant_files import load_applicants
from pytest_kycquant.data.applicants import ApplicantSet
from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.errors import DataError, LeakageError
from tests.worlds.pictures import encoded, pixels, write_image

HEAD = "person,document,selfie,presentation\n"
TWO = "ann,id/a.png,live/a.png,bona fide\nbob,id/b.png,live/b.png,bona fide\n"
PLAIN = HEAD + TWO + "ann,id/a.png,print/a.png,print\n"
GROUPS = (
    "person,sex,document,selfie,presentation,age\n"
    "ann,F,id/a.png,live/a.png,bona fide,60+\n"
    "bob,M,id/b.png,live/b.png,bona fide,18-39\n"
    "ann,F,id/a.png,print/a.png,print,60+\n"
)
IMAGES = (
    *("id/a.png", "id/b.png", "id/c.png"),
    *("live/a.png", "live/b.png", "live/c.png", "print/a.png", "print/b.png"),
)


def written(root: Path, text: str | bytes) -> Path:
    for seed, name in enumerate(IMAGES):
        write_image(root / name, seed)
    path = root / "applicants.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(root: Path, text: str | bytes) -> ApplicantSet:
    return load_applicants(written(root, text))


def refuse(path: Path, problem: str, remedy: str, kind: type[DataError] = DataError) -> None:
    with pytest.raises(kind) as caught:
        load_applicants(path)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "\ufeff" + PLAIN.replace("\n", "\r\n") + "\r\n",
        PLAIN.replace("/", "\\"),
        PLAIN.replace("live/", "./live//"),
        PLAIN.replace(",", " , "),
        PLAIN.replace("ann", '"ann"'),
        PLAIN.replace("\n", "\n\n"),
        "presentation,selfie,person,document\nbona fide,live/a.png,ann,id/a.png\n"
        "print,print/a.png,ann,id/a.png\nbona fide,live/b.png,bob,id/b.png\n",
        "".join([HEAD, *reversed(PLAIN.removeprefix(HEAD).splitlines(keepends=True))]),
    ],
)
def test_ways_to_write_a_list(tmp_path: Path, text: str) -> None:
    found = load(tmp_path, text)
    assert found.names == ("ann", "bob")
    assert found.documents.names == ("id/a.png", "id/b.png")
    assert found.selfies.names == ("live/a.png", "live/b.png", "print/a.png")
    assert found.people.tolist() == [0, 1, 0]
    assert found.species.tolist() == [LIVE, LIVE, 0]
    assert found.species_names == ("print",)
    assert found.bona_fide.tolist() == [0, 1]
    assert found.groups is None
    assert (found.selfies.pixels(2) == pixels(IMAGES.index("print/a.png"))).all()


@pytest.mark.parametrize(
    "said",
    [
        *("bona fide", "Bona Fide", "bona_fide", "BONA-FIDE", "bonafide", "bona  fide"),
        *("live", "LIVE", "Real", "genuine", "\uff4c\uff49\uff56\uff45", "li\u200bve", "L\u0130VE"),
    ],
)
def test_spellings_of_bona_fide(tmp_path: Path, said: str) -> None:
    found = load(tmp_path, PLAIN.replace("bona fide", said))
    assert found.species.tolist() == [LIVE, LIVE, 0]
    assert found.digest == load(tmp_path, PLAIN).digest


def test_a_species_keeps_its_spelling(tmp_path: Path) -> None:
    assert load(tmp_path, PLAIN.replace(",print\n", ", Silicone Mask\n")).species_names == (
        "Silicone Mask",
    )


def test_several_selfies_and_attacks_on_some(tmp_path: Path) -> None:
    more = "bob,id/b.png,live/c.png,live\nann,id/a.png,print/b.png,screen\n"
    found = load(tmp_path, PLAIN + more)
    assert found.names == ("ann", "bob")
    assert found.people.tolist() == [0, 1, 1, 0, 0]
    assert found.species.tolist() == [LIVE, LIVE, LIVE, 0, 1]
    assert found.species_names == ("print", "screen")


def test_without_attacks(tmp_path: Path) -> None:
    assert load(tmp_path, HEAD + TWO).species_names == ()


def test_somebody_without_a_bona_fide_selfie(tmp_path: Path) -> None:
    """Whoever leaves out the selfies of those who are turned away would improve the rate."""
    with pytest.raises(DataError, match=r"has no bona fide selfie of cat; add one .*attacks, too"):
        load(tmp_path, PLAIN + "cat,id/c.png,print/b.png,print\n")


@pytest.mark.parametrize("slip", ["bona fied", "lvie", "genuin", "Bonafid"])
def test_a_slip_is_not_an_attack_species(tmp_path: Path, slip: str) -> None:
    with pytest.raises(DataError, match=r"line 2 shows '.*', which is nearly '(bona ?fide|.*)'"):
        load(tmp_path, PLAIN.replace(",bona fide\n", f",{slip}\n", 1))


@pytest.mark.parametrize("species", ["replay", "mask", "print", "silicone", "video", "deepfake"])
def test_species_are_no_slips(tmp_path: Path, species: str) -> None:
    found = load(tmp_path, PLAIN.replace(",print\n", f",{species}\n"))
    assert found.species_names == (species,)


def test_columns_that_are_confused(tmp_path: Path) -> None:
    text = HEAD + TWO + "ann,id/a.png,live/c.png,live\n"
    swapped = text.replace("person,document,selfie", "person,selfie,document")
    with pytest.raises(DataError, match="exchange the columns document and selfie if they are"):
        load(tmp_path, swapped)


@pytest.mark.parametrize("person", ["12", "a/b", "..", "Jos\u00e9", "O'Hara, Scarlett", "<b>"])
def test_names_that_people_may_have(tmp_path: Path, person: str) -> None:
    found = load(tmp_path, PLAIN.replace("ann", f'"{person}"'))
    assert set(found.names) == {"bob", person}


def test_one_name_in_two_forms_of_unicode(tmp_path: Path) -> None:
    text = PLAIN.replace("ann", "Jose\u0301", 1).replace("ann", "Jos\u00e9")
    assert load(tmp_path, text).names == ("Jos\u00e9", "bob")


def test_groups(tmp_path: Path) -> None:
    found = load(tmp_path, GROUPS)
    assert found.groups is not None
    assert found.groups.columns == ("sex", "age")
    assert {name: mask.tolist() for name, mask in found.in_group()} == {
        "sex F": [True, False],
        "sex M": [False, True],
        "age 60+": [True, False],
        "age 18-39": [False, True],
    }


def test_the_order_of_rows_means_nothing(tmp_path: Path) -> None:
    head, *rows = GROUPS.splitlines(keepends=True)
    seen = set()
    for order in itertools.permutations(rows):
        found = load(tmp_path, "".join([head, *order]))
        members = [(name, tuple(mask)) for name, mask in found.in_group()]
        seen.add(
            (
                *(found.names, found.species_names, found.documents.names, found.selfies.names),
                *(tuple(found.people), tuple(found.species), found.digest, *members),
            )
        )
    assert len(seen) == 1


ROW = "cat,id/c.png,live/c.png,live\n"


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "has no entries", "list the selfies with person,document,selfie,presentation"),
        (HEAD, "has no entries", "list the selfies with person,document"),
        ("\ufeff\n", "has no entries", "list the selfies with"),
        ("person,document,selfie\n", "lacks the columns presentation", "use the columns person,"),
        (HEAD.upper() + TWO, "lacks the columns person, document, selfie, pres", "use the columns"),
        ((HEAD + TWO).replace(",", ";"), "lacks the columns person, document", "use the columns"),
        ("person," + HEAD, "has the same column twice", "use the columns"),
        (HEAD.replace("\n", ",\n"), "unknown columns: one without a name", "use the columns"),
        (
            GROUPS.replace("age", "Selfie"),
            "has columns whose names differ only in case, space or form: 'selfie' = 'Selfie'",
            "use one spelling",
        ),
        (
            GROUPS.replace("age", "Sex"),
            "has columns whose names differ only in case, space or form: 'sex' = 'Sex'",
            "use one spelling",
        ),
        (GROUPS.replace("age", "\u200b"), "the column shows nothing: '\\u200b'", "write a name"),
        (PLAIN + "cat,id/c.png,live/c.png\n", "line 5 is malformed", "fill in every cell"),
        (PLAIN + ROW.replace("\n", ",\n"), "line 5 is malformed", "fill in every cell"),
        (PLAIN + 'cat,"id/c.png,live/c.png,live\n', "line 5 is malformed (", "use the columns"),
        (PLAIN + ROW.replace("cat", " "), "line 5 leaves person empty", "fill in every cell"),
        (PLAIN + ROW.replace("cat", "\u00a0"), "line 5 leaves person empty", "fill in every cell"),
        (PLAIN + "cat,,live/c.png,\n", "line 5 (cat) leaves document, presentation empty", "fill"),
        (PLAIN + "cat,id/c.png,,live\n", "line 5 (cat) leaves selfie empty", "fill in every cell"),
        (GROUPS.replace("18-39", ""), "line 3 (bob) leaves age empty", "fill in every cell"),
        (PLAIN + ",,,\n", "line 5 leaves person, document, selfie, presentation empty", "fill in"),
        (PLAIN + ROW.replace("cat", "\u200b"), "the person in line 5 shows nothing", "write"),
        (PLAIN + ROW.replace("cat", "\u2800"), "the person in line 5 shows nothing", "write"),
        (GROUPS.replace("18-39", "\u00ad"), "the age in line 3 shows nothing", "write a name"),
        (PLAIN + ROW.replace(",live\n", ",\u200d\n"), "presentation in line 5 shows noth", "write"),
        (PLAIN + ROW.replace("cat", "n" * 201), "the person in line 5 'nnn", "at most 200"),
        (PLAIN + ROW.replace("cat", "a\x1b[2J"), "the value in line 5 'a\\x1b[2J' cont", "rename"),
        (PLAIN + ROW.replace("id/", "\0"), "the value in line 5 '\\x00c.png' contains", "rename"),
        (PLAIN + ROW.replace(",live\n", ",spoof\n"), "line 5 is an attack without", "print, scr"),
        (PLAIN + ROW.replace(",live\n", ",Attacks\n"), "line 5 is an attack without a sp", "print"),
        (PLAIN + ROW.replace(",live\n", ",at\u00adtack\n"), "line 5 is an attack without", "print"),
        (PLAIN + ROW.replace(",live\n", ",Document\n"), "line 5 is a document, not a", "bona fide"),
        (
            PLAIN + ROW.replace(",live\n", ",Print\n"),
            "has attack species whose names differ only in case, space or form: 'Print' = 'print'",
            "use one spelling",
        ),
        (PLAIN + TWO, "line 5 lists live/a.png again (see line 2)", "keep one line for each"),
        (
            PLAIN + "ann,id/a.png,.\\live\\a.png,print\n",
            "line 5 lists live/a.png for another person or presentation (see line 2)",
            "keep one line for each",
        ),
        (
            PLAIN + "cat,id/c.png,live/a.png,live\n",
            "line 5 lists live/a.png for another person or presentation (see line 2)",
            "keep one line for each",
        ),
        (
            PLAIN + "ann,id/c.png,live/c.png,live\n",
            "line 5 gives ann another document (id/c.png) than line 2 (id/a.png)",
            "one document for each person",
        ),
        (
            PLAIN + "cat,id/b.png,live/c.png,live\n",
            "line 5 gives cat the document of bob (id/b.png, see line 3)",
            "a document of their own",
        ),
        (
            GROUPS.replace("print,60+", "print,18-39"),
            "line 4 puts ann into other groups (F, 18-39) than line 2 (F, 60+)",
            "the same groups on all lines",
        ),
        (GROUPS.replace("60+", "18-39"), "a single group in the column age: 18-39", "at least two"),
        (GROUPS.replace("M", "f"), "groups in the column sex whose names differ only", "use one"),
        (
            PLAIN + ROW.replace("cat", "Ann"),
            "has people whose names differ only in case, space or form: 'Ann' = 'ann'",
            "use one spelling",
        ),
        (PLAIN + ROW.replace("cat", "a\u200bnn"), "'ann' = 'a\\u200bnn'", "use one spelling"),
        (PLAIN + ROW.replace("cat", "\uff41nn"), "= '\\uff41nn'", "use one spelling"),
        (
            PLAIN + "cat,id/7.png,live/8.png,live\ncat,id/7.png,live/9.png,live\n",
            "files that do not exist: id/7.png (line 5), live/8.png (line 5), live/9.png (line 6)",
            "relative to the folder of the CSV",
        ),
        (PLAIN + ROW.replace("id/c.png", "id"), "do not exist: id (line 5)", "relative"),
        (PLAIN + ROW.replace("id/c.png", "."), "do not exist: . (line 5)", "relative"),
        (PLAIN + ROW.replace("id/c", "C:\\c"), "do not exist: C:/c.png (line 5)", "relative"),
        (PLAIN + ROW.replace("id/c", "n" * 300), "files that do not exist: nnn", "relative"),
        (PLAIN + ROW.replace("id/", "../"), "line 5 names ../c.png, which is not below", "move"),
        (PLAIN + ROW.replace("live/", "/"), "line 5 names /c.png, which is not below", "move"),
        (PLAIN + ROW.replace("live/", "id/..\\"), "line 5 names id/../c.png, which is not", "move"),
        (
            HEAD + "ann,id/a.png,live/a.png,live\nann,id/a.png,print/a.png,print\n",
            "has a single person (ann), so there are no impostor transactions",
            "add other people",
        ),
        (
            PLAIN.replace("bona fide", "screen"),
            "has no bona fide selfies, so nobody can be turned away by mistake",
            "with the presentation bona fide",
        ),
        (PLAIN.encode("utf-16"), "is not UTF-8 text", "save it as UTF-8"),
        (PLAIN.replace("ann", "Andr\u00e9").encode("latin-1"), "is not UTF-8 text", "save it as"),
    ],
)
def test_lists_that_cannot_be_right(
    tmp_path: Path, text: str | bytes, problem: str, remedy: str
) -> None:
    refuse(written(tmp_path, text), problem, remedy)


@pytest.mark.parametrize("row", ["ann,id/a.png,id/a.png,print", "ann,id/a.png,id/b.png,print"])
def test_a_document_is_no_selfie(tmp_path: Path, row: str) -> None:
    problem = "1 of its images for documents are also used for selfies"
    refuse(written(tmp_path, f"{PLAIN}{row}\n"), problem, "for one purpose only", LeakageError)


@pytest.mark.parametrize("copy", [Path.symlink_to, Path.hardlink_to, None])
@pytest.mark.parametrize(
    ("original", "other", "problem", "kind"),
    [
        ("id/a.png", "id/b.png", "under two people: id/a.png = id/b.png", DataError),
        ("live/a.png", "live/b.png", "under two labels: live/a.png = live/b.png", DataError),
        ("live/a.png", "print/a.png", "under two labels: live/a.png = print/a.png", DataError),
        ("print/a.png", "print/b.png", "appears twice: print/a.png = print/b.png", DataError),
        ("id/a.png", "live/b.png", "for selfies", LeakageError),
        ("id/b.png", "print/a.png", "for selfies", LeakageError),
    ],
)
def test_the_same_pixels_under_another_name(
    tmp_path: Path,
    copy: Callable[[Path, Path], None] | None,
    original: str,
    other: str,
    problem: str,
    kind: type[DataError],
) -> None:
    path = written(tmp_path, PLAIN + "ann,id/a.png,print/b.png,print\n")
    source, target = tmp_path / original, tmp_path / other
    target.unlink()
    if copy is not None:
        copy(target, source)
    else:  # another file with these pixels
        target.write_bytes(encoded(pixels(IMAGES.index(original)), "BMP"))
    refuse(path, problem, "", kind)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is an empty file"),
        (b"no image", "is not an image"),
        (encoded(pixels(1))[:-40], "cannot be decoded"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    ],
)
@pytest.mark.parametrize("name", ["id/b.png", "print/a.png"])
def test_what_is_no_image(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = written(tmp_path, PLAIN)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=problem) as caught:
        load_applicants(path)
    assert caught.value.where == str(tmp_path / name)


def test_the_list_as_a_selfie(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN.replace("print/a.png", "applicants.csv"))
    refuse(path, "is not an image", "replace it")


def test_a_huge_image(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    os.truncate(tmp_path / "live/a.png", 3 << 30)
    with pytest.raises(DataError, match=r"a\.png: is 3\.0 GiB large"):
        load_applicants(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["applicants.csv", "id/a.png"])
def test_unreadable(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, PLAIN)
    (tmp_path / name).chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        load_applicants(path)


def test_missing_list(tmp_path: Path) -> None:
    refuse(tmp_path / "gone.csv", "does not exist", "check the path")


@pytest.mark.parametrize("name", ["applicants.npz", "applicants.xlsx", "applicants"])
def test_neither_folder_nor_list(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, PLAIN).rename(tmp_path / name)
    refuse(path, "is neither a folder nor a file ending in .csv", "give a CSV file, or a sub-fol")
