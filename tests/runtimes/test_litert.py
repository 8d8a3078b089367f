"""LiteRT: the files that it opens, what their integers mean, and what it refuses."""

from __future__ import annotations

import contextlib
import hashlib
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.errors import ModelError, SpecError
from pytest_kycquant.measure.clocks import clock_that_sees
from pytest_kycquant.quantize.litert_contents import read_tflite
from pytest_kycquant.runtimes import library, time_limit, trial
from pytest_kycquant.runtimes.verified import open_verified
from pytest_kycquant.spec.runtime import Runtime

pytest.importorskip("ai_edge_litert", reason="pip install -e .[litert]")
pytest.importorskip("litert_quantizer", reason="pip install -e .[litert]")

from tests.worlds.litert import T, add, custom, embedder_content, file

HERE = Runtime("litert")


def opened(path: Path, content: bytes):
    """Open a file as gates do."""
    path = path / "m.tflite"
    path.write_bytes(content)
    return open_verified(HERE, path, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("kind", ["float32", "int8", "uint8"])
def test_integers_are_quantized_with_the_parameters_of_the_file(tmp_path: Path, kind: str) -> None:
    model = opened(tmp_path, add(kind))
    assert (model.inputs, model.outputs) == (("x",), ("y",))
    assert {port.dtype for port in (*model.input_ports, *model.output_ports)} == {"float32"}
    (found,) = model.run({"x": np.array([[1.5, 3.26]], np.float32)})
    assert found.dtype == np.float32
    assert found.tolist() == ([[3, 6.52]] if kind == "float32" else [[3, 7]]) or np.allclose(
        found, [[3, 6.52]]
    )


def test_halves_round_away_from_zero_and_values_stay_in_their_type(tmp_path: Path) -> None:
    model = opened(tmp_path, add("int8", (1, 4)))
    given = np.array([[0.25, -0.25, 1e9, np.nan]], np.float32)
    (found,) = model.run({"x": given})
    assert found.tolist() == [[1, -1, (127 - 3) / 2, 0]]


def test_integers_without_parameters_are_raw(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as s

    from tests.worlds.litert import Op

    options = s.CastOptionsT()
    cast = Op(s.BuiltinOperator.CAST, (0,), (1,), options, s.BuiltinOptions.CastOptions)
    content = file([T("pixels", (1, 2), "uint8"), T("y", (1, 2))], [cast], [0], [1])
    model = opened(tmp_path, content)
    assert model.input_ports[0].dtype == "uint8"
    assert model.run({"pixels": np.array([[0, 200]], np.uint8)})[0].tolist() == [[0, 200]]


def test_names_are_those_of_the_signature(tmp_path: Path) -> None:
    model = opened(tmp_path, add(signatures=["serving_default"]))
    assert (model.inputs, model.outputs) == (("in0",), ("out0",))
    assert model.run({"in0": np.ones((1, 2), np.float32)})[0].tolist() == [[2, 2]]


def test_several_signatures_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"2 signatures .*'encode'.*'decode'.*with one signature"):
        opened(tmp_path, add(signatures=["encode", "decode"]))


def test_a_free_batch_takes_any(tmp_path: Path) -> None:
    model = opened(tmp_path, add(free=(-1, 2)))
    assert model.input_ports[0].shape == (None, 2)
    for count in (1, 3, 1):
        (found,) = model.run({"x": np.ones((count, 2), np.float32)})
        assert found.tolist() == [[2, 2]] * count


def test_a_fixed_batch_is_said(tmp_path: Path) -> None:
    model = opened(tmp_path, add(shape=(4, 2)))
    with pytest.raises(ModelError, match="'x' has shape 4x2, but is given 1x2; give arrays of"):
        model.run({"x": np.ones((1, 2), np.float32)})
    assert model.run({"x": np.ones((4, 2), np.float32)})[0].shape == (4, 2)


def test_a_runner_keeps_its_own_inputs(tmp_path: Path) -> None:
    model = opened(tmp_path, embedder_content())
    one, other = (np.full((1, 16, 16, 3), value, np.float32) for value in (1, 2))
    (first,) = model.run({"input": one})
    kept, run = first.copy(), model.runner({"input": one})
    model.run({"input": other})
    run()
    assert (first == kept).all()
    assert not np.allclose(model.run({"input": other})[0], kept)


def test_threads_do_not_meet(tmp_path: Path) -> None:
    model = opened(tmp_path, embedder_content())
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 1, 16, 16, 3)).astype(np.float32)
    expected = [model.run({"input": image})[0] for image in images]
    wrong = []

    def work(at: int) -> None:
        found = [model.run({"input": images[at]})[0] for _ in range(50)]
        wrong.extend(at for each in found if not np.array_equal(each, expected[at]))

    workers = [threading.Thread(target=work, args=(at,)) for at in range(len(images))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_the_calling_thread_does_the_work(tmp_path: Path) -> None:
    run = opened(tmp_path, embedder_content()).runner({"input": np.ones((1, 16, 16, 3), "f4")})
    assert clock_that_sees(run, library(HERE).clock) == "thread"


def test_description_and_settings() -> None:
    opener = library(HERE)
    assert opener.describe().startswith("litert 2.")
    assert "XNNPACK" in opener.describe()
    assert opener.settings()["num_threads"] == "1"


def test_options_are_refused() -> None:
    with pytest.raises(SpecError, match="litert has no option 'threads'; leave options= out"):
        library(Runtime("litert", options={"threads": "4"}))


@pytest.mark.parametrize("name", ["Wizardry", "FlexErf"])
def test_operators_that_litert_lacks(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=rf"m\.tflite: .*{name}.*without custom and Flex"):
        opened(tmp_path, custom(name))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no model", "is not a .tflite file"),
        (b"PK\x03\x04" + bytes(100), "is not a .tflite file"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(60), "cannot load it"),
    ],
)
def test_what_is_not_a_model(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        opened(tmp_path, content)


def test_damaged_files_are_errors_or_run(tmp_path: Path) -> None:
    """Truncated, and with bytes changed; this process survives whatever LiteRT makes of them."""
    sound, rng = embedder_content(), random.Random(1)
    for attempt in range(24):
        content = bytearray(sound)
        if attempt % 2:
            del content[rng.randrange(len(content)) :]
        else:
            for _ in range(rng.choice((1, 8, 64))):
                content[rng.randrange(600 if attempt % 4 else len(content))] = rng.randrange(256)
        with contextlib.suppress(ModelError):
            model = opened(tmp_path, bytes(content))
            feed = {p.name: np.zeros([n or 1 for n in p.shape], p.dtype) for p in model.input_ports}
            model.run(feed)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"crashes litert \(signal 11"),
        ("import time; time.sleep(60)", "keeps litert busy for more than 0.5 s"),
    ],
)
def test_a_file_that_would_harm_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    monkeypatch.setattr(trial, "_START", code)
    monkeypatch.setattr(trial, "_SOUND", set())
    monkeypatch.setattr(time_limit, "RUN_SECONDS", 0.5 if "sleep" in code else 60)
    with pytest.raises(ModelError, match=rf"m\.tflite: {message}.*it is damaged"):
        opened(tmp_path, add())


def test_a_truncated_file_is_named_and_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(add()[:-200])
    with pytest.raises(ModelError, match=r"/m\.tflite: .*; it is damaged"):
        read_tflite(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_file_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_SOUND", set())
    opened(tmp_path, add())
    monkeypatch.setattr(trial, "_START", "raise SystemExit(1)")
    opened(tmp_path, add())


def test_the_command_line_starts_without_litert() -> None:
    code = "import sys, pytest_kycquant.runtimes.litert; print('ai_edge_litert' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
