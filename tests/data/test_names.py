"""Names that no reader tells apart are one name: within a set and between sets."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.groups import load_groups
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.labelled import load_labelled
from pytest_kycquant.data.leakage import check_calibration_subjects, check_disjoint_subjects
from pytest_kycquant.data.liveness_files import load_liveness
from pytest_kycquant.data.names import plain_name, refuse_same_names, shared_names
from pytest_kycquant.errors import DataError, LeakageError
from tests.worlds.pictures import pixels, write_faces, write_image

SAME = {
    "upper case": "ANNA STRASSE",
    "title case": "Anna Strasse",
    "sharp s": "anna straße",
    "space around": " anna strasse ",
    "two spaces": "anna  strasse",
    "no-break space": "anna\u00a0strasse",
    "ideographic space": "anna\u3000strasse",
    "full width": "\uff41\uff4e\uff4e\uff41 strasse",
    "mathematical letters": "\U0001d41a\U0001d427\U0001d427\U0001d41a strasse",
    "long s": "anna \u017ftrasse",
    "ligature": "anna \ufb06rasse",
    "zero-width space": "anna\u200b strasse",
    "soft hyphen": "an\u00adna strasse",
    "byte order mark": "\ufeffanna strasse",
    "variation selector": "anna\ufe0f strasse",
    "combining joiner": "anna\u034f strasse",
    "right-to-left mark": "anna\u200f strasse",
    "ignorable, reserved": "an\ufff0na\u2065 strasse\U000e0fff",
    "tag": "anna\U000e0041 strasse",
    "Braille blank": "anna\u2800strasse",
    "musical blank": "anna strasse\U0001d159",
    "Hangul filler": "anna\u3164strasse",
    "half-width filler": "anna strasse\uffa0",
    "blank behind a joiner": "\u2060anna \u200d\u2800strasse",
}
NAME = "anna strasse"


@pytest.mark.parametrize("kind", SAME)
def test_spellings_of_one_name(kind: str) -> None:
    assert plain_name(SAME[kind]) == plain_name(NAME)


def test_composed_and_decomposed_letters() -> None:
    assert plain_name("ren\u00e9e") == plain_name("RENE\u0301E")
    assert plain_name("\u1e9b\u0323") == plain_name("\u1e9b\u0323".upper())


@pytest.mark.parametrize(
    "between",
    ["\u034f", "\u200d", "\u200b", "\u00ad", "\ufe0f", "\u2065", "\U000e0100", "\ufeff\u2060"],
)
def test_accent_behind_an_invisible_character(between: str) -> None:
    assert plain_name(f"Andre{between}\u0301") == plain_name("Andr\u00e9")
    assert plain_name(f"Nguye{between}\u0302{between}\u0303n") == plain_name("NGUY\u1ec4N")
    # Two accents whose order says nothing: below and above.
    assert plain_name(f"a\u0301{between}\u0323") == plain_name("a\u0323\u0301")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u0130nci", "inci"),
        ("\u0130NC\u0130", "inci"),
        ("I\u015eIK", "\u0131\u015f\u0131k"),
        ("I\u0307nci", "inci"),
        ("\u012e\u0307", "\u012f"),
        ("O\u2019Brien", "o'brien"),
        ("O\u00b4Brien", "O`Brien"),
        ("Jean\u2010Luc", "jean-luc"),
        ("Jean\u2011Luc", "Jean\u2013Luc"),
        (
            "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
            "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3",
        ),
    ],
)
def test_case_and_punctuation(one: str, other: str) -> None:
    assert plain_name(one) == plain_name(other)


def test_no_default_ignorable_character_is_left() -> None:
    ranges = (  # DerivedCoreProperties.txt of Unicode 16
        "00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 "
        "FE00-FE0F FEFF FFA0 FFF0-FFF8 1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
    )
    for part in ranges.split():
        first, _, last = part.partition("-")
        for code in range(int(first, 16), int(last or first, 16) + 1):
            assert plain_name(f"anna{chr(code)}") == "anna", hex(code)
            if code in (0x3164, 0xFFA0):  # fillers, which are as wide as a letter
                continue
            assert plain_name(f"{chr(code)}a\u0323{chr(code)}\u0301") == plain_name("\u1ea1\u0301")


LETTERS = st.characters(exclude_categories=("Cs",)) | st.sampled_from(
    "aeiIj\u0130\u0131\u0237\u0300\u0301\u0307\u0323\u0328\u034f\u0345"
    "\u200b\u2800\u3164\uffa0\u00b4\u1e9e '-"
)


@settings(max_examples=2000)
@given(st.text(LETTERS, max_size=8))
def test_plain_names_stay(name: str) -> None:
    plain = plain_name(name)
    assert plain_name(plain) == plain
    for other in (name.upper(), name.lower(), name.casefold(), f" {name}\u2800"):
        assert plain_name(other) in (plain, plain_name(name.upper()))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert plain_name(unicodedata.normalize(form, name)) == plain


@settings(max_examples=500)
@given(
    st.text(LETTERS, max_size=6),
    st.integers(0, 6),
    st.sampled_from("\u034f\u200d\u00ad\u2065\U000e0fff"),
)
def test_invisible_characters_make_no_difference(name: str, place: int, hidden: str) -> None:
    assert plain_name(name[:place] + hidden + name[place:]) == plain_name(name)


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("Andr\u00e9", "Andre\u0301", r"'Andr\xe9' = 'Andre\u0301'"),
        ("Anna", "An\u034fna", r"'Anna' = 'An\u034fna'"),
        ("Anna", "Anna\u2800", r"'Anna' = 'Anna\u2800'"),
        ("Anna", "ANNA", "'Anna' = 'ANNA'"),
        ("Ren\u00e9", "REN\u00c9", "'Ren\u00e9' = 'REN\u00c9'"),
    ],
)
def test_message_tells_the_names_apart(one: str, other: str, shown: str) -> None:
    with pytest.raises(DataError) as caught:
        refuse_same_names([one, other], "a", "people")
    assert shown in str(caught.value)
    assert shared_names([one], [other]) == [shown]


@pytest.mark.parametrize(
    "other", ["anna strass", "annastrasse", "anna-strasse", "ana strasse", "anna strasse 2", "änna"]
)
def test_different_names(other: str) -> None:
    assert plain_name(other) != plain_name(NAME)


@pytest.mark.parametrize("kind", sorted(set(SAME) - {"space around"}))
def test_two_folders_of_one_person(tmp_path: Path, kind: str) -> None:
    root = write_faces(tmp_path, {NAME: 2, "bob": 2})
    write_image(root / SAME[kind] / "x.png", 77)
    with pytest.raises(DataError, match="differ only in case, space or form") as caught:
        load_faces(root)
    assert "'anna strasse'" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", SAME)
def test_two_spellings_in_an_npz(tmp_path: Path, kind: str) -> None:
    images = np.stack([pixels(seed) for seed in range(4)])
    np.savez(tmp_path / "a.npz", images=images, subjects=["bob", NAME, SAME[kind], "carl"])
    with pytest.raises(DataError, match="differ only in case, space or form"):
        load_faces(tmp_path / "a.npz")


def test_numbers_in_two_forms(tmp_path: Path) -> None:
    root = write_faces(tmp_path, {"12": 2, "\uff11\uff12": 2})
    with pytest.raises(DataError, match="differ only in case"):
        load_faces(root)


@pytest.mark.parametrize("kind", sorted(set(SAME) - {"space around"}))
def test_evaluation_and_selection(tmp_path: Path, kind: str) -> None:
    one = load_faces(write_faces(tmp_path / "a", {NAME: 2, "bob": 2}))
    other = load_faces(write_faces(tmp_path / "b", {SAME[kind]: 2, "carl": 2}))
    with pytest.raises(LeakageError, match="1 of its identities for evaluation") as caught:
        check_disjoint_subjects(one, "evaluation", other, "selection")
    assert "'anna strasse' = " in str(caught.value)


@pytest.mark.parametrize("kind", sorted(set(SAME) - {"space around"}))
def test_calibration_folders(tmp_path: Path, kind: str) -> None:
    faces = load_faces(write_faces(tmp_path / "a", {NAME: 2, "bob": 2}))
    write_image(tmp_path / "cal" / "live" / SAME[kind] / "1.png", 50)
    images = ImageSet.from_folder(tmp_path / "cal", "")
    with pytest.raises(LeakageError, match="1 of the people on its calibration images"):
        check_calibration_subjects(images, evaluation=faces)


@pytest.mark.parametrize("shape", [(2,), (2, 1), (1, 2)])
def test_calibration_npz(tmp_path: Path, shape: tuple[int, ...]) -> None:
    faces = load_faces(write_faces(tmp_path / "a", {NAME: 2, "bob": 2}))
    path = tmp_path / "cal.npz"
    images = np.stack([pixels(seed) for seed in (50, 51)])
    np.savez(path, images=images, subjects=np.reshape(["ANNA STRASSE", "carl"], shape))
    with pytest.raises(LeakageError, match="'ANNA STRASSE' = 'anna strasse'"):
        check_calibration_subjects(ImageSet.from_array(images, path), evaluation=faces)


def test_numbers_without_a_letter_still_start_again(tmp_path: Path) -> None:
    one = load_faces(write_faces(tmp_path / "a", {"01": 2, "02": 2}))
    other = load_faces(write_faces(tmp_path / "b", {"01": 2, "02": 2}))
    check_disjoint_subjects(one, "evaluation", other, "selection")


def captures(root: Path, rows: list[tuple[str, str, str]]) -> Path:
    lines = ["file,label,species,subject"]
    for number, (label, species, subject) in enumerate(rows):
        write_image(root / f"{number}.png", number)
        lines.append(f"{number}.png,{label},{species},{subject}")
    (root / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return root / "labels.csv"


def test_liveness_people_and_species(tmp_path: Path) -> None:
    people = captures(tmp_path / "a", [("live", "", "Ann"), ("attack", "print", "ann")])
    with pytest.raises(DataError, match=r"has people whose names .*'Ann' = 'ann'"):
        load_liveness(people)
    species = captures(
        tmp_path / "b",
        [("live", "", "ann"), ("attack", "print", "bob"), ("attack", "Print", "carl")],
    )
    with pytest.raises(DataError, match=r"has attack species whose names .*'Print' = 'print'"):
        load_liveness(species)


def test_liveness_folders(tmp_path: Path) -> None:
    for number, folder in enumerate(("live/ann", "print/Ann", "print/bob")):
        write_image(tmp_path / folder / "1.png", number)
    with pytest.raises(DataError, match="has people whose names"):
        load_liveness(tmp_path)
    shutil.move(tmp_path / "print/Ann", tmp_path / "print/carl")
    write_image(tmp_path / "PRINT/dora/1.png", 9)
    with pytest.raises(DataError, match="has attack species whose names"):
        load_liveness(tmp_path)


def test_custom_classes_and_people(tmp_path: Path) -> None:
    for number, folder in enumerate(("frontal/ann", "Frontal/bob")):
        write_image(tmp_path / folder / "1.png", number)
    with pytest.raises(DataError, match="has classes whose names"):
        load_labelled(tmp_path)
    shutil.move(tmp_path / "Frontal", tmp_path / "side")
    shutil.move(tmp_path / "side/bob", tmp_path / "side/ANN")
    with pytest.raises(DataError, match="has people whose names"):
        load_labelled(tmp_path)


def test_custom_text_labels_may_differ_in_case(tmp_path: Path) -> None:
    """They may be what stands on a document."""
    for number in range(2):
        write_image(tmp_path / "images" / f"{number}.png", number)
    (tmp_path / "labels.csv").write_text("file,text\n0.png,Ann\n1.png,ANN\n")
    assert load_labelled(tmp_path / "images", tmp_path / "labels.csv").labels.tolist() == [
        "Ann",
        "ANN",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("subject,age\nann,old\nAnn,young\n", "people"),
        ("subject,age\nann,old\nbob,Old\ncarl,young\n", "groups in the column age"),
        ("subject,age,AGE\nann,old,a\nbob,young,b\n", "columns"),
    ],
)
def test_groups(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(DataError, match=f"has {what} whose names"):
        load_groups(tmp_path / "groups.csv")


def test_groups_of_files_whose_names_differ_in_case(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("file,kind\na.png,x\nA.png,y\n")
    assert len(load_groups(tmp_path / "groups.csv", "file").rows) == 2
