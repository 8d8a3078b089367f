"""Lines of the table of precisions, and those of runtimes that have files of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .runtime import Computes


class Refusal(NamedTuple):
    """Values of an option that make no sense for a precision.

    Args:
        option: name of the option.
        values: the values that are refused.
        problem: what is wrong with these values.
        remedy: what to do about it.
    """

    option: str
    values: tuple[Any, ...]
    problem: str
    remedy: str


class Precision(NamedTuple):
    """One way to make a variant: a line of `RECIPES`.

    Args:
        kind: location, ``module:attribute``, of the `RecipeKind` that makes the variant. The module
            is loaded when a recipe of this precision is used.
        options: names of the options of `Recipe` that this precision has.
        is_static: whether it quantizes activations with ranges from calibration images.
        is_integer: whether it computes convolutions in integers.
        stores_weights: whether it changes only how weights are stored, not what is computed.
        is_float: whether it computes only in floating point, so that its outputs should not drift.
        refuses: values of its options that are refused.
        runtimes: names of the runtimes that its variants may run on, lines of `RUNTIMES`; empty for
            all that open ONNX files.
        computes: type in which its float operators compute.
    """

    kind: str
    options: tuple[str, ...] = ()
    is_static: bool = False
    is_integer: bool = False
    stores_weights: bool = False
    is_float: bool = False
    refuses: tuple[Refusal, ...] = ()
    runtimes: tuple[str, ...] = ()
    computes: Computes = "float32"


NOTHING_KEPT = Refusal(
    "keep_fp32",
    ((),),
    "keep_fp32 is empty",
    'name operators, operator types, "first" or "last", or use "int8"',
)
_LITERT = "pytest_kycquant.quantize.litert_ladder"
_ONLY_LITERT = ("litert",)

LADDERS: Mapping[str, Mapping[str, Precision]] = {
    "litert": {
        "fp32": Precision(f"{_LITERT}:FLOAT", is_float=True, runtimes=_ONLY_LITERT),
        "fp16": Precision(f"{_LITERT}:HALF", is_float=True, runtimes=_ONLY_LITERT),
        "int8": Precision(
            f"{_LITERT}:STATIC",
            ("integer_io", "float_fallback"),
            is_static=True,
            is_integer=True,
            runtimes=_ONLY_LITERT,
        ),
        "int16x8": Precision(
            f"{_LITERT}:STATIC16",
            ("integer_io", "float_fallback"),
            is_static=True,
            is_integer=True,
            runtimes=_ONLY_LITERT,
        ),
        "mixed": Precision(
            f"{_LITERT}:STATIC",
            ("keep_fp32", "float_weights", "integer_io", "float_fallback"),
            is_static=True,
            is_integer=True,
            refuses=(
                NOTHING_KEPT,
                Refusal(
                    "float_fallback",
                    (False,),
                    "keeps operators in floating point",
                    'leave out float_fallback, or use "int8"',
                ),
            ),
            runtimes=_ONLY_LITERT,
        ),
        "int8-dynamic": Precision(f"{_LITERT}:DYNAMIC", is_integer=True, runtimes=_ONLY_LITERT),
        "int8-weights": Precision(
            f"{_LITERT}:EIGHT_BITS", stores_weights=True, runtimes=_ONLY_LITERT
        ),
        "int4-weights": Precision(
            f"{_LITERT}:FOUR_BITS", stores_weights=True, runtimes=_ONLY_LITERT
        ),
    }
}
"""Precisions by runtime, for runtimes whose files are not made from ONNX graphs.

A line here replaces that of `RECIPES` of the same name.
"""
