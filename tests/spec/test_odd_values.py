"""Whatever stands for an argument, it is taken as a plain value or refused in one clear line."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_kycquant
from pytest_kycquant import (
    CustomLimits,
    CustomTask,
    FaceGates,
    FaceLimits,
    FaceVerification,
    KycModel,
    LivenessDetection,
    ObjectDetection,
    PipelineGates,
    Preprocess,
    Prequantized,
    Recipe,
    Runtime,
    presets,
    quantize,
)
from pytest_kycquant.errors import KycquantError, SettingsError, SpecError
from pytest_kycquant.plugin.gates import spec_of
from pytest_kycquant.plugin.pipeline_gates import pipeline_spec_of
from pytest_kycquant.quantize import Quantizer
from pytest_kycquant.spec.gates import GateSpec
from tests.worlds.odd_values import ODD
from tests.worlds.zoo import save, tiny_embedder

PIXELS = Preprocess(size=(16, 16))
FACE = KycModel("m.onnx", preprocess=PIXELS, task=FaceVerification("f.npz", selection="s.npz"))
SCENES = ObjectDetection("d", labels="l.json", classes=("face", "hand"))
DETECTOR = KycModel("d.onnx", preprocess=PIXELS, task=SCENES)


def misread(outputs: Any, labels: Any) -> Any:
    return outputs != labels


BASES: dict[Any, dict[str, Any]] = {
    KycModel: {"path": "m.onnx", "preprocess": PIXELS, "task": FACE.task},
    Preprocess: {"size": (16, 16)},
    Recipe: {"precision": "int8"},
    Runtime: {},
    Prequantized: {"path": "m.onnx"},
    FaceVerification: {"data": "f.npz", "selection": "s.npz"},
    LivenessDetection: {"data": "f.npz", "selection": "s.npz"},
    ObjectDetection: {"data": "d", "labels": "l.json", "classes": ("a", "b")},
    CustomTask: {"data": "d", "metric": misread},
    CustomLimits: {"metric": 0.1, "degradation": 0.1},
    presets.arcface: {"path": "m.onnx", "data": "d"},
    presets.minifasnet: {"path": "m.onnx", "data": "d", "boxes": "b.csv", "crop_scale": 2.7},
    presets.yolov8: {"path": "m.onnx", "data": "d", "labels": "l", "classes": ("a", "b")},
    **{
        getattr(pytest_kycquant, name): {}
        for name in pytest_kycquant.__all__
        if name.endswith("Limits") and name != "CustomLimits"
    },
}
DESCRIBED = [
    (make, name)
    for make in BASES
    for name, parameter in inspect.signature(make).parameters.items()
    if parameter.kind is not parameter.VAR_KEYWORD
]


def numpy_values(found: Any) -> Iterator[Any]:
    """The values in a description that are not plain."""
    if dataclasses.is_dataclass(found):
        for field in dataclasses.fields(found):
            yield from numpy_values(getattr(found, field.name))
    elif isinstance(found, tuple):
        for entry in found:
            yield from numpy_values(entry)
    elif type(found).__module__.startswith("numpy"):
        yield found


def taken_or_refused(
    make: Callable[[Any], Any], kinds: tuple[type[KycquantError], ...] = (SpecError, SettingsError)
) -> int:
    """Number of odd values that are taken; the others are refused."""
    taken, said = 0, []
    for value in ODD:
        try:
            found = make(value)
        except kinds as error:
            said.append(str(error))
        else:
            hash(found)
            assert not list(numpy_values(found))
            taken += 1
    assert all(len(text) < 2000 and text.isprintable() for text in said)
    return taken


@pytest.mark.filterwarnings("ignore:.*masked element:UserWarning")
@pytest.mark.parametrize(
    ("make", "name"), DESCRIBED, ids=[f"{make.__name__}.{name}" for make, name in DESCRIBED]
)
def test_arguments(make: Any, name: str) -> None:
    taken = taken_or_refused(lambda value: make(**{**BASES[make], name: value}))
    assert taken < len(ODD) / 2  # most are wrong everywhere


def test_all_classes_and_presets_are_walked() -> None:
    classes = {
        found
        for name in pytest_kycquant.__all__
        if hasattr(found := getattr(pytest_kycquant, name), "__dataclass_fields__")
        and name != "Candidate"
    }
    assert classes <= set(BASES)
    functions = {getattr(presets, name) for name in presets.__all__ if name.islower()}
    assert functions <= set(BASES)


@pytest.mark.parametrize("name", [*GateSpec.__dataclass_fields__, "far", "threshold", "limit"])
def test_attributes_and_markers_of_gates(name: str) -> None:
    def as_attribute(value: Any) -> Any:
        return spec_of(type("TestX", (FaceGates,), {"model": FACE, name: value}), [], "TestX")

    def as_marker(value: Any) -> Any:
        return spec_of(None, [pytest.mark.kycquant(**{"model": FACE, name: value}).mark], "test_x")

    taken_or_refused(as_attribute)
    taken_or_refused(as_marker)


ATTRIBUTES = (
    *("images", "detector", "face", "liveness", "embedder", "embedder_scale", "limits"),
    *("threads", "runs", "inconclusive", "process", "wall_ms", "image"),
)


class Face(FaceGates):
    __test__ = False
    model = FACE


class Detector(pytest_kycquant.DetectionGates):
    __test__ = False
    model = DETECTOR


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_of_pipelines(name: str) -> None:
    given = {"images": "d", "detector": Detector, "embedder": Face, "face": "face"}

    def make(value: Any) -> Any:
        body = {"__module__": __name__, **given, name: value}
        return pipeline_spec_of(type("TestPipeline", (PipelineGates,), body))

    taken_or_refused(make)


@pytest.mark.filterwarnings("ignore:.*masked element:UserWarning")
@pytest.mark.parametrize("name", inspect.signature(quantize).parameters)
def test_quantize(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")  # refused as soon as it is read
    given = {"model": path, "images": [np.zeros((1, 3, 32, 32), np.float32)]}
    taken = taken_or_refused(lambda value: quantize(**{**given, name: value}), (KycquantError,))
    assert not taken


@pytest.mark.filterwarnings("ignore:.*masked element:UserWarning")
@pytest.mark.parametrize("name", inspect.signature(Quantizer).parameters)
def test_quantizer(name: str, tmp_path: Path) -> None:
    path = save(tmp_path, tiny_embedder())
    given = {"model": path, "images": [np.zeros((1, 3, 32, 32), np.float32)]}

    def make(value: Any) -> None:
        if callable(value) and name in ("images", "probes"):
            return  # a function that makes images; what it raises is its own error
        quantizer = Quantizer(**{**given, name: value})
        assert quantizer.loaded

    taken_or_refused(make, (KycquantError,))


def test_right_values_of_numpy_are_taken() -> None:
    found = Preprocess(np.array([112, 112]), mean=np.array(127.5), scale=np.float32(0.5))
    assert found == Preprocess((112, 112), mean=127.5, scale=0.5)
    assert repr(found) == repr(Preprocess((112, 112), mean=127.5, scale=0.5))
    assert Preprocess((8, 8), mean=np.arange(3), channels=np.str_("BGR")).mean == (0.0, 1.0, 2.0)
    assert repr(Recipe(np.array("int8"), per_channel=np.True_)) == repr(  # type: ignore[arg-type]
        Recipe("int8", per_channel=True)
    )
    names = ObjectDetection("d", labels="l", classes=np.array(["a", "b"]))  # type: ignore[arg-type]
    assert repr(names) == repr(ObjectDetection("d", labels="l", classes=("a", "b")))
    assert FaceLimits(far=np.array(0.01)) == FaceLimits(far=0.01)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["no", 1, [], None, np.array([True])])
def test_single_species_is_a_boolean(given: Any) -> None:
    with pytest.raises(SpecError, match=r"single_species: .* is not a boolean"):
        LivenessDetection("d", single_species=given)


@pytest.mark.parametrize("given", [{112, 113}, {"face", "hand"}])
def test_what_has_no_order_is_refused_where_order_matters(given: Any) -> None:
    with pytest.raises(SpecError, match="is not a sequence"):
        Preprocess(given)
    with pytest.raises(SpecError, match="is not a sequence"):
        ObjectDetection("d", labels="l", classes=given)


def test_a_set_of_operators_has_one_order() -> None:
    names = {f"Conv_{index}" for index in range(20)}
    kept = Recipe("int8", keep_fp32=names)  # type: ignore[arg-type]
    assert kept.keep_fp32 == tuple(sorted(names))


def test_a_faulty_list_of_rewrites_is_read_once() -> None:
    with pytest.raises(SpecError, match=r"Recipe.rewrites: 'prelux' is unknown; did you mean"):
        Recipe("int8", rewrites=iter(["prelux"]))  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [5, b"x", ["x"], None, "a\nb", "\x1b[2J", " a", "x" * 201])
def test_the_name_of_a_metric_is_a_short_text(given: Any) -> None:
    with pytest.raises(SpecError, match=r"CustomTask.name: .* is not a name; give a short text"):
        CustomTask("d", metric=misread, name=given)


def test_the_name_of_the_function_is_checked_as_well() -> None:
    def renamed(outputs: Any, labels: Any) -> Any:
        return labels

    renamed.__name__ = "\x1b[2J"
    with pytest.raises(SpecError, match=r"CustomTask.metric.__name__: .* is not a name"):
        CustomTask("d", metric=renamed)
    assert CustomTask("d", metric=renamed, name="misread").name == "misread"
