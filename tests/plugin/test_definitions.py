"""What a gate class defines itself: nothing replaces a gate, and nothing is ignored silently."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

import pytest_kycquant
from pytest_kycquant import (
    CustomLimits,
    CustomTask,
    DetectionLimits,
    FaceGates,
    FaceLimits,
    FaceVerification,
    KycModel,
    LivenessDetection,
    LivenessLimits,
    ObjectDetection,
    PipelineGates,
    PipelineLimits,
    Preprocess,
    Recipe,
)
from pytest_kycquant.errors import SpecError
from pytest_kycquant.plugin.definitions import refuse_misplaced, refuse_misplaced_limits
from pytest_kycquant.plugin.gates import Gates, spec_of
from pytest_kycquant.spec.limits import CheckedLimits


def metric(outputs: Any, labels: Any) -> Any:
    return outputs != labels


TASKS = {
    "FaceGates": FaceVerification("faces"),
    "LivenessGates": LivenessDetection("faces"),
    "DetectionGates": ObjectDetection("scenes", "labels", classes=("face",)),
    "CustomGates": CustomTask("faces", metric=metric),
    "AgreementGates": FaceVerification("faces", labelled=False, threshold=0.3),
}
LIMITS: list[type[CheckedLimits]] = [FaceLimits, LivenessLimits, DetectionLimits, CustomLimits]
BASES = {name: getattr(pytest_kycquant, name) for name in (*TASKS, "PipelineGates")}
GATES = [
    (name, test) for name, base in BASES.items() for test in dir(base) if test.startswith("test")
]


def model_of(task: Any, **given: Any) -> KycModel:
    return KycModel("models/m.onnx", Preprocess((8, 8)), task, **given)


@pytest.mark.parametrize(("base", "test"), GATES, ids=lambda value: str(value))
@pytest.mark.parametrize("way", ["redefined", "mixin", "switched off", "inherited"])
def test_no_gate_can_be_replaced(base: str, test: str, way: str) -> None:
    def replacement(self: Any, candidate: Any) -> None:
        """A gate that compares nothing."""

    bases: tuple[type, ...] = (BASES[base],)
    body: dict[str, Any] = {}
    if way == "mixin":
        bases = (type("Mixin", (), {test: replacement}), *bases)
    elif way == "inherited":
        bases = (type("Ours", bases, {}),)
        body[test] = staticmethod(replacement)
    else:
        body[test] = replacement if way == "redefined" else None
    with pytest.raises(SpecError, match=f"TestIt.{test}: replaces a gate of .*set limits"):
        type("TestIt", bases, body)


def test_own_tests_may_be_added_and_replaced() -> None:
    class Ours(FaceGates):
        def test_mine(self, candidate: Any) -> None: ...

    class TestIt(Ours):
        def test_mine(self, candidate: Any) -> None: ...
        def test_latency_of_two(self, candidate: Any) -> None: ...

    assert TestIt.test_latency is FaceGates.test_latency


@pytest.mark.parametrize("name", ["candidate", "golden", "kyc_pipeline", "quantize"])
def test_no_fixture_of_a_gate_can_be_replaced(name: str) -> None:
    @pytest.fixture
    def fake() -> None: ...

    for base in (FaceGates, PipelineGates):
        with pytest.raises(SpecError, match=f"TestIt.{name}: replaces the fixture"):
            type("TestIt", (base,), {name: fake})


@pytest.mark.parametrize(
    ("attribute", "meant"),
    [
        ("limts", "limits"),
        ("LIMITS", "limits"),
        ("strickt", "strict"),
        ("Fallback", "fallback"),
        ("precision", "precisions"),
        ("recipes", "precisions"),
    ],
)
def test_misspelt_attributes(attribute: str, meant: str) -> None:
    mixin = type("Mixin", (), {attribute: 5})
    for bases, body in (((FaceGates,), {attribute: 5}), ((mixin, FaceGates), {})):
        with pytest.raises(SpecError, match=rf"TestIt.{attribute}: .* did you mean '{meant}'\?"):
            type("TestIt", bases, body)
    value = FaceLimits()
    type("TestIt", (FaceGates,), {attribute: value, meant: value})  # a helper, which is used


def test_helpers_are_left_alone() -> None:
    """Names that resemble an attribute are helpers if it is given, too, or if they are code."""

    class Nested: ...

    @property
    def prop(self: Any) -> None: ...

    @pytest.fixture
    def fixture(self: Any) -> None: ...

    given = {"model": 1, "precisions": ("int8",), "limits": FaceLimits(), "profile": "standard"}
    for name in ("mode", "models", "Mode", "recipe", "variants", "limit", "profiles"):
        type("TestIt", (FaceGates,), {**given, name: "mine"})
        for value in (Nested, prop, fixture, staticmethod(len)):
            type("TestIt", (FaceGates,), {name: value})
    for name in ("mode", "models"):
        type("TestIt", (FaceGates,), {name: {"a": 1}})
    model = model_of(FaceVerification("faces"))
    with pytest.raises(SpecError, match="did you mean 'model'"):
        type("TestIt", (FaceGates,), {"modl": model})
    for name in ("threshold", "calibration", "selection", "groups", "output", "far"):
        for value in (Nested, prop, fixture, staticmethod(len)):
            refuse_misplaced(type("TestIt", (), {name: value}), model, FaceLimits())


@pytest.mark.parametrize("name", ["__init__", "__new__"])
def test_a_class_that_pytest_does_not_collect(name: str) -> None:
    for base in (FaceGates, PipelineGates):
        for bases, body in (((base,), {name: len}), ((type("Mixin", (), {name: len}), base), {})):
            with pytest.raises(SpecError, match=f"TestIt: has {name}, so pytest does not collect"):
                type("TestIt", bases, body)


@pytest.mark.parametrize(
    "annotation", [FaceLimits(), "FaceLimits(far=0.1)", ("int8",), True, ["int8"]]
)
def test_an_attribute_with_a_type_but_no_value(annotation: Any) -> None:
    with pytest.raises(SpecError, match=r"TestIt.limits: has a type but no value; .*limits = "):
        type("TestIt", (FaceGates,), {"__annotations__": {"limits": annotation}})
    for harmless in (FaceLimits, "FaceLimits", "ClassVar[FaceLimits]", FaceLimits | None):
        type("TestIt", (FaceGates,), {"__annotations__": {"limits": harmless}})
    given = {"__annotations__": {"limits": annotation}, "limits": FaceLimits()}
    type("TestIt", (FaceGates,), given)


@pytest.mark.parametrize("name", ["candidate", "kyc_pipeline"])
@pytest.mark.parametrize("gated", [True, False])
def test_a_fixture_of_the_module_replaces_ours(
    pytester: pytest.Pytester, name: str, gated: bool
) -> None:
    pytester.makepyfile(
        f"""
        import pytest
        from unittest.mock import Mock
        from pytest_kycquant import FaceVerification, KycModel, Preprocess

        MODEL = KycModel("a.onnx", Preprocess((8, 8)), FaceVerification("faces"))

        @pytest.fixture
        def {name}():
            return Mock()

        {"@pytest.mark.kycquant(model=MODEL, precisions='fp16')" if gated else ""}
        def test_it({name}):
            {name}.check("far")
        """
    )
    result = pytester.runpytest_inprocess()
    if not gated:  # its fixtures are its own
        result.assert_outcomes(passed=1)
        return
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"*the fixture '{name}' has been replaced by one that returns *"])


def test_a_fixture_by_another_name() -> None:
    @pytest.fixture(name="candidate")
    def _fake(self: Any) -> None: ...

    with pytest.raises(SpecError, match=r"TestIt\._fake: replaces the fixture"):
        type("TestIt", (FaceGates,), {"_fake": _fake})


LIMIT_FIELDS = [(kind, name) for kind in LIMITS for name in kind.__dataclass_fields__]


@pytest.mark.parametrize(("kind", "name"), LIMIT_FIELDS)
def test_a_limit_in_the_class_itself(kind: type[CheckedLimits], name: str) -> None:
    limits = kind()
    for written in (name, name.upper()):
        cls = type("TestIt", (), {written: 0.123})
        with pytest.raises(SpecError, match=rf"TestIt.{written}: .*limits = .*{name}=\.\.\."):
            refuse_misplaced_limits(cls, limits)
    refuse_misplaced_limits(type("TestIt", (), {name: getattr(limits, name)}), limits)


@pytest.mark.parametrize("base", TASKS)
def test_a_field_of_the_task_or_the_model_in_the_class_itself(base: str) -> None:
    task = TASKS[base]
    model = model_of(task)
    limits = task.limits()
    parts: tuple[Any, ...] = (model, task)
    optional = [
        (part, field.name)
        for part in parts
        for field in fields(part)
        if field.name != "name" and field.default is not MISSING
    ]
    assert len(optional) > 4
    for part, name in optional:
        with pytest.raises(SpecError, match=rf"TestIt.{name}: belongs to .*{name}=\.\.\."):
            refuse_misplaced(type("TestIt", (), {name: object()}), model, limits)
        same = type("TestIt", (), {name: getattr(part, name)})
        refuse_misplaced(same, model, limits)
    helpers = {"data": Path("elsewhere"), "path": "other.onnx", "name": "x", "images": 5}
    refuse_misplaced(type("TestIt", (), helpers), model, limits)


def test_gates_and_pipelines_ask_for_misplaced_values() -> None:
    class TestFace(FaceGates):
        model = model_of(FaceVerification("faces"))
        threshold = 0.3

    with pytest.raises(SpecError, match=r"belongs to FaceVerification .*threshold=\.\.\."):
        spec_of(TestFace, [], "TestFace")

    class TestPlain:  # not a gate class: its attributes are its own
        threshold = 0.3

    mark = pytest.mark.kycquant(model=TestFace.model).mark
    assert spec_of(TestPlain, [mark], "TestPlain") is not None


def test_a_limit_of_a_pipeline_in_the_class_itself() -> None:
    for name in PipelineLimits.__dataclass_fields__:
        with pytest.raises(SpecError, match=f"TestIt.{name}: is a limit of PipelineLimits"):
            refuse_misplaced_limits(type("TestIt", (), {name: 3.0}), PipelineLimits())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("limts = None", "*TestIt.limts: is not an attribute of gates; did you mean 'limits'[?]"),
        ("def test_far(self): pass", "*TestIt.test_far: replaces a gate of FaceGates, *"),
    ],
)
def test_a_gate_file_is_refused(pytester: pytest.Pytester, body: str, message: str) -> None:
    pytester.makepyfile(
        f"from pytest_kycquant import FaceGates\nclass TestIt(FaceGates):\n    {body}\n"
    )
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([message])


def test_unittest_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import unittest\nfrom pytest_kycquant import FaceGates\n"
        "class TestIt(FaceGates, unittest.TestCase):\n    pass\n"
    )
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines(["*TestIt: is a unittest.TestCase, which cannot use fixtures; *"])


def test_arrays_and_recipes_as_attributes() -> None:
    import numpy as np

    model = model_of(FaceVerification("faces"))
    body = {"groups": np.zeros(3), "mine": Recipe("int8")}
    with pytest.raises(SpecError, match="belongs to FaceVerification"):
        refuse_misplaced(type("TestIt", (Gates,), body), model, FaceLimits())
