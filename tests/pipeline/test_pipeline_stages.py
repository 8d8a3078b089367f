"""The inputs of a pipeline's stages, their answers, and the timing of every call."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pytest_kycquant import (
    Box,
    DetectionLimits,
    FaceVerification,
    KycModel,
    LivenessDetection,
    ObjectDetection,
    PipelineGates,
    PipelineLimits,
    Preprocess,
    Verdict,
)
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.landmarks import TEMPLATE
from pytest_kycquant.errors import (
    DataError,
    KycquantError,
    ModelError,
    PipelineError,
    SpecError,
)
from pytest_kycquant.pipeline.models import Memory, Pipeline, Stage
from pytest_kycquant.pipeline.record import judge_latency
from pytest_kycquant.pipeline.stages import Photo, Stages
from pytest_kycquant.pipeline.timing import summarise, time_runs
from pytest_kycquant.runtimes import library
from pytest_kycquant.runtimes.feeding import Feeding
from pytest_kycquant.tasks.detection.task import DetectionTask
from pytest_kycquant.tasks.outputs import run_model
from tests.worlds import scenery, upright
from tests.worlds.raised import RAISED

SMALL = Preprocess(size=(4, 4))
FACES = KycModel("face.onnx", SMALL, FaceVerification("faces"))


class Session:
    """A model that returns a given answer and records its inputs."""

    def __init__(self, answer: np.ndarray, on_run: Callable[[], None] = lambda: None) -> None:
        self.answer = answer.astype(np.float32)
        self.given: list[np.ndarray] = []
        self._on_run = on_run

    inputs: tuple[str, ...] = ("input",)
    outputs = ("output",)

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        assert set(feed) == set(self.inputs)
        self._on_run()
        self.given.append(feed["input"])
        return [self.answer]


def stages_of(
    sessions: dict[str, Session], clock: Callable[[], int] = lambda: 0, **models: KycModel
) -> Stages:
    """Stages with simulated sessions, by file name."""
    described = {
        name: Stage(model, "int8", tuple(Path(path) for path in model.paths), 0.5, 1, name)
        for name, model in models.items()
    }
    pipeline = Pipeline("shipped", described, threads=3, exact=True)

    def opened(name: str, path: Path, threads: int, exact: bool) -> Session:
        assert (threads, exact) == (3, True)
        assert str(path) in described[name].model.paths  # each with the runtime of its stage
        return sessions[path.name]

    return Stages(pipeline, clock=clock, open_model=opened)


def photo(pixels: np.ndarray) -> Photo:
    return Photo(ImageSet.from_array(pixels[None], Path("some.npz")), 0)


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    """Every pixel encodes its place: red is its row, green its column."""
    rows, columns = np.indices((height, width))
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("landmarks", [False, True])
def test_detections_are_those_of_the_evaluation(tmp_path: Path, landmarks: bool) -> None:
    scenery.write_scenes(tmp_path, "scenes", 40, seed=3)
    world = upright if landmarks else scenery
    onnx.save(world.detector(), tmp_path / "detector.onnx")
    spec = ObjectDetection(
        "scenes.npz",
        "scenes.csv",
        classes=("face", "card"),
        judged=("card", "face"),
        confidence=0.9,
        keypoints=5 if landmarks else None,
    )
    seen = Preprocess(size=(64, 64), scale=1 / 255, resize="letterbox")
    model = KycModel(tmp_path / "detector.onnx", seen, spec)
    task = DetectionTask(model, DetectionLimits(), lambda path, _: tmp_path / path)
    images = task.load().evaluation.images
    outputs = run_model(
        library().open(tmp_path / "detector.onnx"), task.tensors(images), (), ("output0",),
        task.read, threads=1,
    )  # fmt: skip
    part = task.load().evaluation
    wanted = task.baseline(part, outputs, 0.9).fp32.predictions.above(0.9)
    stage = Stage(model, "fp32", (tmp_path / "detector.onnx",), 0.9, 1)
    stages = Stages(Pipeline("fp32", {"detector": stage}))
    found = [(index, f) for index in range(40) for f in stages.detect(images.pixels(index))]
    assert len(found) > 60
    assert [index for index, _ in found] == wanted.image_index.tolist()
    assert [("card", "face").index(f.name) for _, f in found] == wanted.classes.tolist()
    assert np.array([f.score for _, f in found]) == pytest.approx(wanted.scores, abs=0)
    assert np.array([f.box for _, f in found]) == pytest.approx(wanted.boxes, abs=0)
    if wanted.keypoints is None:
        assert {f.keypoints for _, f in found} == {None}
    else:
        points = np.array([f.keypoints for _, f in found])
        assert points.dtype == np.float64
        np.testing.assert_array_equal(points, wanted.keypoints)
        # The detector's landmarks are those of a face that fills the box, letterbox undone.
        corners = np.array([f.box[:2] for _, f in found])
        np.testing.assert_allclose(points, corners[:, None] + TEMPLATE / 7, atol=1e-4)


def test_stages_of_one_file_are_opened_for_each_way_to_run_and_to_read_it(tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    onnx.save(scenery.detector(), path)
    spec = ObjectDetection("scenes.npz", "scenes.csv", classes=("face", "card"), confidence=0.5)
    seen = Preprocess(size=(64, 64), scale=1 / 255, resize="letterbox")
    stage = Stage(KycModel(path, seen, spec), "fp32", (path,), 0.5, 1)
    pipeline, memory = Pipeline("fp32", {"detector": stage}), Memory()
    first = memory.opened(pipeline, stage)
    assert memory.opened(replace(pipeline, label="shipped"), stage) is first
    assert memory.opened(replace(pipeline, threads=2), stage) is not first
    assert memory.opened(replace(pipeline, exact=True), stage) is not first
    stricter = memory.opened(pipeline, replace(stage, threshold=0.9))
    assert (first.threshold, stricter.threshold) == (0.5, 0.9)


def test_a_stage_is_fed_as_its_gates_feed_it() -> None:
    """Pixels, a batch of four filled with copies, and a constant; only its own row is read."""
    session = Session(np.arange(8).reshape(4, 2) + 1)
    session.inputs = ("input", "phase")
    feeding = Feeding({"input": "uint8"}, 4, {"phase": np.array(False)})
    stage = Stage(FACES, "fp32", (Path("face.onnx"),), 0.5, 1, feedings=(feeding,))
    stages = Stages(Pipeline("fp32", {"embedder": stage}), open_model=lambda *_: session)
    pixels = picture(4, 4)
    assert stages.embed(pixels).tolist() == [1, 2]
    (given,) = session.given
    assert given.dtype == np.uint8
    np.testing.assert_array_equal(given, np.stack([pixels.transpose(2, 0, 1)] * 4))


def test_a_box_outside_of_the_image_is_none() -> None:
    """It lies in the grey of the letterbox, or has no area."""
    rows = np.array([[30, 5, 20, 8, 0.9], [30, 30, 0, 8, 0.8], [30, 30, 10, 8, 0.7]]).T[None]
    spec = ObjectDetection("d", "l", classes=("face",), confidence=0.5)
    model = KycModel("d.onnx", Preprocess(size=(64, 64), resize="letterbox"), spec)
    stages = stages_of({"d.onnx": Session(rows)}, detector=model)
    (found,) = stages.detect(np.zeros((32, 64, 3), np.uint8))
    assert found.box == Box(25, 10, 35, 18)


def test_each_member_of_a_fused_model_has_its_own_crop() -> None:
    probabilities = {"a.onnx": [[0.1, 0.9]], "b.onnx": [[0.7, 0.3]]}
    sessions = {name: Session(np.array(value)) for name, value in probabilities.items()}
    task = LivenessDetection("d", boxes="boxes.csv", crop_scale=(1.0, 2.0), scores="probabilities")
    model = KycModel(("a.onnx", "b.onnx"), (SMALL, Preprocess(size=(4, 4), channels="BGR")), task)
    stages = stages_of(sessions, liveness=model)
    assert stages.liveness(picture(), Box(20, 10, 30, 20)) == pytest.approx(0.6)
    # Rows are red, columns green: channels 0 and 1 of RGB, 2 and 1 of BGR.
    small, large = sessions["a.onnx"].given[0][0, [0, 1]], sessions["b.onnx"].given[0][0, [2, 1]]
    # Both crops are centred on the face; the second one reaches twice as far.
    assert small.mean(axis=(1, 2)) == pytest.approx([15, 25], abs=0.6)
    assert large.mean(axis=(1, 2)) == pytest.approx([15, 25], abs=0.6)
    assert np.ptp(large[0]) == pytest.approx(2 * np.ptp(small[0]), abs=2)


def test_without_a_scale_the_crop_is_the_box_itself() -> None:
    session = Session(np.array([[0.0, 2.0, 0.0]]))
    model = KycModel("a.onnx", Preprocess(size=(11, 21), resize="none"), LivenessDetection("d"))
    stages = stages_of({"a.onnx": session}, liveness=model)
    stages.liveness(picture(), Box(20, 10, 40, 20))
    rows, columns = session.given[0][0, :2]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 20, 20, 40)


def test_crop_for_the_embedder_is_square() -> None:
    cut = Stages.crop(picture(), Box(20, 10, 40, 20))
    assert cut.shape == (21, 21, 3)
    assert (cut[0, 0, :2].tolist(), cut[-1, -1, :2].tolist()) == ([5, 20], [25, 40])
    # At the border it is shifted inwards, and it never exceeds the image.
    assert Stages.crop(picture(), Box(0, 0, 4, 2), 2.0).shape == (9, 9, 3)
    assert Stages.crop(picture(), Box(0, 0, 60, 40), 2.0).shape == (40, 40, 3)


def test_an_embedder_that_wants_aligned_faces_says_so() -> None:
    model = KycModel("a.onnx", Preprocess(size=(4, 4), resize="none"), FaceVerification("faces"))
    stages = stages_of({"a.onnx": Session(np.ones((1, 8)))}, embedder=model)
    with pytest.raises(DataError, match=r"input of the embedder: .*not 4 x 4.*align"):
        stages.embed(picture())


def test_nan_is_noticed_in_the_stage_that_gave_it() -> None:
    answer = np.ones((1, 8))
    answer[0, 3] = np.nan
    live = KycModel("b.onnx", SMALL, LivenessDetection("d"))
    sessions = {"a.onnx": Session(answer), "b.onnx": Session(np.array([[0.0, 9.0]]))}
    stages = stages_of(
        sessions, embedder=FACES.__class__("a.onnx", SMALL, FACES.task), liveness=live
    )

    def process(stages: Stages, photo: Photo) -> None:
        stages.liveness(photo.pixels())
        stages.embed(photo.pixels())

    found = stages.trace(process, photo(picture()))
    assert found.broken == ("embedder",)
    assert set(found.spent_ns) == {"liveness", "embedder"}
    assert stages.trace(lambda *_: None, photo(picture())).broken == ()


def test_a_stage_that_is_not_there() -> None:
    stages = stages_of({"face.onnx": Session(np.ones((1, 8)))}, embedder=FACES)
    assert "embedder" in stages
    assert "liveness" not in stages
    with pytest.raises(SpecError, match="calls the liveness, which this pipeline does not have"):
        stages.liveness(picture())


@pytest.mark.parametrize(("seconds", "verdict"), [(3.9, Verdict.PASS), (4.1, Verdict.FAIL)])
def test_a_slow_stage_fails_the_gate(seconds: float, verdict: Verdict) -> None:
    """Detector and embedder advance a simulated clock; 59 runs without waiting."""
    now = [0]

    def wait(time: float) -> Callable[[], None]:
        return lambda: now.__setitem__(0, now[0] + int(time * 1e9))

    rows = np.array([[30, 30, 20, 20, 0.9]]).T[None]
    detector = KycModel(
        "d.onnx",
        Preprocess(size=(64, 64), resize="letterbox"),
        ObjectDetection("d", "l", classes=("face",), confidence=0.5),
    )

    class Plain(PipelineGates):
        face = "face"

    def run(slow: float) -> Callable[[Photo], Any]:
        sessions = {
            "d.onnx": Session(rows, wait(4)), "face.onnx": Session(np.ones((1, 8)), wait(slow))
        }  # fmt: skip
        stages = stages_of(sessions, lambda: now[0], detector=detector, embedder=FACES)
        return lambda photo: stages.trace(Plain().process, photo)

    names = ("detector", "embedder")
    fp32, shipped = time_runs(run(1), run(seconds), [photo(picture(64, 64))], 59, names)
    timing = summarise(shipped, names, 0, 0)
    assert timing.stages == {
        "detector": pytest.approx(4000), "embedder": pytest.approx(1e3 * seconds),
        "other": pytest.approx(0),
    }  # fmt: skip
    result = judge_latency(timing, summarise(fp32, names, 0, 0), 1.0, PipelineLimits())
    assert result.verdict is verdict


def test_a_file_that_has_changed_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    onnx.save(scenery.detector(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    spec = ObjectDetection("d", "l", classes=("face", "card"), confidence=0.5)
    model = KycModel(path, Preprocess(size=(64, 64)), spec)
    stage = Stage(model, "fp32", (path,), 0.5, 1, digests=(digest,))
    Stages(Pipeline("fp32", {"detector": stage}))
    path.write_bytes(path.read_bytes() + b"\x08\x08")
    with pytest.raises(ModelError, match="changed while it was in use"):
        Stages(Pipeline("fp32", {"detector": stage}))


def test_the_image_on_which_a_stage_fails_is_named() -> None:
    def fails() -> None:
        raise RuntimeError("no memory")

    spec = FaceVerification("f", "s")
    model = KycModel("face.onnx", Preprocess(size=(8, 8)), spec)
    stages = stages_of({"face.onnx": Session(np.ones((1, 4)), fails)}, embedder=model)
    with pytest.raises(ModelError, match=r"^face\.onnx: cannot be run on .* \(no memory\)"):
        stages.trace(lambda own, image: own.embed(image.pixels()), photo(picture()))


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_process_raises_is_its_error(error: BaseException) -> None:
    def process(stages: Stages, photo: Photo) -> None:
        raise error

    with pytest.raises(KycquantError) as caught:
        stages_of({}).trace(process, photo(picture()))
    if not isinstance(error, KycquantError):
        line = process.__code__.co_firstlineno + 1
        start = f"raised {type(error).__name__} on line {line} of test_pipeline_stages.py: "
        assert isinstance(caught.value, PipelineError)
        assert caught.value.problem.startswith(start)
    assert len(str(caught.value)) < 2000
    assert str(caught.value).isprintable()


def test_ctrl_c_ends_the_run() -> None:
    def process(stages: Stages, photo: Photo) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages_of({}).trace(process, photo(picture()))
