"""What is tried around functions and in models of several files, and what is said if nothing is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from pytest_kycquant import (
    FaceLimits,
    FaceVerification,
    KycModel,
    LivenessDetection,
    LivenessLimits,
    Preprocess,
)
from pytest_kycquant.bench import better_preprocessing
from pytest_kycquant.bench.better_preprocessing import refuse_worse
from pytest_kycquant.bench.variants import Variants
from pytest_kycquant.context.scratch import scratch_context
from pytest_kycquant.data.images import preprocess
from pytest_kycquant.data.own_alternatives import own_alternatives, own_stretched
from pytest_kycquant.errors import GoldenError
from pytest_kycquant.tasks.registry import task_of
from tests.worlds.population import SIZE, embedder, people
from tests.worlds.presentations import detector, write_presentations

RIGHT = Preprocess(size=(SIZE, SIZE), mean=127.5, scale=1 / 127.5)
WRONG = replace(RIGHT, mean=0.0, scale=1.0)
Pixels = NDArray[np.uint8]


def by(function: Callable[[Any], Any], **options: Any) -> Preprocess:
    return Preprocess(size=(SIZE, SIZE), function=function, **options)


def centred(pixels: Pixels) -> Any:
    return ((pixels.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)


def raw(pixels: Pixels) -> Any:
    return pixels.astype(np.float32).transpose(2, 0, 1)


def standardized(pixels: Pixels) -> Any:
    grey = pixels.mean(axis=2, dtype=np.float32)[None]
    return (grey - grey.mean()) / (grey.std() + 1)


def said(model: KycModel) -> str:
    """What a run says about the preprocessing of a model: the problem, or a note."""
    limits = FaceLimits() if isinstance(model.task, FaceVerification) else LivenessLimits()

    def resolve(path: object, attribute: str) -> Path:
        return Path(str(path))

    context = scratch_context()
    try:
        return refuse_worse(
            Variants(context, model, task_of(model, limits, resolve), resolve), Path("golden.json")
        )
    except GoldenError as error:
        return error.problem


def captured(folder: Path, *specs: Preprocess, count: int = 120, blind: str = "") -> str:
    """What is said about a liveness model of as many files; the blind one sees no difference."""
    paths = tuple(folder / f"{name}.onnx" for name in "ab"[: len(specs)])
    for path in paths:
        model = onnx.ModelProto.FromString(detector())
        last = model.graph.initializer[-2]
        assert last.name == "gemm.w"
        if path.stem == blind:
            shape = numpy_helper.to_array(last).shape
            nothing = np.random.default_rng(0).normal(0, 1e-6, shape).astype(np.float32)
            last.CopyFrom(numpy_helper.from_array(nothing, last.name))
        onnx.save(model, path)
    data = write_presentations(folder / "captures.npz", count)
    task = LivenessDetection(data, scores="logits", live_class=1, threshold=0.5)
    return said(KycModel(paths, specs, task))


def faces(folder: Path, spec: Preprocess, count: int = 40) -> str:
    """What is said about a face model that hardly looks at blue, which tells little."""
    model = embedder()
    (first,) = (one for one in model.graph.initializer if one.name == "first.w")
    weights = numpy_helper.to_array(first).copy()
    weights[:, 2] *= 0.2
    first.CopyFrom(numpy_helper.from_array(weights, "first.w"))
    onnx.save(model, folder / "face.onnx")
    images, subjects = people(count)
    noise = np.random.default_rng(0).normal(0, 60, images.shape[:3])
    images[..., 2] = (images[..., 2] + noise).clip(0, 255)
    np.savez(folder / "faces.npz", images=images, subjects=subjects)
    task = FaceVerification(folder / "faces.npz", threshold=0.5)
    return said(KycModel(folder / "face.onnx", spec, task))


def test_a_function_of_a_wrong_range_is_found(tmp_path: Path) -> None:
    text = captured(tmp_path, by(raw))
    # The model tells 0..1 as well as -1..1.
    assert re.search(
        r"with what Preprocess.function returns brought to the range \S*1: BPCER", text
    )


def test_a_function_of_wrong_colours_is_found(tmp_path: Path) -> None:
    assert faces(tmp_path, by(centred)) == ""
    text = faces(tmp_path, by(lambda pixels: centred(pixels[..., ::-1])))
    assert (
        "better beyond doubt with the colours of the pixels exchanged before Preprocess.function "
        "gets them: FRR" in text
    )


def test_the_right_function_is_left_alone(tmp_path: Path) -> None:
    assert captured(tmp_path, by(centred)) == ""


def test_a_function_that_cannot_be_tried_otherwise_is_named() -> None:
    grey = by(standardized, channels="GRAY")
    assert list(own_alternatives(grey)) == []


def test_a_function_that_fails_on_other_pixels_is_no_error(tmp_path: Path) -> None:
    def picky(pixels: Pixels) -> Any:
        red, _, blue = pixels.std(axis=(0, 1))
        if red > blue + 10:  # exchanged
            raise ValueError
        return centred(pixels)

    assert faces(tmp_path, by(picky)) == ""
    for words in ("colours", "range"):
        assert any(words in one.words for one in own_alternatives(by(picky)))


def test_what_is_changed_about_a_function_is_what_is_said() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    turned = by(lambda image: centred(image) * np.float32([[[1]], [[2]], [[3]]]), layout="NCHW")
    found = {one.words: one.spec for one in own_alternatives(turned)}
    before, after, *ranges = (preprocess(pixels, spec, "") for spec in found.values())
    plain = preprocess(pixels, turned, "")
    assert np.array_equal(before, preprocess(pixels[..., ::-1], turned, ""))
    assert np.array_equal(after, plain[:, ::-1])
    for one, low, high in zip(ranges, (0, 0, -1), (255, 1, 1), strict=True):
        assert low <= one.min() < low + (high - low) / 50
        assert high - (high - low) / 50 < one.max() <= high
    assert len(list(own_alternatives(by(centred)))) == 3  # colours, 0..255 and 0..1
    last = by(lambda image: raw(image).transpose(1, 2, 0), layout="NHWC")
    assert [one.words[-5:] for one in own_alternatives(last)][1:] == [" 0..1", "-1..1"]


def test_a_function_sees_stretched_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 52, (SIZE, SIZE, 3), dtype=np.uint8)
    found = preprocess(pixels + np.uint8(70), own_stretched(by(raw), 70, 121), "")
    assert np.array_equal(found, preprocess(pixels * np.uint8(5), by(raw), ""))


@pytest.mark.parametrize(
    ("specs", "blind", "named"),
    [
        ((by(centred), WRONG), "a", r"Preprocess\(mean=[^:]*\) for b: "),
        ((WRONG, by(centred)), "b", r"Preprocess\(mean=[^:]*\) for a: "),
        ((RIGHT, by(raw)), "a", r"what Preprocess.function returns brought to .* for b: "),
        ((WRONG, WRONG), "", r"Preprocess\(mean=[^:]*\): "),
    ],
)
def test_a_mistake_of_one_file_is_found(
    tmp_path: Path, specs: tuple[Preprocess, ...], blind: str, named: str
) -> None:
    text = captured(tmp_path, *specs, blind=blind)
    assert re.search(f"FP32 is better beyond doubt with {named}BPCER", text), text


def test_two_right_files_are_left_alone(tmp_path: Path) -> None:
    assert captured(tmp_path, RIGHT, RIGHT) == ""


def test_too_few_people_are_said(tmp_path: Path) -> None:
    reason = "it takes at least 10 {}, and there are 7"
    assert faces(tmp_path, WRONG, 7) == reason.format("people with two images or more")
    assert captured(tmp_path, WRONG, count=7) == reason.format("people")


@pytest.mark.parametrize(("behind", "kept"), [(-1.0, True), (-3.0, False)])
def test_what_is_a_little_behind_at_first_can_still_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: float, kept: bool
) -> None:
    """As it sometimes happens if MobileFaceNet is fed RGB."""
    known = better_preprocessing.standard_errors

    def unlucky(now: Any, other: Any) -> float:
        return behind if len(now.without) == 12 else known(now, other)

    monkeypatch.setattr(better_preprocessing, "standard_errors", unlucky)
    assert ("better beyond doubt" in captured(tmp_path, WRONG)) is kept
