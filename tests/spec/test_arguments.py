"""Wrong arguments of what a gate file describes are refused in one line, not with a TypeError."""

import copy
import inspect
import pickle
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest

import pytest_kycquant
from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess, Recipe
from pytest_kycquant.errors import SpecError
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
    assert len(DESCRIPTIONS) == 12


@pytest.mark.parametrize("cls", DESCRIPTIONS)
def test_unknown_argument(cls: Any) -> None:
    for name in (field.name for field in fields(cls)):
        with pytest.raises(SpecError, match=rf"has no argument '{name}x'; did you mean '.+'\?"):
            cls(**{f"{name}x": 1})
    with pytest.raises(SpecError, match="has no argument 'qqqq'; its arguments are "):
        cls(qqqq=1)


@pytest.mark.parametrize("cls", DESCRIPTIONS)
def test_too_many_arguments(cls: Any) -> None:
    with pytest.raises(SpecError, match=rf"{cls.__name__}: .+; its arguments are "):
        cls(*[None] * 40)


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
