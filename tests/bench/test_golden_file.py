"""A golden is written whole, read back unchanged, and refused if anything in it is wrong."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.terminal import running_on_ci

from pytest_kycquant.bench.golden import Golden, load, path_of, save
from pytest_kycquant.bench.golden_check import check_current, check_reproduced, check_threshold
from pytest_kycquant.errors import EnvironmentWarning, GoldenError
from pytest_kycquant.plain import plain
from pytest_kycquant.statistics import rate_with
from tests.worlds.ci import leave_ci

RATE = plain(rate_with(12, 10_000, 200, 2.5, 3))
RATES = {"FAR": RATE, "FRR": RATE}
MODEL = {"name": "face", "sha256": "ab" * 32, "size": 100, "opset": 17}
INPUTS = {"evaluation": "cd", "pairs": None}
HERE = {
    "onnxruntime": "1.31",
    "onnx": "1.23",
    "numpy": "2.4",
    "pillow": "13",
    "python": "3.11",
    "system": "Linux",
    "cpu": "A",
    "features": ["avx2"],
    "u8s8_saturates": True,
}
COMMAND = "pytest test_face.py --kycquant-update-golden"


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> Golden:
    leave_ci(monkeypatch)
    return Golden(MODEL, INPUTS, 0.345, "given", RATES, 4.5, HERE)


def test_round_trip(golden: Golden, tmp_path: Path) -> None:
    path = path_of(tmp_path / "golden", "face")
    save(golden, path)
    assert load(path, COMMAND) == golden
    assert [p.name for p in path.parent.iterdir()] == ["face.json"]


def test_a_full_disk_leaves_the_old_one(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(tmp_path, "face")
    save(golden, path)

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GoldenError, match=r"face\.json: cannot be written \(No space left"):
        save(replace(golden, threshold=0.5), path)
    assert load(path, COMMAND) == golden
    assert [p.name for p in tmp_path.iterdir()] == ["face.json"]


def test_a_file_in_place_of_the_folder(golden: Golden, tmp_path: Path) -> None:
    (tmp_path / "golden").touch()
    with pytest.raises(GoldenError, match=r"face\.json: cannot be written \(.*; make the folder"):
        save(golden, path_of(tmp_path / "golden", "face"))


def test_missing_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(GoldenError, match=f"no golden baseline yet; record it with: {COMMAND}"):
        load(tmp_path / "face.json", COMMAND)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("CI", value) for value in ("", "0", "false", "true", "1", "yes")),
        *(("BUILD_NUMBER", value) for value in ("", "12")),
        ("TF_BUILD", "True"),
    ],
)
def test_update_is_refused_in_ci(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    path = tmp_path / "face.json"
    if value and name != "TF_BUILD":  # which pytest does not know
        assert running_on_ci()
    if not value:
        save(golden, path)
        return
    with pytest.raises(GoldenError, match=f"refused when the environment variable {name} is set"):
        save(golden, path)
    assert not path.exists()


def test_edited_by_hand(golden: Golden, tmp_path: Path) -> None:
    path = tmp_path / "face.json"
    save(golden, path)
    path.write_text(path.read_text().replace("0.345", "0.2"))
    with pytest.raises(GoldenError, match=r"face.json: was edited by hand.*update-golden"):
        load(path, COMMAND)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_damaged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "face.json"
    path.write_text(text)
    with pytest.raises(GoldenError, match=r"face.json: .*update-golden"):
        load(path, COMMAND)


def test_no_field_holds_a_template(golden: Golden, tmp_path: Path) -> None:
    path = tmp_path / "face.json"
    save(golden, path)
    assert path.stat().st_size < 4_000
    for value in json.loads(path.read_text()).values():
        assert not (isinstance(value, list) and len(value) > 16)


@pytest.mark.parametrize(
    ("model", "inputs", "changed"),
    [
        ({"sha256": "xx"}, {}, "model sha256 changed"),
        ({}, {"evaluation": "xx"}, "evaluation changed"),
        ({}, {"new": 1}, "new changed"),
    ],
)
def test_stale(golden: Golden, model: dict[str, str], inputs: dict[str, str], changed: str) -> None:
    with pytest.raises(GoldenError, match=rf"is stale: {changed}.*accept it with: {COMMAND}"):
        check_current(golden, MODEL | model, INPUTS | inputs, Path("face.json"), COMMAND)


def test_stale_says_which_values_changed(golden: Golden) -> None:
    then = {"preprocess": {"mean": 0.0, "function": "a" * 64}, "evaluation": "b" * 64, "far": 0.1}
    now = {"preprocess": {"mean": 1.0, "function": "c" * 64}, "evaluation": "d" * 64, "far": 0.2}
    recorded = replace(golden, inputs=INPUTS | then)
    with pytest.raises(GoldenError) as caught:
        check_current(recorded, MODEL, INPUTS | now, Path("face.json"), COMMAND)
    assert (
        "evaluation, far, preprocess changed since it was recorded: far 0.1 -> 0.2, "
        "preprocess.function, preprocess.mean 0.0 -> 1.0; if"
    ) in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "source", "said"),
    [
        (3, "smallest whose bound of FAR", True),
        (2, "smallest whose bound of FAR", True),
        (4, "smallest whose bound of FAR", False),
        (3, "smallest whose bound of APCER", False),
    ],
)
def test_a_threshold_of_wider_bounds_says_so(
    golden: Golden, schema: int, source: str, said: bool
) -> None:
    old = replace(golden, schema=schema, threshold_source=source, threshold=0.4)
    with pytest.raises(GoldenError, match=r"threshold is '0.4', but model and data give") as caught:
        check_threshold(old, (0.39, source), None, HERE, Path("face.json"), COMMAND)
    assert (f"schema {schema} was recorded when bounds of FAR" in str(caught.value)) is said


def test_current(golden: Golden) -> None:
    check_current(golden, MODEL, INPUTS, Path("face.json"), COMMAND)


def reproduce(golden: Golden, errors: int, **environment: object) -> None:
    rates = RATES | {"FAR": plain(rate_with(errors, 10_000, 200, 2.5, 3))}
    check_reproduced(golden, rates, HERE | environment, Path("face.json"), COMMAND)


def test_other_errors_in_the_same_environment(golden: Golden) -> None:
    reproduce(golden, 12)
    with pytest.raises(GoldenError, match=r"FP32 FAR is 13 of 10000.*the golden records 12"):
        reproduce(golden, 13)


def test_another_environment_warns_and_may_tip_few(golden: Golden) -> None:
    with pytest.warns(EnvironmentWarning, match=r"another environment \(different: cpu\)"):
        reproduce(golden, 14, cpu="B")
    with pytest.raises(GoldenError, match="FP32 FAR is 20 of"):
        reproduce(golden, 20, cpu="B")


def test_other_rates_than_recorded(golden: Golden) -> None:
    with pytest.raises(GoldenError, match="records the rates FAR, FRR, not FAR"):
        check_reproduced(golden, {"FAR": RATE}, HERE, Path("face.json"), COMMAND)


@pytest.mark.parametrize(
    ("now", "cpu", "message"),
    [
        ({"mAP50": 0.95}, "A", ""),
        ({"mAP50": 0.951}, "A", "FP32 mAP50 is 0.951 here, but the golden records 0.95"),
        ({"mAP50": 0.955}, "B", ""),
        ({"mAP50": 0.97}, "B", "FP32 mAP50 is 0.97 here, but the golden records 0.95"),
        ({"mAP50": float("nan")}, "A", "FP32 mAP50 is nan here"),
        ({}, "A", "FP32 mAP50 is nan here"),
        ({"mAP50": 0.95, "mAP": 0.8}, "A", "FP32 mAP is 0.8 here, but the golden records nan"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.EnvironmentWarning")
def test_figures_must_be_reproduced(
    golden: Golden, tmp_path: Path, now: dict[str, float], cpu: str, message: str
) -> None:
    recorded = replace(golden, figures={"mAP50": 0.95})
    place = tmp_path / "face.json"
    save(recorded, place)
    assert load(place, COMMAND) == recorded

    def check() -> None:
        check_reproduced(recorded, RATES, HERE | {"cpu": cpu}, place, COMMAND, now)

    if not message:
        check()
        return
    with pytest.raises(GoldenError, match=message):
        check()


def test_a_task_without_threshold(golden: Golden, tmp_path: Path) -> None:
    path = tmp_path / "face.json"
    save(replace(golden, threshold=None, rates={}, figures={"distance": 812.5}), path)
    found = load(path, COMMAND)
    assert found.threshold is None
    assert found.figures == {"distance": 812.5}


@pytest.mark.parametrize(("today", "same"), [(812.5004, True), (812.502, False)])
def test_figures_of_any_unit_have_a_relative_tolerance(
    golden: Golden, tmp_path: Path, today: float, same: bool
) -> None:
    recorded = replace(golden, figures={"distance": 812.5})

    def check() -> None:
        check_reproduced(recorded, RATES, HERE, tmp_path, COMMAND, {"distance": today})

    if same:
        check()
        return
    message = r"FP32 distance is 812\.502 here, but the golden records 812\.5"
    with pytest.raises(GoldenError, match=message):
        check()
