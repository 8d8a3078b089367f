"""The data of a custom task: disjoint roles, a digest of each, all classes in each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant import CustomLimits, CustomTask, KycModel, Preprocess
from pytest_kycquant.data.labelled import LabelledSet
from pytest_kycquant.errors import DataError, LeakageError
from pytest_kycquant.tasks.base import TaskData
from pytest_kycquant.tasks.custom.task import CustomMetricTask
from tests.worlds.pictures import write_captures

pytestmark = pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.CalibrationWarning")
CLASSES = ("card", "passport")


def misread(outputs: Any, labels: Any) -> Any:
    return outputs.argmax(axis=1) != labels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_captures(tmp_path / "data", {"card": 1, "passport": 1}, people=4)
    write_captures(tmp_path / "other", {"card": 2, "passport": 2}, first_seed=100)
    write_captures(tmp_path / "calibration", {"a": 3}, first_seed=200)
    return tmp_path


def load(root: Path, data: str = "data", **options: Any) -> TaskData[LabelledSet]:
    spec = CustomTask(data, metric=misread, **{"classes": CLASSES, **options})
    model = KycModel("m.onnx", Preprocess(size=(4, 4)), spec, calibration="calibration")
    limits = CustomLimits(metric=0.1, degradation=0.1)
    return CustomMetricTask(model, limits, lambda path, _: root / path).load()


def test_without_selection(root: Path) -> None:
    found = load(root)
    assert found.selection is None
    assert found.digests["selection"] is None
    assert found.evaluation.size == "8 images of 4 subjects"
    assert found.note == ""


def test_share_for_selection(root: Path) -> None:
    found = load(root, selection=0.5)
    assert found.selection is not None
    assert found.evaluation.size == found.selection.size == "4 images of 2 subjects"
    assert None not in found.digests.values()


def test_other_images_for_selection(root: Path) -> None:
    found = load(root, selection="other")
    assert found.selection is not None
    assert found.selection.size == "4 images"
    assert found.note == ""
    assert load(root, data="other").note.startswith("the data does not say whom the images show")


def test_other_images_with_labels_of_their_own(root: Path) -> None:
    rows = [f"{kind}/000{i}.png,{kind}" for kind in CLASSES for i in (1, 2)]
    (root / "other.csv").write_text("\n".join(["file,kind", *rows]))
    found = load(root, selection="other", selection_labels="other.csv")
    assert found.selection is not None
    assert found.selection.truth.labels.tolist() == [0, 0, 1, 1]


def test_another_order_of_classes_is_other_data(root: Path) -> None:
    turned = load(root, classes=CLASSES[::-1])
    assert turned.digests["evaluation"] != load(root).digests["evaluation"]


def test_each_side_needs_each_class(tmp_path: Path) -> None:
    images = np.arange(8 * 3, dtype=np.uint8).reshape(8, 1, 1, 3)
    labels = np.r_[np.zeros(7, int), 1]
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    with pytest.raises(DataError, match="has no images of the classes passport; change the share"):
        load(tmp_path, "data.npz", selection=0.5)


def test_the_same_people_for_selection(root: Path) -> None:
    write_captures(root / "again", {"card": 1, "passport": 1}, people=2, first_seed=300)
    with pytest.raises(LeakageError, match="2 of its identities for evaluation are also used for"):
        load(root, selection="again")


@pytest.mark.parametrize("role", ["selection", "calibration"])
def test_the_same_image_for_two_roles(root: Path, role: str) -> None:
    content = (root / "data" / "card" / "person00" / "0001.png").read_bytes()
    folder = {"selection": "other/card", "calibration": "calibration/a"}[role]
    (root / folder / "copy.png").write_bytes(content)
    with pytest.raises(LeakageError, match="1 of its images for "):
        load(root, selection="other")
