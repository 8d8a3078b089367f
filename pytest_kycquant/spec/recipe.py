"""Recipes: how to derive a variant from the FP32 model, and tables of precisions and rewrites."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from ..errors import SpecError
from . import coerce
from .precision import LADDERS, NOTHING_KEPT, Precision, Refusal
from .runtime import REFERENCE, RUNTIMES, FileFormat, Runtime, as_format, as_runtime

Fallback = Literal["mixed", "int8-weights", "fp16", "fp32-optimized", "fp32"]
RUNGS = get_args(Fallback)
"""Rungs of the fallback ladder, in order."""
CalibrationMethod = Literal["minmax", "moving-average", "percentile", "entropy", "mse"]


_INTEGER = ("int8", "uint8", "int16", "uint16")
_CHOICES = {
    "activation_type": _INTEGER,
    "weight_type": _INTEGER,
    "calibration_method": get_args(CalibrationMethod),
    "float_weights": ("float32", "float16", "int8"),
}
_SWITCHES = (
    *("per_channel", "reduce_range", "equalize", "bias_correction"),
    *("integer_io", "float_fallback"),
)
_STATIC = (
    "activation_type",
    "weight_type",
    "per_channel",
    "reduce_range",
    "calibration_method",
    "percentile",
    "equalize",
    "bias_correction",
    "keep_fp32",
    "float_weights",
    "op_types",
    "rewrites",
)
_WEIGHTS = ("keep_fp32", "op_types", "rewrites")
_NO_REWRITE = Refusal(
    "rewrites",
    (False, ()),
    "has nothing to rewrite",
    "leave out either rewrites= or the precision",
)
_HERE = "pytest_kycquant.quantize"
ITSELF = f"{_HERE}.recipe_kind:ITSELF"

RECIPES = {
    "fp32": Precision(ITSELF, is_float=True),
    "bf16": Precision(
        ITSELF,
        is_float=True,
        runtimes=("openvino",),
        computes="bfloat16",
    ),
    "fp32-optimized": Precision(
        f"{_HERE}.optimized:OPTIMIZED", ("rewrites",), is_float=True, refuses=(_NO_REWRITE,)
    ),
    "fp16": Precision(f"{_HERE}.fp16:FP16", ("keep_fp32", "rewrites"), is_float=True),
    "int8": Precision(f"{_HERE}.static:STATIC", _STATIC, is_static=True, is_integer=True),
    "int8-dynamic": Precision(
        f"{_HERE}.dynamic:DYNAMIC",
        ("weight_type", "per_channel", "reduce_range", *_WEIGHTS),
        is_integer=True,
    ),
    "int8-weights": Precision(
        f"{_HERE}.weight_only:EIGHT_BITS", ("bias_correction", *_WEIGHTS), stores_weights=True
    ),
    "int4-weights": Precision(
        f"{_HERE}.weight_only:FOUR_BITS", ("bias_correction", *_WEIGHTS), stores_weights=True
    ),
    "mixed": Precision(
        f"{_HERE}.static:STATIC",
        _STATIC,
        is_static=True,
        is_integer=True,
        refuses=(NOTHING_KEPT,),
    ),
    "int16x8": LADDERS["litert"]["int16x8"],
}
"""All precisions by name. To add one, write its `RecipeKind` and add a line here."""

UNQUANTIZED = ("fp32", "bf16", "fp32-optimized")
"""Precisions that save no space: only what is computed, or how, differs from FP32."""


class Rewrite(NamedTuple):
    """One exact rewrite of a graph: a line of `REWRITES`.

    Args:
        title: name of the rewrite in reports.
        replaces: operator type that it replaces everywhere; "" if it replaces no operators.
        apply: location, ``module:attribute``, of the function that changes a graph in place. Its
            arguments are the graph and whether the convolutions are to be quantized. It returns a
            `quantize.rewrites.Edit`, which has no parts if the rewrite does not apply.
    """

    title: str
    replaces: str
    apply: str


REWRITES = {
    "subnormals": Rewrite("subnormal weights", "", f"{_HERE}.rewrites:flush_subnormals"),
    "prelu": Rewrite("PReLU", "PRelu", f"{_HERE}.rewrites:split_prelu"),
}
"""All rewrites by name, in the order in which they are applied."""


@coerce.arguments
@dataclass(frozen=True)
class Recipe:
    """How to derive a variant from the FP32 model.

    A plain string such as ``"int8"`` stands for ``Recipe("int8")``, the default recipe, which
    adapts to the CPU. Options that a precision does not have must keep their default.

    Args:
        precision: "fp16", "int8" (static QDQ), "int8-dynamic", "mixed" (static QDQ with some
            operators kept in FP32), "int8-weights" or "int4-weights" (stored in 8 or 4 bits,
            computed in FP32), "int16x8" (static, activations in 16 bits and weights in 8; LiteRT
            only) or "fp32-optimized" (FP32 after exact rewrites).
        name: label in test ids and in the table; defaults to the precision.
        activation_type: "uint8", "int8", "uint16" or "int16" (static only).
        weight_type: "int8", "uint8", "int16" or "uint16"; None means int8 for static and uint8
            for dynamic quantization.
        per_channel: whether each output channel has its own scale; None means True for static and
            False for dynamic quantization.
        reduce_range: whether to quantize weights to 7 bits, which prevents 16-bit saturation on
            CPUs without VNNI; None decides by probing this CPU.
        calibration_method: how activation ranges are estimated (static only): "minmax",
            "moving-average" (mean of each image's extremes), "percentile", "entropy" or "mse"
            (smallest squared error that 8 bits cause in the outputs). None means "mse", or
            "minmax" for 16-bit activations.
        percentile: percentage of values inside the range, for "percentile".
        equalize: whether to scale channels to similar ranges before quantization, which does not
            change FP32's outputs (static only). None means True for 8-bit activations and weights
            with a scale per channel.
        bias_correction: whether to subtract the mean error of quantized weights and activations
            from the biases (static and weight-only); None means True. Weight-only
            precisions need calibration images for it and skip it without them.
        keep_fp32: operators that stay in FP32: names of nodes, operator types, "first", "last".
        float_weights: how weights of operators that stay in FP32 are stored: "float32" (None),
            "float16" or "int8" (static only). onnxruntime computes them in FP32 in every case;
            OpenVINO may compute those of 8 bits in integers if their input is quantized.
        op_types: types of the operators to quantize; None means all that onnxruntime supports.
        rewrites: exact rewrites of the FP32 graph to start from: "prelu", "subnormals". True means
            all that fit the model, False none; None uses those that prove faster when measured on
            this machine.
        runtime: the runtime that runs the variant, and on which it is judged: a name such as
            "openvino", or a `Runtime` with options.
        format: format of the file: "ort" for the ORT format of mobile builds of onnxruntime, whose
            graph is optimized when it is converted. None means the format of the runtime.
        integer_io: whether the file's inputs and outputs are integers, too; None means True (static
            quantization for LiteRT only).
        float_fallback: whether operators that have no integer kernel may compute in floating point;
            None means True. False makes them an error (static quantization for LiteRT only).
    """

    precision: str
    name: str = ""
    activation_type: Literal["uint8", "int8", "uint16", "int16"] | None = None
    weight_type: Literal["int8", "uint8", "int16", "uint16"] | None = None
    per_channel: bool | None = None
    reduce_range: bool | None = None
    calibration_method: CalibrationMethod | None = None
    percentile: float | None = None
    equalize: bool | None = None
    bias_correction: bool | None = None
    keep_fp32: tuple[str, ...] = ()
    float_weights: Literal["float32", "float16", "int8"] | None = None
    op_types: tuple[str, ...] | None = None
    rewrites: bool | tuple[str, ...] | None = None
    runtime: str | Runtime = REFERENCE
    format: FileFormat | None = None
    integer_io: bool | None = None
    float_fallback: bool | None = None

    def __post_init__(self) -> None:
        precision = coerce.choice("Recipe.precision", self.precision, tuple(RECIPES))
        runtime = _runtime(precision, as_runtime("Recipe.runtime", self.runtime))
        plain: dict[str, object] = {
            "precision": precision,
            "runtime": runtime,
            "format": as_format("Recipe.format", self.format, runtime),
            "keep_fp32": coerce.names("Recipe.keep_fp32", self.keep_fp32),
        }
        parts = filter(None, (precision, runtime.label, plain["format"]))
        plain["name"] = coerce.label("Recipe.name", self.name) or "-".join(map(str, parts))
        if self.op_types is not None:
            plain["op_types"] = coerce.names("Recipe.op_types", self.op_types)
        if self.percentile is not None:
            remedy = "give a percentage, such as 99.99"
            plain["percentile"] = coerce.number("Recipe.percentile", self.percentile, remedy)
        if self.rewrites is not None:
            whole = coerce.scalar(self.rewrites)
            names = () if isinstance(whole, bool) else coerce.names("Recipe.rewrites", whole)
            for entry in names:
                coerce.choice("Recipe.rewrites", entry, tuple(REWRITES))
            plain["rewrites"] = whole if isinstance(whole, bool) else names
        for option_name, allowed in _CHOICES.items():
            given = getattr(self, option_name)
            plain[option_name] = coerce.choice(f"Recipe.{option_name}", given, (None, *allowed))
        for option_name in _SWITCHES:
            given = getattr(self, option_name)
            plain[option_name] = coerce.switch(f"Recipe.{option_name}", given)
        for option_name, value in plain.items():
            object.__setattr__(self, option_name, value)
        options = self.traits.options
        for option in dataclasses.fields(self):
            if option.name in ("precision", "name", "runtime", "format") or option.name in options:
                continue
            if getattr(self, option.name) != option.default:
                there = f" on {self.runs_on.name}" if self.has_own_ladder else ""
                raise SpecError(
                    f"Recipe({self.precision!r})",
                    f"has no option {option.name!r}{there}",
                    f"its options are {', '.join(options) or 'none'}",
                )
        for refusal in self.traits.refuses:
            if getattr(self, refusal.option) in refusal.values:
                raise SpecError(f"Recipe({self.precision!r})", refusal.problem, refusal.remedy)
        if self.calibration_method == "mse" and self.activation_type in ("uint16", "int16"):
            raise SpecError(
                "Recipe.calibration_method",
                f'"mse" supports 8 bits only, but activation_type is {self.activation_type!r}',
                'use "minmax": 16 bits need no clipping',
            )
        if self.percentile is not None:
            if self.calibration_method != "percentile":
                raise SpecError(
                    "Recipe.percentile",
                    "is used by only one calibration method",
                    'add calibration_method="percentile"',
                )
            if not 50 < self.percentile <= 100:
                raise SpecError(
                    "Recipe.percentile",
                    f"{self.percentile!r} is not in (50, 100]",
                    "give a percentage, such as 99.99",
                )

    @property
    def traits(self) -> Precision:
        """The line of `RECIPES` for this precision, or that of its runtime in `LADDERS`."""
        return line_of(self.precision, self.runs_on)

    @property
    def has_own_ladder(self) -> bool:
        """Whether its runtime has files of its own, which are not made from ONNX graphs."""
        return self.runs_on.name in LADDERS

    @property
    def runs_on(self) -> Runtime:
        """The runtime that runs the variant."""
        return as_runtime("Recipe.runtime", self.runtime)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of the files of the variant."""
        if self.format is not None:
            return (f".{self.format}",)
        return self.runs_on.line.formats[:1]

    @property
    def as_onnx(self) -> Recipe:
        """The recipe of the ONNX file that a file in another format is converted from."""
        return dataclasses.replace(self, format=None)

    @property
    def is_baseline(self) -> bool:
        """Whether the variant is FP32, with which every variant is compared."""
        return self.precision == "fp32" and self.runs_on.is_reference and self.format is None

    @property
    def is_itself(self) -> bool:
        """Whether the variant is the FP32 file itself, run otherwise than FP32 is."""
        return self.traits.kind == ITSELF

    @property
    def is_unchanged(self) -> bool:
        """Whether nothing is quantized or rewritten, whatever file and runtime compute it."""
        return self.precision in ("fp32", "bf16")

    @property
    def is_static(self) -> bool:
        """Whether the recipe needs calibration data."""
        return self.traits.is_static

    @property
    def stores_weights(self) -> bool:
        """Whether the recipe changes only how weights are stored, not what is computed."""
        return self.traits.stores_weights

    @property
    def is_integer(self) -> bool:
        """Whether the recipe computes convolutions in integers."""
        return self.traits.is_integer

    @property
    def is_float(self) -> bool:
        """Whether the recipe computes only in floating point, so that outputs should not drift."""
        return self.traits.is_float


def runtimes_of(precision: str) -> tuple[str, ...]:
    """Names of the runtimes that a precision runs on."""
    if only := RECIPES[precision].runtimes:
        return only
    return tuple(
        name
        for name, line in RUNTIMES.items()
        if ".onnx" in line.formats or precision in LADDERS.get(name, {})
    )


def line_of(precision: str, runtime: Runtime) -> Precision:
    """The line of a table that says how a precision is made for a runtime."""
    return LADDERS.get(runtime.name, {}).get(precision) or RECIPES[precision]


def _runtime(precision: str, given: Runtime) -> Runtime:
    """The runtime of a precision, computing in the type that the precision says.

    Raises:
        SpecError: the precision cannot run there.
    """
    traits = line_of(precision, given)
    allowed = runtimes_of(precision)
    if given.name not in allowed:
        raise SpecError(
            f"Recipe({precision!r})",
            f"does not run on {given.name}",
            f"give runtime={' or '.join(map(repr, allowed))}",
        )
    if precision == "fp32" and given.computes != "float32":
        raise SpecError(
            "Recipe('fp32')",
            f"does not compute in {given.computes}",
            'give Recipe("bf16", runtime=...), or leave out computes=',
        )
    if traits.computes == "float32":
        return given
    return dataclasses.replace(given, computes=traits.computes)


def as_recipe(precision: str | Recipe, where: str = "precisions") -> Recipe:
    """Turn the name of a precision into its default recipe; a recipe stays as it is.

    Args:
        precision: the name or the recipe.
        where: the attribute or argument that holds it, for messages.

    Raises:
        SpecError: there is no such precision, or it has no default.
    """
    if isinstance(precision, Recipe):
        return precision
    name = coerce.scalar(precision)
    for runtime in RUNTIMES if isinstance(name, str) else ():
        start = name.removesuffix(f"-{runtime}")
        if len(start) < len(name) and start in RECIPES:
            remedy = f"give Recipe({start!r}, runtime={runtime!r})"
            raise SpecError(where, f"{coerce.shown(name)} is the label of a recipe", remedy)
    if not isinstance(name, str) or str.__str__(name) not in ("fp32", "mixed"):
        name = coerce.choice(where, name, [key for key in RECIPES if key not in ("fp32", "mixed")])
    if name == "mixed":
        raise SpecError(
            where,
            '"mixed" does not say which operators stay in FP32',
            'use Recipe("mixed", keep_fp32=...), or fallback = "mixed" to search for them',
        )
    return Recipe(name)


def on(precision: str, runtime: Runtime, format: FileFormat | None = None) -> Recipe:  # noqa: A002
    """The default recipe of a precision on a runtime, as a file of a format.

    What it leaves in floating point is computed in float32, whatever else runs there.
    """
    runtime = dataclasses.replace(runtime, computes="float32")
    return Recipe(precision, runtime=runtime, format=format)


FP32 = Recipe("fp32")
