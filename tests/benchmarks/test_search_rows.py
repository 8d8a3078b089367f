"""Every competitor of the search benchmark has a row, and one that fails says how."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quantizer import CASES, Case
from benchmarks.search import environments
from benchmarks.search.__main__ import rows
from benchmarks.search.job import MODEL, Job, Reading, cosines, write_job
from benchmarks.search.judging import Judge, Row
from benchmarks.search.running import Outcome, run
from benchmarks.search.subjects import Part, Subject
from benchmarks.search.table import table
from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.spec.model import Preprocess
from tests.worlds.pictures import write_faces
from tests.worlds.zoo import save, tiny_embedder


@pytest.fixture
def competitor(tmp_path: Path):
    """Run Python code as a competitor: its folder is the last argument."""

    def compete(code: str, limit: float = 60) -> Outcome:
        folder = tmp_path / "job"
        folder.mkdir()
        return run([sys.executable, "-c", code], folder, limit)

    return compete


def test_a_crash_gives_its_last_line(competitor) -> None:
    outcome = competitor("raise ValueError('no such operator')")
    assert outcome.problem == "crashed (1): ValueError: no such operator"
    assert outcome.model is None


def test_exit_without_a_model_is_no_success(competitor) -> None:
    assert competitor("raise SystemExit(0)").problem == "ended without a result"


def test_a_result_without_a_model_is_no_success(competitor) -> None:
    code = "import sys, pathlib; pathlib.Path(sys.argv[1], 'result.json').write_text('{}')"
    assert competitor(code).problem == "ended without a model"


def test_the_limit_ends_it_and_what_it_started(competitor, tmp_path: Path) -> None:
    child = f"import time; time.sleep(4); open({str(tmp_path / 'late')!r}, 'w')"
    began = time.monotonic()
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    outcome = competitor(code, limit=1)
    assert outcome.problem == "stopped: it ran past 1 s"
    assert time.monotonic() - began < 3
    time.sleep(4)
    assert not (tmp_path / "late").exists()


def test_what_cannot_be_installed_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(environments.REQUIREMENTS, "nncf", ("nncf==3.4.0",))

    def call(*command: str) -> None:
        if "pip" in command:
            raise environments.UnavailableError("cannot be installed: ERROR: no network")

    monkeypatch.setattr(environments, "_call", call)
    for _ in range(2):  # a failed environment does not count as made the second time
        with pytest.raises(environments.UnavailableError, match="no network"):
            environments.python_of("nncf", tmp_path)


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    (tmp_path / "work").mkdir()
    model = save(tmp_path, tiny_embedder())
    folder = write_faces(tmp_path / "faces", {f"p{i:02}": 2 for i in range(24)})
    spec = Preprocess(size=(32, 32), mean=127.5, scale=1 / 127.5)
    monkeypatch.setitem(CASES, "tiny", Case(model, folder, spec, {}))
    faces = load_faces(folder)
    # The same people for everything, since only the rows matter here, not their figures.
    part = Part(faces.images, faces.subjects)
    monkeypatch.setattr(Subject, "sets", lambda subject: subject.load())
    monkeypatch.setattr(Judge, "threshold", 0.5)  # these few people are not enough to choose one
    return Judge(
        Subject("tiny", lambda: (part, part, part), faces=True), part.evenly(4), part, part
    )


def test_fp32_itself_is_the_same_and_all_float(judge: Judge) -> None:
    row = judge.row("FP32", Outcome(model=judge.subject.spec.model))
    assert row.problem == ""
    assert row.figures["size"] == 1
    assert row.figures["float_operators"] == row.figures["operators"] == 4
    assert row.figures["held_out"]["min"] == pytest.approx(1)
    assert 0.5 < row.figures["latency"]["ratio"] < 2


def test_another_model_is_not_the_same(judge: Judge, tmp_path: Path) -> None:
    other = save(tmp_path, tiny_embedder(seed=1), "other.onnx")
    assert judge.row("other", Outcome(model=other)).figures["held_out"]["mean"] < 0.9


def test_a_model_that_does_not_load_has_a_row(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / MODEL).write_bytes(b"no model")
    row = judge.row("broken", Outcome(model=tmp_path / MODEL, facts={"wall_s": 1.0}))
    assert row.problem.startswith("its model cannot be judged: ")
    assert row.figures == {}


def test_the_table_has_a_line_for_everyone(judge: Judge) -> None:
    rows = [
        judge.row("FP32", Outcome(model=judge.subject.spec.model)),
        Row("tiny", "slow", "stopped: it ran past 600 s"),
        Row("tiny", "honest", "none reaches the target", {"wall_s": 2.0, "cpu_s": 1.5}),
    ]
    text = table(rows).splitlines()
    assert len(text) == 2 + len(rows)
    assert len({line.count("|") for line in text}) == 1
    assert "stopped: it ran past 600 s" in text[3]
    assert all(figure in text[4] for figure in ("2.0", "1.5", "none reaches the target"))


def test_a_job_counts_and_hands_back(tmp_path: Path) -> None:
    images = tmp_path / "images.npz"
    array = np.ones((3, 2, 1, 1), np.float32)
    np.savez(images, calibration=array, search=array, subjects=np.arange(3), wanted=np.ones((3, 2)))
    facts = {"method": "m", "original": "a", "prepared": "b", "input_name": "x", "target": 0.9}
    write_job(tmp_path / "job", images, Reading(), **facts)
    job = Job(tmp_path / "job")
    job.start()
    assert job.cosines(lambda image: [image]).tolist() == pytest.approx([1, 1, 1])
    assert job.cosines(lambda image: [-image]).tolist() == pytest.approx([-1, -1, -1])
    job.finish(b"model", note="done")
    outcome = run([sys.executable, "-c", "pass"], tmp_path / "job", 60)
    assert outcome.model is not None
    assert outcome.model.read_bytes() == b"model"
    assert outcome.facts["evaluations"] == 2
    assert outcome.facts["note"] == "done"


def test_no_direction_is_the_worst_cosine() -> None:
    found = np.array([[np.nan, 1.0], [0.0, 0.0], [1.0, 0.0]])
    assert cosines(found, np.array([[1.0, 0.0]] * 3)).tolist() == [-1, -1, 1]


def test_scores_alone_are_read_off_a_detector() -> None:
    output = np.zeros((1, 3, 2), np.float32)
    output[0, 1] = 50, -50
    assert Reading(1, 2, logits=True)([output]).tolist() == pytest.approx([1, 0])


def test_all_get_their_rows_in_one_run(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*command: str) -> None:
        raise environments.UnavailableError("cannot be installed: ERROR: no network")

    monkeypatch.setattr(environments, "_call", call)
    methods = [
        environments.Method("absent", "with_nncf", "nncf"),
        environments.Method("unknown", "with_nothing"),
        environments.Method("onnxruntime, per channel", "with_onnxruntime"),
        environments.Method("ours, INT8", "ours"),
    ]
    found = [*rows(judge.subject, methods, tmp_path / "environments", 60, tmp_path / "work")]
    problems = {row.method: row.problem for row in found}
    assert [*problems] == ["FP32", *(method.name for method in methods)]
    assert problems["absent"] == "cannot be installed: ERROR: no network"
    assert "with_nothing" in problems["unknown"]
    for row in (found[0], *found[3:]):
        assert row.problem == ""
    for row in found[3:]:
        assert row.figures["float_operators"] == 0
        assert 0.9 < row.figures["held_out"]["mean"] < 0.99999
        assert row.facts["wall_s"] > 0
