"""The liveness task crops all of its data, keeps roles disjoint and digests both."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant import KycModel, LivenessDetection, LivenessLimits, Preprocess
from pytest_kycquant.data.liveness import LivenessSet
from pytest_kycquant.errors import DataError, LeakageError, ModelError
from pytest_kycquant.tasks.base import TaskData
from pytest_kycquant.tasks.liveness.task import LivenessTask, as_row
from pytest_kycquant.tasks.outputs import Outputs
from tests.worlds.pictures import write_captures

pytestmark = pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.CalibrationWarning")
COUNTS = {"live": 2, "print": 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Photographs of 8 x 6 pixels (height x width) for three roles, each with a box."""
    write_captures(tmp_path / "data", COUNTS, people=2)
    write_captures(tmp_path / "other", COUNTS, first_seed=100)
    write_captures(tmp_path / "calibration", {"a": 3}, first_seed=200)
    lines = ["file,x1,y1,x2,y2"]
    lines += [f"{p.relative_to(tmp_path)},1,1,3,3" for p in sorted(tmp_path.rglob("*.png"))]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    return tmp_path


def task(root: Path, data: str = "data", **options: object) -> LivenessTask:
    given: dict[str, object] = {"single_species": True} | options
    spec = LivenessDetection(data, **given)  # type: ignore[arg-type]
    model = KycModel("m.onnx", Preprocess(size=(4, 4)), spec, calibration="calibration")
    resolve: Callable[..., Path] = lambda path, _: root / path  # noqa: E731
    return LivenessTask(model, LivenessLimits(apcer=0.08), resolve)


def load(root: Path, **options: object) -> TaskData[LivenessSet]:
    return task(root, **options).load()


def test_every_role_is_cropped(root: Path) -> None:
    """Calibration is cropped, too: whole photographs would give the ranges of other inputs."""
    judge = task(root, selection="other", boxes="boxes.csv", crop_scale=2.0)
    found = judge.load()
    assert found.selection is not None
    assert found.calibration is not None
    for whole in (found.evaluation.images, found.selection.images, found.calibration):
        images = judge.seen(whole, 0)
        # Centre (2, 2), sides 4: from 0 to 4, both included.
        assert [images.pixels(i).shape for i in range(len(images))] == [(5, 5, 3)] * len(images)
    assert found.evaluation.truth.images is found.evaluation.images


def test_each_file_has_its_own_crop(root: Path) -> None:
    options = {"boxes": "boxes.csv", "crop_scale": (1.0, 2.0), "single_species": True}
    spec = LivenessDetection("data", threshold=0.5, **options)  # type: ignore[arg-type]
    model = KycModel(["a.onnx", "b.onnx"], Preprocess(size=(4, 4)), spec)  # type: ignore[arg-type]
    judge = LivenessTask(model, LivenessLimits(), lambda path, _: root / path)
    images = judge.load().evaluation.images
    assert [judge.seen(images, file).pixels(0).shape for file in (0, 1)] == [(3, 3, 3), (5, 5, 3)]


@pytest.mark.parametrize("role", ["data/live", "other/print", "calibration/a"])
def test_every_role_needs_its_boxes(root: Path, role: str) -> None:
    lines = (root / "boxes.csv").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(role)]
    (root / "boxes.csv").write_text("\n".join(kept))
    where = role.split("/")[0]
    with pytest.raises(DataError, match=f"{where}: contains images without face boxes"):
        load(root, selection="other", boxes="boxes.csv", crop_scale=2.0)


def test_golden_is_stale_when_a_crop_changes(root: Path) -> None:
    digests = [
        load(root, selection="other", boxes="boxes.csv", crop_scale=scale).digests
        for scale in (2.0, 2.0, 2.7)
    ]
    whole = load(root, selection="other").digests
    assert digests[0] == digests[1]
    assert [len(found["crops"]) for found in digests] == [2, 2, 2]  # evaluation and selection
    assert not set(digests[0]["crops"]) & set(digests[2]["crops"])
    assert "crops" not in whole


def test_share_for_selection(root: Path) -> None:
    found = load(root, selection=0.5)
    assert found.selection is not None
    assert found.choosing is found.selection
    assert found.searched is None
    assert found.evaluation.size == found.selection.size
    assert found.evaluation.size == "4 captures of 1 people with 1 attack species"
    assert found.note == ""


def test_by_default_everybody_chooses_the_threshold_and_is_judged(root: Path) -> None:
    found = load(root)
    assert found.selection is None
    assert found.choosing is found.evaluation
    assert len(found.evaluation.images) == 8


def test_threshold_needs_no_selection(root: Path) -> None:
    found = load(root, threshold=0.5)
    assert found.selection is None
    assert found.choosing is None
    assert found.digests["selection"] is None
    assert len(found.evaluation.images) == 8


def test_unknown_people_are_noted(root: Path) -> None:
    note = load(root, data="other", threshold=0.5).note
    assert "each capture counts as a different person" in note


@pytest.mark.parametrize(
    ("copy", "message"),
    [
        ("other/live/0001.png", "for evaluation are also used for selection"),
        ("calibration/a/0001.png", "for calibration are also used for evaluation"),
    ],
)
def test_leaks(root: Path, copy: str, message: str) -> None:
    (root / copy).write_bytes((root / "data/live/person00/0001.png").read_bytes())
    with pytest.raises(LeakageError, match=message):
        load(root, selection="other")


def test_a_leak_is_one_whatever_part_is_looked_at(root: Path) -> None:
    (root / "other/live/0001.png").write_bytes((root / "data/live/person00/0001.png").read_bytes())
    text = (root / "boxes.csv").read_text()
    (root / "boxes.csv").write_text(
        text.replace("other/live/0001.png,1,1", "other/live/0001.png,2,2")
    )
    with pytest.raises(LeakageError, match="for evaluation are also used for selection"):
        load(root, selection="other", boxes="boxes.csv", crop_scale=2.0)


def test_one_species_is_an_error_unless_there_is_no_other(root: Path) -> None:
    with pytest.raises(DataError, match=r"only one species \(print\), .*single_species=True"):
        load(root, single_species=False)
    assert load(root).evaluation.truth.species_names == ("print",)


def test_selection_of_other_species(root: Path) -> None:
    (root / "other" / "print").rename(root / "other" / "Print")
    with pytest.raises(DataError, match="has no attacks of the species"):
        load(root, selection="other")


def test_threshold_policy(root: Path) -> None:
    assert task(root).policy()["selection APCER"] == 0.04  # half of the limit
    assert task(root, selection_apcer=0.01).policy()["selection APCER"] == 0.01
    given = task(root, threshold=0.7).policy()
    assert (given["selection APCER"], given["given threshold"]) == (None, 0.7)


def test_harm_grows_with_the_distance_and_is_largest_without_an_answer(root: Path) -> None:
    fp32 = Outputs(np.array([[3, -4, 0], [0, 0, 5]], np.float32), np.ones(2, np.bool_))

    def harm(values: np.ndarray) -> float:
        return task(root).harm(fp32, Outputs(values.astype(np.float32), np.ones(2, np.bool_)))

    assert harm(fp32.values) == 0
    assert harm(fp32.values + np.array([[0, 1, 0], [0, 0, 0]])) == pytest.approx(0.1)
    assert harm(-fp32.values) == pytest.approx(2)
    assert harm(np.array([[np.nan, 0, 0], [0, 0, 5]])) == pytest.approx(1)
    assert np.isfinite(harm(np.full((2, 3), np.inf)))


@pytest.mark.parametrize("shape", [(1, 3), (3,), (1, 3, 1, 1), (1, 1), (1,)])
def test_rows_of_classes(shape: tuple[int, ...]) -> None:
    row = as_row(np.zeros(shape, np.float32))
    assert row.shape == (int(np.prod(shape)),)


@pytest.mark.parametrize(
    "value",
    [np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float64), np.zeros((1, 0), np.float32)],
)
def test_outputs_that_are_no_row(value: np.ndarray) -> None:
    with pytest.raises(ModelError, match="is not a row of classes for one image; a liveness model"):
        as_row(value)
