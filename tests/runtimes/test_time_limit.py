"""A graph that never ends is stopped, at little cost to the others."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

import pytest_kycquant
from pytest_kycquant.errors import ModelError
from pytest_kycquant.runtimes import library, time_limit
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.tasks.outputs import run_model
from tests.worlds import monsters
from tests.worlds.zoo import images, save, tiny_embedder

BRIGHT, DARK = (np.full(monsters.SHAPE, value, np.float32) for value in (1, -1))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "RUN_SECONDS", 0.5)


def test_a_loop_that_never_ends_is_stopped(tmp_path: Path) -> None:
    path = save(tmp_path, monsters.endless())
    session = open_session(path)
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"was stopped after 0\.5 s on one image") as caught:
        session.run(None, {"input": DARK})
    assert 0.4 < time.monotonic() - began < 10
    assert caught.value.where == str(path)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_image_is_named(tmp_path: Path, threads: int) -> None:
    path = save(tmp_path, monsters.endless_for_some())
    named = [("a.png", DARK), ("b.png", DARK), ("c.png", BRIGHT)]
    with pytest.raises(ModelError, match=r"cannot be run on c\.png \(was stopped") as caught:
        run_model(
            library().open(path), named, [], ("output",), lambda given: given[0],
            threads=threads, where=path,
        )  # fmt: skip
    assert caught.value.where == str(path)
    assert caught.value.remedy.startswith("look for a loop that never ends")


def test_a_session_goes_on_after_a_run_was_stopped(tmp_path: Path) -> None:
    session = open_session(save(tmp_path, monsters.endless_for_some()))
    (before,) = session.run(None, {"input": DARK})
    for _ in range(2):
        with pytest.raises(ModelError, match="was stopped"):
            session.run(None, {"input": BRIGHT})
        (after,) = session.run(None, {"input": DARK})
        assert (before == after).all()


def test_only_the_run_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    """Another run of the same session goes on, in a thread of its own."""
    session = open_session(save(tmp_path, monsters.endless_for_some()))
    found: list[str] = []

    def forever() -> None:
        try:
            session.run(None, {"input": BRIGHT})
        except ModelError as error:
            found.append(error.problem)

    thread = threading.Thread(target=forever)
    thread.start()
    while thread.is_alive():
        session.run(None, {"input": DARK})
    assert len(found) == 1
    assert "was stopped" in found[0]


def test_one_thread_watches_all_runs() -> None:
    sessions = [open_session(tiny_embedder().SerializeToString()) for _ in range(3)]
    for session in sessions:
        for _ in range(20):
            session.run(None, {"input": images(1)[0]})
    watching = [t for t in threading.enumerate() if t.name == "kycquant"]
    assert len(watching) == 1
    assert watching[0].daemon


def test_time_between_runs_does_not_count() -> None:
    session = open_session(tiny_embedder().SerializeToString())
    for _ in range(2):
        session.run(None, {"input": images(1)[0]})
        time.sleep(1)


def test_one_call_is_stopped_too(tmp_path: Path) -> None:
    path = save(tmp_path, monsters.endless_for_some())
    with pytest.raises(ModelError, match=r"image 2 of 2: was stopped after 0\.5 s"):
        pytest_kycquant.quantize(path, [DARK, BRIGHT], recipe="int8-weights")


def test_opening_has_a_limit_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is checked where onnxruntime can be stopped while it loads a model."""
    import onnxruntime as ort

    if not hasattr(ort.SessionOptions, "set_load_cancellation_flag"):
        pytest.skip("this onnxruntime cannot be stopped while it loads a model")
    monkeypatch.setattr(time_limit, "OPEN_SECONDS", 0.3)
    path = save(tmp_path, monsters.long_graph(20_000))
    with pytest.raises(ModelError, match=r"onnxruntime did not load it in 0\.3 s"):
        open_session(path)


@pytest.mark.parametrize("make", [monsters.gigantic, monsters.gigantic_constant])
def test_terabytes_are_refused(tmp_path: Path, make: object) -> None:
    path = save(tmp_path, make())  # type: ignore[operator]
    with pytest.raises(ModelError, match=r"model\.onnx: (onnxruntime|fails)") as caught:
        open_session(path).run(None, {"input": DARK})
    assert "/onnxruntime_src/" not in str(caught.value)


def test_nothing_is_logged_beside_the_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What onnxruntime logs has colours, and names of operators as they are."""
    proto = monsters.fails_for_some()
    proto.graph.node[-2].name = "\x1b[2J"
    session = open_session(save(tmp_path, proto))
    with pytest.raises(ModelError, match="fails") as caught:
        session.run(None, {"input": BRIGHT})
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")
