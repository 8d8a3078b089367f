"""Rows of named arrays in the place of images: what is read, compared and refused."""

import numpy as np
import pytest

from pytest_kycquant import Preprocess
from pytest_kycquant.data.labelled import load_labelled, split_labelled
from pytest_kycquant.data.leakage import check_disjoint
from pytest_kycquant.data.prepared_rows import PreparedRows, holds_rows
from pytest_kycquant.data.rows import RowSet
from pytest_kycquant.errors import DataError, LeakageError

IDS = np.arange(12).reshape(4, 3)
PHOTOS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


def saved(folder, name="rows.npz", **arrays):
    path = folder / name
    np.savez(path, **arrays)
    return path


def test_rows_are_named_and_split_like_images(tmp_path):
    path = saved(tmp_path, ids=IDS, age=np.arange(4.0), labels=[0, 1, 0, 1], subjects=list("abcd"))
    found = load_labelled(path, rows=RowSet.load)
    assert found.images.names == tuple(f"rows.npz[{n}]" for n in range(4))
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert set(found.images.arrays) == {"ids", "age"}
    row = found.images.row(2)
    assert (row["ids"].tolist(), row["age"].tolist()) == ([[6, 7, 8]], [2.0])
    one, other = split_labelled(found, 0.5)
    assert sorted((*one.images.names, *other.images.names)) == sorted(found.images.names)
    for part in (one, other):
        for name, row in zip(part.images.names, part.images.rows(), strict=True):
            assert row["ids"].tolist() == IDS[int(name[9:-1])][None].tolist()


def test_a_digest_depends_on_every_array_and_its_name(tmp_path):
    given = {"ids": IDS, "mask": np.ones((4, 3))}
    digests = [RowSet.load(saved(tmp_path, **given)).digest]
    others = (
        {**given, "mask": given["mask"] * [1, 1, 0]},
        {"ids": IDS, "masks": given["mask"]},
        {**given, "ids": IDS.astype(np.int32)},
        {"ids": IDS},
    )
    digests += [RowSet.load(saved(tmp_path, **changed)).digest for changed in others]
    assert len(set(digests)) == 5
    assert RowSet.load(saved(tmp_path, **given)).digest == digests[0]


def test_the_same_row_twice_is_refused(tmp_path):
    path = saved(tmp_path, ids=IDS[[0, 1, 2, 1]], labels=np.arange(4))
    with pytest.raises(DataError, match=r"same row appears twice: rows\.npz\[1\] \(1\) = .*\[3\]"):
        load_labelled(path, rows=RowSet.load)
    # One array alone may repeat.
    path = saved(tmp_path, ids=IDS[[0, 1, 2, 1]], age=np.arange(4), labels=np.arange(4))
    assert len(load_labelled(path, rows=RowSet.load).images) == 4


def test_a_row_for_two_purposes_is_refused(tmp_path):
    one = RowSet.load(saved(tmp_path, ids=IDS))
    other = RowSet.load(
        saved(tmp_path, "other.npz", ids=IDS[::-1] + np.array([[50], [0], [50], [50]]))
    )
    with pytest.raises(LeakageError, match=r"1 of its rows .*other\.npz\[1\] = rows\.npz\[2\]"):
        check_disjoint(other, "calibration", one, "evaluation")


def test_an_image_in_rows_for_two_purposes_is_refused(tmp_path):
    """The rows differ; the portrait of one is the selfie of the other."""
    one = RowSet.load(saved(tmp_path, selfie=PHOTOS[:2], portrait=PHOTOS[2:], ids=IDS[:2]))
    new = 255 - PHOTOS
    arrays = {"selfie": new[:2].copy(), "portrait": new[2:], "ids": IDS[:2]}
    check_disjoint(RowSet.load(saved(tmp_path, "a.npz", **arrays)), "x", one, "evaluation")
    arrays["selfie"][1] = PHOTOS[3]
    other = RowSet.load(saved(tmp_path, "b.npz", **arrays))
    match = r"1 of the images in its rows for x .*b\.npz\[1\] selfie = rows\.npz\[1\] portrait"
    with pytest.raises(LeakageError, match=match):
        check_disjoint(other, "x", one, "evaluation")


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"labels": [0, 1]}, "contains no arrays for the inputs"),
        ({"ids": IDS, "mask": IDS[:3]}, "different lengths: ids 4, mask 3"),
        ({"ids": np.array(["a", "b"])}, "array 'ids' is <U1 .*text as ids of tokens"),
        ({"ids": np.array(5)}, r"array 'ids' is int64 of shape \(\)"),
        ({"ids": np.empty((0, 3))}, r"of shape \(0, 3\)"),
        ({"ids": np.array([1j])}, "array 'ids' is complex128"),
        ({"age": np.array([1, np.nan, np.inf])}, r"'age' is not finite in rows\.npz\[1\], .*\[2\]"),
    ],
)
def test_what_a_model_cannot_be_given_is_refused(tmp_path, arrays, match):
    with pytest.raises(DataError, match=match):
        RowSet.load(saved(tmp_path, **arrays))


def test_only_arrays_of_images_are_prepared(tmp_path):
    mask = np.full((4, 8), 200, np.uint8)
    path = saved(tmp_path, selfie=PHOTOS, mask=mask)
    prepared = PreparedRows(Preprocess(size=(8, 8), mean=100, scale=0.5, channels="BGR"))
    rows = prepared.load(path)
    (name, first), *_ = prepared.samples(rows)
    assert name == "rows.npz[0]"
    wanted = (PHOTOS[0].astype(np.float32)[..., ::-1] - 100).transpose(2, 0, 1)[None] / 2
    np.testing.assert_array_equal(first["selfie"], wanted)
    np.testing.assert_array_equal(first["mask"], mask[:1])
    assert prepared.shapes(rows) == {"selfie": (1, 3, 8, 8), "mask": (1, 8)}


def test_images_may_be_prepared_by_their_names(tmp_path):
    path = saved(tmp_path, selfie=PHOTOS, card=PHOTOS, raw=PHOTOS)
    specs = {"selfie": Preprocess(size=(4, 4)), "card": Preprocess(size=(8, 6), layout="NHWC")}
    prepared = PreparedRows(specs)
    wanted = {"selfie": (1, 3, 4, 4), "card": (1, 8, 6, 3), "raw": (1, 8, 8, 3)}
    assert prepared.shapes(prepared.load(path)) == wanted


def test_extreme_inputs_change_images_alone(tmp_path):
    path = saved(tmp_path, selfie=PHOTOS, card=PHOTOS, ids=IDS)
    prepared = PreparedRows(Preprocess(size=(8, 8)))
    edges = dict(prepared.edges(prepared.load(path)))
    assert list(edges) == ["black", "white", "noise"]
    for name, value in (("black", 0), ("white", 255)):
        assert (edges[name]["selfie"] == value).all()
        assert (edges[name]["card"] == value).all()
    assert len(np.unique(edges["noise"]["card"])) > 50
    assert not np.array_equal(edges["noise"]["card"], edges["noise"]["selfie"])
    assert all(each["ids"].tolist() == [[0, 1, 2]] for each in edges.values())
    without = PreparedRows(None)
    assert not list(without.edges(without.load(path)))


def test_images_that_are_missing_are_told(tmp_path):
    path = saved(tmp_path, selfie=PHOTOS, ids=IDS)
    for given, match in (
        ({"selfi": Preprocess(size=(8, 8))}, "'selfi', which .* is missing; did you mean 'selfie'"),
        ({"ids": Preprocess(size=(8, 8))}, "array 'ids', .* does not hold images"),
    ):
        with pytest.raises(DataError, match=match):
            PreparedRows(given).load(path)
    with pytest.raises(DataError, match=r"neither images nor .*; it contains: ids"):
        PreparedRows(Preprocess(size=(8, 8))).load(saved(tmp_path, ids=IDS))


def test_other_rows_must_be_alike(tmp_path):
    prepared = PreparedRows(None)
    rows = prepared.load(saved(tmp_path, ids=IDS, age=np.zeros((4, 1))))
    for arrays in ({"ids": IDS}, {"ids": IDS[:, :2], "age": np.zeros((4, 1))}):
        with pytest.raises(DataError, match=r"other\.npz: gives the model .* gives it age"):
            prepared.load(saved(tmp_path, "other.npz", **arrays), rows)


def test_a_file_with_images_is_a_set_of_images_unless_the_gate_file_says_otherwise(tmp_path):
    images, rows = saved(tmp_path, images=PHOTOS), saved(tmp_path, "other.npz", ids=IDS)
    spec = Preprocess(size=(8, 8))
    assert not holds_rows(spec, images)
    assert holds_rows(spec, rows)
    assert holds_rows(None, images)
    assert holds_rows({"images": spec}, images)
    assert not holds_rows(spec, tmp_path)
    with pytest.raises(DataError, match=r"is neither an \.npz file of arrays nor a CSV"):
        holds_rows(None, tmp_path)
