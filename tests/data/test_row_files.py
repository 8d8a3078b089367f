"""Pairs of images in files: a CSV with a column of files for each input."""

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant import Preprocess
from pytest_kycquant.data.decoding import decode
from pytest_kycquant.data.labelled import load_labelled
from pytest_kycquant.data.leakage import check_disjoint
from pytest_kycquant.data.prepared_rows import PreparedRows, holds_rows
from pytest_kycquant.data.row_files import FileRows
from pytest_kycquant.errors import DataError, LeakageError

ROWS = "selfie,portrait,subject,same\na/1.png,b/1.png,anna,1\n\na/2.png,b/1.png,ben,0\n"


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a/1.png", (9, 8)), ("a/2.png", (8, 8)), ("b/1.png", (16, 12))):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return write(tmp_path, ROWS)


def write(folder, text, name="pairs.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_rows_have_files_labels_and_subjects(table):
    found = load_labelled(table, rows=FileRows.load)
    assert found.images.names == ("pairs.csv:2", "pairs.csv:4")
    assert found.images.where(1) == str(table.with_name("pairs.csv:4"))
    assert found.labels.tolist() == [1, 0]
    assert found.subject_names == ("anna", "ben")
    row = found.images.row(1)
    for name, file in (("selfie", "a/2.png"), ("portrait", "b/1.png")):
        wanted = decode((table.parent / file).read_bytes(), file)
        np.testing.assert_array_equal(row[name], wanted[None])


def test_images_of_any_size_are_prepared(table):
    prepared = PreparedRows(Preprocess(size=(4, 4)))
    rows = prepared.load(table)
    assert holds_rows(Preprocess(size=(4, 4)), table)
    assert prepared.shapes(rows) == {"selfie": (1, 3, 4, 4), "portrait": (1, 3, 4, 4)}
    assert len(list(prepared.samples(rows))) == 2
    assert [name for name, _ in prepared.edges(rows)] == ["black", "white", "noise"]


def test_a_digest_is_that_of_the_files(table):
    rows = FileRows.load(table)
    before = rows.digest
    assert rows.subset([1]).digests == rows.digests[1:]
    Image.new("RGB", (8, 8)).save(table.parent / "a/2.png")
    with pytest.raises(DataError, match=r"2\.png: changed while it was in use"):
        rows.row(1)
    with pytest.raises(DataError, match="changed while it was in use"):
        rows.subset([1]).row(0)
    assert FileRows.load(table).digest != before


def test_an_image_may_be_in_many_rows_but_a_row_only_once(table):
    swapped = ROWS + "b/1.png,a/2.png,ben,1\n"
    assert len(load_labelled(write(table.parent, swapped), rows=FileRows.load).images) == 3
    again = ROWS + "a/1.png,b/1.png,anna,0\n"
    with pytest.raises(DataError, match=r"same row appears twice: pairs\.csv:2 \(1\) = .*csv:5"):
        load_labelled(write(table.parent, again), rows=FileRows.load)


def test_a_file_in_rows_for_two_purposes_is_refused(table):
    other = write(table.parent, "selfie,portrait\nb/1.png,a/1.png\n", "calibration.csv")
    with pytest.raises(LeakageError, match=r"2 of the images .*calibration\.csv:2 selfie = "):
        check_disjoint(FileRows.load(other), "calibration", FileRows.load(table), "evaluation")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("selfie,same\n1,1\n", "has no column of images"),
        ("selfie,same\na/1.png,1\na/9.png,0\n", r"do not exist: a/9\.png \(line 3\)"),
        ("selfie,portrait\na/1.png,b/1.png\n", "has no column of labels"),
        ("selfie,same\na/1.png,1\na/2.png,\n", "line 3 is malformed"),
        ("selfie,same\na/1.png\n", "line 2 is malformed"),
        ("selfie,subject,same\na/1.png,anna,1\na/2.png,,0\n", r"not for pairs\.csv:3"),
        ("selfie,same\na/1.png,1\nb,0\n", "has no column of images"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(table, text, match):
    with pytest.raises(DataError, match=match):
        load_labelled(write(table.parent, text), rows=FileRows.load)
