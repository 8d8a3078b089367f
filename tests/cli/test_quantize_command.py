"""`kycquant quantize`: one file through the front door, never silently over another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from pytest_kycquant.cli import exits
from tests.cli.conftest import Kycquant
from tests.worlds.population import embedder, people, write_npz

INT8 = ("--images", "calibration.npz", "--recipe", "int8")


@pytest.fixture(autouse=True)
def model(tmp_path: Path, rewrite_ratio: list[float]) -> None:
    onnx.save(embedder(), tmp_path / "face.onnx")
    write_npz(tmp_path / "calibration.npz", 60, 2, seed=1)


def test_a_file_and_what_is_said_of_it(kycquant: Kycquant, tmp_path: Path) -> None:
    code, shown, _ = kycquant("quantize", "face.onnx", *INT8)
    assert code == exits.DONE
    made = tmp_path / "face.int8.onnx"
    kinds = {node.op_type for node in onnx.load(made).graph.node}
    assert "QuantizeLinear" in kinds
    text = " ".join(shown.split())
    assert "Nothing was judged: this file may be silently wrong." in text
    assert "kycquant init face.onnx IMAGES" in text
    assert 'Prequantized("face.int8.onnx")' in text
    assert "calibration_method=mse" in text
    assert max(map(len, shown.splitlines())) <= 80


def test_never_over_another_file_without_force(kycquant: Kycquant, tmp_path: Path) -> None:
    target = tmp_path / "mine.onnx"
    target.write_bytes(b"mine")
    words = ("quantize", "face.onnx", "--recipe", "int8-weights", "--out", "mine.onnx")
    code, _, error = kycquant(*words)
    assert code == exits.NEGATIVE
    assert "mine.onnx: exists; name another file in --out, or add --force" in error
    assert target.read_bytes() == b"mine"
    assert kycquant(*words, "--force")[0] == exits.DONE
    assert target.read_bytes() != b"mine"


def test_the_fp32_file_is_not_replaced_even_by_force(kycquant: Kycquant, tmp_path: Path) -> None:
    before = (tmp_path / "face.onnx").read_bytes()
    code, _, error = kycquant(
        "quantize", "face.onnx", "--recipe", "int8-weights", "--out", "face.onnx", "--force"
    )
    assert code == exits.NEGATIVE
    assert "part of the FP32 model" in error
    assert (tmp_path / "face.onnx").read_bytes() == before


def test_preprocessing_is_what_is_said(kycquant: Kycquant) -> None:
    options = ("--channels", "BGR", "--mean", "0", "--scale", "1/255")
    _, shown, _ = kycquant("quantize", "face.onnx", *INT8, *options, "--json")
    found = json.loads(shown)
    assert found["preprocess"] == 'size=(16, 16), channels="BGR", mean=0, scale=1 / 255'
    assert found["judged"] is False
    assert found["quantized"]["Conv"] >= 4


def test_images_are_really_used(kycquant: Kycquant, tmp_path: Path) -> None:
    np.savez(tmp_path / "others.npz", images=people(60, 2, seed=9)[0] // 4)
    digests = set()
    for images in ("calibration.npz", "others.npz"):
        words = ("quantize", "face.onnx", "--images", images, "--out", f"{images}.onnx", "--json")
        digests.add(json.loads(kycquant(*words)[1])["sha256"])
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--recipe", "int8"), exits.NEGATIVE, "needs calibration images"),
        (("--recipe", "int7"), exits.USAGE, "invalid choice: 'int7'"),
        (("--recipe", "mixed"), exits.USAGE, "invalid choice: 'mixed'"),
        ((*INT8, "--size", "16"), exits.USAGE, "is not HEIGHTxWIDTH"),
        ((*INT8, "--scale", "1/0"), exits.USAGE, "'1/0' is not a number"),
        ((*INT8, "--fit", "sideways"), exits.NEGATIVE, "Preprocess.fit"),
        ((*INT8, "--size", "20x20"), exits.NEGATIVE, "preprocessing makes 1x3x20x20"),
        (("--images", "absent", "--recipe", "int8"), exits.NEGATIVE, "does not exist"),
    ],
)
def test_bad_input(
    kycquant: Kycquant, words: tuple[str, ...], code: int, text: str, tmp_path: Path
) -> None:
    found, _, error = kycquant("quantize", "face.onnx", *words)
    assert found == code
    assert text in error
    assert not list(tmp_path.glob("face.*.onnx"))
