"""Wrong arguments of what a gate file describes are refused in one line, not with a TypeError."""

import copy
import inspect
import pickle
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import pytest_kycquant
from pytest_kycquant import (
    FaceLimits,
    FaceVerification,
    KycModel,
    LivenessDetection,
    ObjectDetection,
    Preprocess,
    Recipe,
    presets,
)
from pytest_kycquant.errors import SpecError
from pytest_kycquant.quantize.front_door import quantize
from pytest_kycquant.spec import coerce
from pytest_kycquant.spec.limits import limit
from pytest_kycquant.verdicts import Direction, Unit

DESCRIPTIONS = [
    found
    for name in pytest_kycquant.__all__
    if hasattr(found := getattr(pytest_kycquant, name), "__dataclass_fields__")
    and name != "Candidate"
]


def test_all_descriptions_are_meant() -> None:
    assert len(DESCRIPTIONS) == 14


FUNCTIONS = [
    presets.arcface,
    presets.minifasnet,
    presets.yolov8,
    quantize,
    pytest_kycquant.outlook,
]
TASKS = {"arcface": FaceVerification, "minifasnet": LivenessDetection, "yolov8": ObjectDetection}
CALLABLES = [*DESCRIPTIONS, *FUNCTIONS]


def names_of(what: Any) -> list[str]:
    """The arguments of a public class or function, those of a preset's task included."""
    task = TASKS.get(what.__name__)
    more = [] if task is None else [name for one in (task, Preprocess) for name in names_of(one)]
    return list(dict.fromkeys([*(one.name for one in own(what)), *more]))


def own(what: Any) -> list[inspect.Parameter]:
    parameters = inspect.signature(what).parameters.values()
    return [one for one in parameters if one.kind is not one.VAR_KEYWORD]


def misspelt(name: str) -> set[str]:
    """A letter left out, doubled, replaced or added, or two exchanged."""
    middle = len(name) // 2
    return {
        name[:middle] + name[middle + 1 :],
        name[: middle + 1] + name[middle:],
        name[: middle - 1] + "q" + name[middle:],
        name + "x",
        name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :],
    } - {name}


@pytest.mark.parametrize("what", CALLABLES, ids=lambda what: what.__name__)
def test_every_argument_misspelt(what: Any) -> None:
    names = names_of(what)
    assert names
    where = f"presets.{what.__name__}" if what.__name__ in TASKS else what.__name__
    for name in names:
        for wrong in misspelt(name) - {*names}:
            with pytest.raises(SpecError) as caught:
                what(**{wrong: 1})
            assert caught.value.where == where
            assert caught.value.problem == f"has no argument {wrong!r}"
            meant = re.fullmatch(r"did you mean '(.+)'\?", caught.value.remedy)
            if len(name) > 4:
                assert meant is not None, (wrong, caught.value.remedy)
                # Another name may be as near: far_degradation and frr_degradation.
                assert meant[1] == name or distance(wrong, meant[1]) <= distance(wrong, name)
    with pytest.raises(SpecError, match="has no argument 'qqqq'; its arguments are "):
        what(qqqq=1)


def distance(one: str, other: str) -> int:
    """Number of letters to insert, delete or replace (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a != b)))
    return row[-1]


@pytest.mark.parametrize("what", CALLABLES, ids=lambda what: what.__name__)
def test_too_many_and_missing_arguments(what: Any) -> None:
    where = f"(presets\\.)?{what.__name__}"
    with pytest.raises(SpecError, match=rf"^{where}: too many positional .+; its arguments are "):
        what(*[None] * 40)
    required = [one.name for one in own(what) if one.default is one.empty]
    if required:
        named = "|".join(required)
        with pytest.raises(SpecError, match=rf"^{where}: missing a required .+'({named})'; its "):
            what()


@pytest.mark.parametrize(
    ("wrong", "known", "meant"),
    [
        ("fra", ["frr", "far"], "far"),  # the same letters
        ("frrr", ["far", "frr"], "frr"),
        ("methd", ["activation_type", "calibration_method"], "calibration_method"),
        ("degradation", ["far_degradation", "frr_degradation_x"], "far_degradation"),
        ("rgb", ["RGB", "BGR"], "RGB"),
        ("bgr", ["RGB", "BGR"], "BGR"),
        ("qqqq", ["far", "frr"], None),
        ("conf", ["classes", "confidence"], "confidence"),
        ("lat", ["latency_ms", "latency_ratio"], None),
        ("kind", ["a_kind_of_thing_or_so", "some_other_kind_of_thing"], None),  # of two names
    ],
)
def test_the_name_that_was_meant(wrong: str, known: list[str], meant: str | None) -> None:
    assert coerce.did_you_mean(wrong, known) == (f"did you mean {meant!r}?" if meant else "")


GATES = [
    pytest_kycquant.FaceGates,
    pytest_kycquant.LivenessGates,
    pytest_kycquant.DetectionGates,
    pytest_kycquant.CustomGates,
    pytest_kycquant.AgreementGates,
    pytest_kycquant.PipelineGates,
]
VALUES = {"model": KycModel("a.onnx", Preprocess((8, 8)), FaceVerification("faces"))}


@pytest.mark.parametrize("base", GATES, ids=lambda base: base.__name__)
def test_every_attribute_of_a_gate_class_misspelt(base: Any) -> None:
    names = [name for name in base.__annotations__ or () if not name.startswith("_")]
    for owner in base.__mro__:
        names += [name for name in vars(owner).get("__annotations__", ()) if name[0] != "_"]
    assert len({*names}) > 6
    for name in {*names}:
        for wrong in misspelt(name) - {*names}:
            if len(name) <= 4 or wrong.startswith("_"):
                continue
            with pytest.raises(SpecError, match=rf"Test\.{wrong}: is not .+ did you mean '{name}'"):
                type("Test", (base,), {wrong: VALUES.get(name, "value")})


def test_a_name_that_the_package_and_its_presets_do_not_have() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'arcfce'; did you mean 'arcface'"):
        presets.arcfce  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'FaceGate'; did you mean 'FaceGat"):
        pytest_kycquant.FaceGate  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(presets, "_private")


def test_what_belongs_to_the_preprocessing_of_a_preset() -> None:
    with pytest.raises(
        SpecError, match=r"arcface\(channels=\.\.\.\): belongs to the preprocessing"
    ):
        presets.arcface("a", "b", channels="BGR")
    with pytest.raises(SpecError, match="has no argument 'chanels'; did you mean 'channels'"):
        presets.arcface("a", "b", chanels="BGR")


def test_missing_argument() -> None:
    with pytest.raises(SpecError, match="KycModel: missing a required argument: 'preprocess'"):
        KycModel("a.onnx")  # type: ignore[call-arg]
    with pytest.raises(SpecError, match="KycModel: missing a required argument: 'preprocess'"):
        KycModel(5)  # type: ignore[call-arg, arg-type]


def test_what_it_wraps_stays_as_it_is() -> None:
    assert list(inspect.signature(Recipe).parameters)[:3] == [
        "precision",
        "name",
        "activation_type",
    ]
    recipe = Recipe("int8", keep_fp32=("first",))
    model = KycModel("a.onnx", Preprocess((8, 8)), FaceVerification("faces"))
    for value in (recipe, model, FaceLimits(far=0.01)):
        assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == replace(value) == value


def test_errors_inside_are_not_taken_for_wrong_arguments() -> None:
    class Broken:
        def __init__(self, size: int) -> None:
            raise TypeError("inside")

    with pytest.raises(TypeError, match="inside"):
        coerce.arguments(Broken)(size=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Recipe("int-8"),
            r"'int-8' is unknown; did you mean 'int8'\? choose from 'fp32', ",
        ),
        (lambda: Recipe("zzz"), "'zzz' is unknown; choose from 'fp32', "),
        (lambda: FaceLimits(far="0.1%"), "FaceLimits.far: '0.1%' is not a number; .* is 0.001"),  # type: ignore[arg-type]
        (lambda: FaceLimits(mean_cosine="99%"), "is not a number; give a cosine below 1"),  # type: ignore[arg-type]
    ],
)
def test_what_to_write_instead(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


@pytest.mark.parametrize(
    "value", [np.zeros((99, 99)), [np.zeros((99, 99))] * 99, "x" * 9999, {"a": "y" * 9999}]
)
def test_messages_stay_short(value: Any) -> None:
    for make in (
        lambda: Recipe(value),
        lambda: Recipe("int8", weight_type=value),
        lambda: Recipe("int8", keep_fp32=(value,)),
        lambda: FaceLimits(far=value),
        lambda: pytest_kycquant.quantize("a.onnx", None, value),
        lambda: pytest_kycquant.quantize("a.onnx", None, "int8", threads=value),
        lambda: pytest_kycquant.quantize("a.onnx", None, "int8", overwrite=value),
    ):
        try:
            make()
        except SpecError as error:
            assert len(str(error)) < 500  # noqa: PT017


def test_a_subclass_whose_defaults_would_be_ignored() -> None:
    class Strict(FaceLimits):
        far = 0.0001

    class Slow(Recipe):
        per_channel = False

    for make, where in ((Strict, "Strict.far"), (lambda: Slow("int8"), "Slow.per_channel")):
        with pytest.raises(SpecError, match=f"{where}: is set in the body of a class, where it is"):
            make()


def test_a_subclass_that_loses_direction_and_unit() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Strict(FaceLimits):
        far: float = 0.0001

    with pytest.raises(SpecError, match=r"Strict.far: .* limits = FaceLimits\(far=\.\.\.\)"):
        Strict()


def test_a_subclass_may_add_and_tighten() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Ours(FaceLimits):
        far: float = limit(0.0001, Direction.BELOW, Unit.RATE)

        @property
        def frr_in_percent(self) -> float:
            return 100 * self.frr

    assert Ours()["far"].value == 0.0001
    assert Ours(far=0.01).frr_in_percent == 5


@pytest.mark.parametrize("huge", [10**400, -(10**400)])
def test_numbers_too_large_for_a_float(huge: int) -> None:
    with pytest.raises(SpecError, match="is not a number"):
        FaceLimits(far=huge)


@pytest.mark.parametrize("given", ["no", "auto", 1, 0, [], np.int64(1)])
@pytest.mark.parametrize("option", ["per_channel", "reduce_range", "equalize", "bias_correction"])
def test_a_switch_is_a_boolean(option: str, given: Any) -> None:
    with pytest.raises(
        SpecError, match=f"Recipe.{option}: .* is not a boolean; use True, False or"
    ):
        Recipe("int8", **{option: given})


@pytest.mark.parametrize("name", [5, b"int8", ("a",)])
def test_a_label_is_a_text(name: Any) -> None:
    with pytest.raises(SpecError, match=r"Recipe\.name: .* is not a name"):
        Recipe("int8", name=name)
