"""What a gate file says: model, preprocessing, task, recipes and limits.

Everything here is a frozen, pure description. Nothing is read from disk and nothing heavy is
imported; values that can never work are refused on construction with `SpecError`.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from .errors import SpecError

StrPath = str | os.PathLike[str]
Precision = Literal["fp32", "fp16", "int8", "int8-dynamic", "mixed"]
CalibrationMethod = Literal["minmax", "moving-average", "percentile", "entropy"]


class Verdict(enum.StrEnum):
    """Outcome of a gate. INCONCLUSIVE means that the data cannot decide, not that it passed."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"

    @classmethod
    def worst(cls, verdicts: Sequence[Verdict]) -> Verdict:
        """Combine verdicts that must all hold. Nothing compared is INCONCLUSIVE, never a pass."""
        if not verdicts:
            return cls.INCONCLUSIVE
        for outcome in (cls.FAIL, cls.INCONCLUSIVE):
            if outcome in verdicts:
                return outcome
        return cls.PASS


@dataclass(frozen=True)
class Preprocess:
    """How image pixels become the model's input tensor.

    ``x = (pixel - mean) * scale`` with pixel in 0..255, then the layout is applied.

    Args:
        size: (height, width) of the model input in pixels.
        mean: subtracted from each pixel; one number, or one per channel in `channels` order.
        scale: multiplied afterwards; one number, or one per channel in `channels` order.
        channels: order of the colour channels that the model was trained with.
        layout: "NCHW" or "NHWC".
        resize: "bilinear" resizes images of another size (Pillow, antialiased); "none" refuses
            them, for data that must already be aligned.
    """

    size: tuple[int, int]
    mean: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    channels: Literal["RGB", "BGR", "GRAY"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    resize: Literal["bilinear", "none"] = "bilinear"

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not all(isinstance(s, int) and s > 0 for s in self.size):
            raise SpecError(
                "Preprocess.size",
                f"{self.size!r} is not (height, width)",
                "give two positive integers, such as (112, 112)",
            )
        _choice("Preprocess.channels", self.channels, ("RGB", "BGR", "GRAY"))
        _choice("Preprocess.layout", self.layout, ("NCHW", "NHWC"))
        _choice("Preprocess.resize", self.resize, ("bilinear", "none"))
        for name, value in (("mean", self.mean), ("scale", self.scale)):
            values = value if isinstance(value, tuple) else (value,)
            if len(values) not in (1, self.depth) or not all(map(math.isfinite, values)):
                raise SpecError(
                    f"Preprocess.{name}",
                    f"{value!r} does not fit {self.channels}",
                    f"give one finite number or a tuple of {self.depth}",
                )
        if 0 in (self.scale if isinstance(self.scale, tuple) else (self.scale,)):
            raise SpecError(
                "Preprocess.scale",
                "0 makes every image the same",
                "give the factor used in training, such as 1 / 127.5",
            )

    @property
    def depth(self) -> int:
        """Number of channels."""
        return 1 if self.channels == "GRAY" else 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of one input tensor, batch of one."""
        height, width = self.size
        if self.layout == "NCHW":
            return (1, self.depth, height, width)
        return (1, height, width, self.depth)


@dataclass(frozen=True)
class FaceVerification:
    """One-to-one comparison of faces: which images, which comparisons, which threshold.

    Args:
        data: evaluation images. A folder with one sub-folder per identity, or an ``.npz`` file
            with ``images`` (N x H x W x 3 uint8, RGB) and ``subjects`` (N).
        pairs: which comparisons to make. None compares every pair of images; otherwise an LFW
            ``pairs.txt`` (10 folds or a single list) or a CSV with the columns ``left``,
            ``right``, ``same`` and optionally ``left_subject``, ``right_subject``.
        max_impostor_pairs: with ``pairs=None``, draw at most this many impostor pairs (seeded).
        selection: identities on which the threshold is chosen and on which a fallback is searched.
            A share of the identities of `data` (0 < share < 1), which are then *not* used for
            evaluation, or the path of other images in the same format as `data`.
        selection_far: the threshold is the smallest whose upper bound of FAR on `selection` is
            below this rate; None means half of the limit. A threshold at the very limit would
            leave quantization no room and evaluation undecided half of the time.
        threshold: the production threshold (accept if score >= threshold), if there is one; it
            then replaces the choice on `selection`.
        output: name of the embedding, for a model with several outputs.
    """

    data: StrPath
    pairs: StrPath | None = None
    max_impostor_pairs: int | None = None
    selection: float | StrPath | None = None
    selection_far: float | None = None
    threshold: float | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.selection, (int, float)) and not 0 < self.selection < 1:
            raise SpecError(
                "FaceVerification.selection",
                f"{self.selection!r} is not a share",
                "give a number between 0 and 1, or the path of other images",
            )
        if self.threshold is None and self.selection is None:
            object.__setattr__(self, "selection", 0.5)
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise SpecError(
                "FaceVerification.threshold",
                f"{self.threshold!r} is no cosine",
                "give the production threshold, a cosine between -1 and 1",
            )
        if self.selection_far is not None and not 0 < self.selection_far < 1:
            raise SpecError(
                "FaceVerification.selection_far",
                f"{self.selection_far!r} is no rate",
                "give a share between 0 and 1: 0.05 % is 0.0005",
            )
        if self.max_impostor_pairs is not None and (
            self.pairs is not None or self.max_impostor_pairs < 1
        ):
            raise SpecError(
                "FaceVerification.max_impostor_pairs",
                "needs pairs=None and a positive number",
                "leave out one of `pairs` and `max_impostor_pairs`",
            )


@dataclass(frozen=True)
class Recipe:
    """How to derive a variant from the FP32 model.

    A plain string such as ``"int8"`` stands for ``Recipe("int8")``, the default recipe, which
    follows the CPU. Options that a precision does not have must stay at their default.

    Args:
        precision: "fp16", "int8" (static QDQ), "int8-dynamic" or "mixed" (static QDQ with some
            operators kept in FP32).
        name: label in test ids and in the table; defaults to the precision.
        activation_type: "uint8", "int8", "uint16" or "int16" (static only).
        weight_type: "int8", "uint8", "int16" or "uint16"; None chooses int8 for static and uint8
            for dynamic quantization.
        per_channel: one scale per output channel; None means True for static, False for dynamic.
        reduce_range: quantize weights to 7 bits, which prevents the 16-bit saturation of CPUs
            without VNNI; None decides by probing this CPU.
        calibration_method: how activation ranges are estimated (static only): "minmax",
            "moving-average" (mean over images of each image's extremes), "percentile", "entropy";
            None means "moving-average".
        percentile: share of values, in percent, inside the range for "percentile".
        keep_fp32: operators that stay in FP32: names of nodes, operator types, "first", "last".
        op_types: quantize only operators of these types; None means all that onnxruntime can.
    """

    precision: Precision
    name: str = ""
    activation_type: Literal["uint8", "int8", "uint16", "int16"] | None = None
    weight_type: Literal["int8", "uint8", "int16", "uint16"] | None = None
    per_channel: bool | None = None
    reduce_range: bool | None = None
    calibration_method: CalibrationMethod | None = None
    percentile: float | None = None
    keep_fp32: tuple[str, ...] = ()
    op_types: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _choice("Recipe.precision", self.precision, get_args(Precision))
        object.__setattr__(self, "name", self.name or self.precision)
        if isinstance(self.keep_fp32, str):
            object.__setattr__(self, "keep_fp32", (self.keep_fp32,))
        integer = ("int8", "uint8", "int16", "uint16")
        _choice("Recipe.activation_type", self.activation_type, (None, *integer))
        _choice("Recipe.weight_type", self.weight_type, (None, *integer))
        _choice(
            "Recipe.calibration_method",
            self.calibration_method,
            (None, *get_args(CalibrationMethod)),
        )
        allowed = _OPTIONS[self.precision]
        for option in dataclasses.fields(self):
            if option.name in ("precision", "name") or option.name in allowed:
                continue
            if getattr(self, option.name) != option.default:
                raise SpecError(
                    f"Recipe({self.precision!r})",
                    f"has no option {option.name!r}",
                    f"its options are {', '.join(allowed) or 'none'}",
                )
        if self.precision == "mixed" and not self.keep_fp32:
            raise SpecError(
                "Recipe('mixed')",
                "keep_fp32 is empty",
                'name operators, operator types, "first" or "last", or use "int8"',
            )
        if self.percentile is not None:
            if self.calibration_method != "percentile":
                raise SpecError(
                    "Recipe.percentile",
                    "is used by one calibration method only",
                    'add calibration_method="percentile"',
                )
            if not 50 < self.percentile <= 100:
                raise SpecError(
                    "Recipe.percentile",
                    f"{self.percentile!r} is not in (50, 100]",
                    "give a share in percent, such as 99.99",
                )

    @property
    def is_static(self) -> bool:
        """Whether the recipe needs calibration data."""
        return self.precision in ("int8", "mixed")


_STATIC = (
    "activation_type",
    "weight_type",
    "per_channel",
    "reduce_range",
    "calibration_method",
    "percentile",
    "keep_fp32",
    "op_types",
)
_OPTIONS: dict[str, tuple[str, ...]] = {
    "fp32": (),
    "fp16": ("keep_fp32",),
    "int8": _STATIC,
    "mixed": _STATIC,
    "int8-dynamic": ("weight_type", "per_channel", "reduce_range", "keep_fp32", "op_types"),
}


@dataclass(frozen=True)
class KycModel:
    """The FP32 model under test and what is needed to quantize and to evaluate it.

    Relative paths are looked up below pytest's rootdir, then beside the gate file.

    Args:
        path: the FP32 ONNX file; it is never changed.
        preprocess: how images become the input tensor.
        task: evaluation data and how to score it.
        calibration: folder of images (100 to 500) or ``.npz`` with ``images``, for static INT8.
        name: name of the golden file and of the rows in the table; default: the file's stem.
    """

    path: StrPath
    preprocess: Preprocess
    task: FaceVerification
    calibration: StrPath | None = None
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or Path(self.path).stem)
        if not isinstance(self.preprocess, Preprocess):
            raise SpecError(
                "KycModel.preprocess",
                f"{self.preprocess!r} is not a Preprocess",
                "give Preprocess(size=..., mean=..., scale=..., channels=...)",
            )
        if not isinstance(self.task, FaceVerification):
            raise SpecError(
                "KycModel.task", f"{self.task!r} is not a task", "give FaceVerification(...)"
            )
        if "/" in self.name or os.sep in self.name:
            raise SpecError(
                "KycModel.name",
                f"{self.name!r} is not a file name",
                "use letters, digits, '-', '_' and '.'",
            )


def limit(default: float | None, direction: Literal["below", "at least"], unit: str) -> Any:
    """Declare a limit with its direction, so that no gate can compare the wrong way round."""
    return field(default=default, metadata={"direction": direction, "unit": unit})


@dataclass(frozen=True)
class FaceLimits:
    """Limits of the face gates. Rates, ratios and sizes must stay below, cosines reach at least.

    Args:
        far: upper confidence bound of the false accept rate (NIST SP 800-63B rev 3: 0.1 %).
        frr: upper confidence bound of the false reject rate.
        far_degradation: upper bound of the paired increase of FAR against golden FP32.
        frr_degradation: the same for FRR.
        mean_cosine: lower bound of the mean cosine between embeddings and their FP32 embeddings.
        p1_cosine: lower bound of the first percentile of that cosine.
        fp16_min_cosine: smallest such cosine of an "fp16" variant, which has no excuse to drift.
        latency_ratio: upper bound of the paired latency ratio to FP32.
        latency_ms: upper bound of the 95th percentile latency of one image in milliseconds, if
            given. It is absolute: use it on a named machine only.
        size_ratio: file size relative to FP32.
        size_mb: file size in megabytes (10^6 bytes), if given.
    """

    far: float = limit(0.001, "below", "rate")
    frr: float = limit(0.05, "below", "rate")
    far_degradation: float = limit(0.0005, "below", "rate")
    frr_degradation: float = limit(0.01, "below", "rate")
    mean_cosine: float = limit(0.99, "at least", "cosine")
    p1_cosine: float = limit(0.97, "at least", "cosine")
    fp16_min_cosine: float = limit(0.999, "at least", "cosine")
    latency_ratio: float = limit(1.05, "below", "ratio")
    latency_ms: float | None = limit(None, "below", "ms")
    size_ratio: float = limit(0.75, "below", "ratio")
    size_mb: float | None = limit(None, "below", "MB")

    def __post_init__(self) -> None:
        for name in ("far", "frr", "far_degradation", "frr_degradation"):
            if not 0 < getattr(self, name) < 1:
                raise SpecError(
                    f"FaceLimits.{name}",
                    f"{getattr(self, name)!r} is no rate",
                    "give a share between 0 and 1: 0.1 % is 0.001",
                )
        for name in ("mean_cosine", "p1_cosine", "fp16_min_cosine"):
            if not -1 <= getattr(self, name) < 1:
                raise SpecError(
                    f"FaceLimits.{name}",
                    f"{getattr(self, name)!r} can never be met",
                    "give a cosine below 1, such as 0.99",
                )
        for name in ("latency_ratio", "latency_ms", "size_ratio", "size_mb"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SpecError(
                    f"FaceLimits.{name}", f"{value!r} can never be met", "give a positive number"
                )

    @classmethod
    def direction(cls, name: str) -> str:
        """Whether the limit `name` must stay "below" or "at least"."""
        return str(cls.__dataclass_fields__[name].metadata["direction"])


def as_recipe(precision: str | Recipe) -> Recipe:
    """Turn an entry of ``precisions`` into a recipe."""
    if isinstance(precision, Recipe):
        return precision
    if precision == "mixed":
        raise SpecError(
            "precisions",
            '"mixed" does not say which operators stay in FP32',
            'use Recipe("mixed", keep_fp32=...), or fallback = "mixed" to search them',
        )
    _choice("precisions", precision, [p for p in get_args(Precision) if p != "mixed"])
    return Recipe(precision)  # type: ignore[arg-type]


def _choice(where: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise SpecError(
            where, f"{value!r} is unknown", f"choose from {', '.join(repr(a) for a in allowed)}"
        )


FP32 = Recipe("fp32")
