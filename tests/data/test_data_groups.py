"""Tables of groups list exactly the people, or the images, of the data."""

from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.faces import FaceSet
from pytest_kycquant.data.groups import GroupTable, load_groups
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.liveness import LivenessSet, labelled
from pytest_kycquant.errors import DataError

TABLE = "subject,sex,age\nann,F,18-39\nbob,M,18-39\ncat,F,60+\n"


def faces(*subjects: str) -> FaceSet:
    names, index = np.unique(subjects, return_inverse=True)
    images = ImageSet.from_array(np.zeros((len(subjects), 1, 1, 3), np.uint8), Path("faces.npz"))
    return FaceSet(images, index.astype(np.int64), tuple(map(str, names)))


def captures(*subjects: str) -> LivenessSet:
    images = ImageSet.from_array(np.zeros((2, 1, 1, 3), np.uint8), Path("captures.npz"))
    return labelled(images, ["", "print"], list(subjects) or None)


@pytest.fixture
def table(tmp_path: Path) -> GroupTable:
    return write(tmp_path, TABLE)


def write(folder: Path, text: str) -> GroupTable:
    (folder / "groups.csv").write_text(text, encoding="utf-8")
    return load_groups(folder / "groups.csv")


def test_images_of_each_group(table: GroupTable) -> None:
    found = table.of(faces("cat", "ann", "bob", "ann"))
    assert {group.name: group.members.tolist() for group in found} == {
        "sex F": [True, True, False, True],
        "sex M": [False, False, True, False],
        "age 18-39": [False, True, True, True],
        "age 60+": [True, False, False, False],
    }


def test_a_group_without_images_is_not_lost(table: GroupTable) -> None:
    """All people of a group may be in the selection split."""
    found = {group.name: group.members for group in table.of(faces("ann", "cat"))}
    assert found["sex M"].tolist() == [False, False]


def test_just_these_people(table: GroupTable) -> None:
    table.check_people(faces("ann", "bob", "cat"))
    table.check_people(faces("ann"), faces("bob", "cat"))
    table.check_people(faces("ann"), captures("bob", "cat"))


def test_somebody_is_not_in_the_table(table: GroupTable) -> None:
    with pytest.raises(DataError, match=r"groups.csv: lacks 2 of the people in .*: Bob, dan;"):
        table.check_people(faces("ann", "cat", "bob"), faces("Bob", "dan"))


def test_the_table_names_somebody_else(table: GroupTable) -> None:
    """Half of the data may have been lost."""
    with pytest.raises(DataError, match=r"lists 1 people without an image: bob;"):
        table.check_people(faces("ann", "cat"))


def test_nobody_says_who_is_captured(table: GroupTable) -> None:
    with pytest.raises(DataError, match=r"captures.npz: does not say who is captured"):
        table.check_people(captures())


def images(count: int, name: str = "scenes.npz") -> ImageSet:
    return ImageSet.from_array(np.zeros((count, 1, 1, 3), np.uint8), Path(name))


def test_groups_of_images(tmp_path: Path) -> None:
    rows = ["scenes.npz[0],A", "scenes.npz[1],B", "scenes.npz[2],A", "more.npz[0],C"]
    (tmp_path / "groups.csv").write_text("\n".join(["file,country", *rows]))
    table = load_groups(tmp_path / "groups.csv", "file")
    table.check_images(images(3), images(1, "more.npz"))
    assert {group.name: group.members.tolist() for group in table.of_images(images(3))} == {
        "country A": [True, False, True],
        "country B": [False, True, False],
        "country C": [False, False, False],
    }
    with pytest.raises(DataError, match=r"lacks 1 of the images in scenes.npz: scenes.npz\[3\]"):
        table.check_images(images(4), images(1, "more.npz"))
    with pytest.raises(DataError, match=r"lists 1 images that do not exist: more.npz\[0\]"):
        table.check_images(images(3))


def test_people_are_no_images(tmp_path: Path, table: GroupTable) -> None:
    with pytest.raises(DataError, match="lacks the columns file"):
        load_groups(table.path, "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no entries; list every subject with its groups"),
        ("subject,sex\n", "has no entries"),
        ("name,sex\nann,F\nbob,M\n", "lacks the columns subject"),
        ("subject\nann\nbob\n", "has no column other than subject"),
        ("subject,sex,\nann,F,\n", "has unknown columns: one without a name"),
        ("subject,sex,sex\nann,F,F\nbob,M,M\n", "has the same column twice"),
        ("subject,sex\nann,F\nbob,\n", "line 3 leaves sex empty; give every subject a group"),
        ("subject,sex\nann,F\n,M\n", "line 3 leaves subject empty"),
        ("subject,sex\nann,F\nbob\n", "line 3 is malformed"),
        ("subject,sex\nann,F\nbob,M\nann,F\n", r"line 4 lists ann again \(see line 2\)"),
        ("subject,sex\nann,F\nann,M\n", r"line 3 lists ann with another group \(see line 2\)"),
        ("subject,sex\nann,F\nbob,F\n", "has a single group in the column sex: F"),
        ("subject,sex\nann,F\nbob,M\x07\n", "contains control characters"),
        ("subject,s\x07x\nann,F\nbob,M\n", "the column .* contains control characters"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(tmp_path, text)


def test_the_digest_is_that_of_the_assignment(tmp_path: Path, table: GroupTable) -> None:
    head, *rows = TABLE.splitlines()
    other = write(tmp_path, "\n".join([head, *reversed(rows)]))
    assert other.digest == table.digest
    assert write(tmp_path, TABLE.replace("cat,F", "cat,M")).digest != table.digest
    assert write(tmp_path, TABLE.replace("age", "years")).digest != table.digest


def test_groups_that_reports_could_not_tell_apart(tmp_path: Path) -> None:
    """The column "a b" with the group "c", and the column "a" with the group "b c"."""
    path = tmp_path / "groups.csv"
    path.write_text("subject,a b,a\nx,c,b c\ny,d,e\n")
    with pytest.raises(DataError, match="has a group a b c in the column a and in the column a b"):
        load_groups(path)
