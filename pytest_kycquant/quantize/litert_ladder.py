"""The precisions of LiteRT, made with litert-quantizer from a float ``.tflite`` file.

Static ranges and the correction of biases are ours; see `litert_ranges` and `litert_bias`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import QuantizationError, one_line
from .litert_bias import ChannelMeans, corrected, distance, reference, shifted
from .litert_file import LiteRtFile, broken_values, float_operators, quantized_counts
from .litert_layout import check_names, integer_operators, layout_of, not_kept, on_unlike
from .litert_ranges import extremes, histograms, least_error, statistics
from .recipe_kind import RecipeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..spec.recipe import Recipe
    from .litert_tensors import Feed
    from .recipe_kind import Draft, Request, Scalar

_HISTOGRAMS = 64  # images; their values are far more than the bins
_BIASES = 32
_FROM_SHAPES = ("FILL", "RANGE", "SHAPE")  # which compute nothing of an image
_ENDS = ("INPUT", "OUTPUT")


@dataclass(frozen=True)
class Calibration:
    """What images tell of the whole float file, whichever of its operators are quantized.

    Args:
        method: how the bounds were chosen.
        bounds: bounds of each tensor by its name.
        integer: names of the operators that have an integer form.
        shifts: what must be added to biases if some operators stay in float.
    """

    method: str
    bounds: Mapping[str, tuple[float, float]]
    integer: tuple[str, ...] = ()
    shifts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What a file is made from.

    Args:
        where: model and recipe, for messages.
        content: the float ``.tflite`` file.
        recipe: the recipe.
        count: number of calibration images; 0 if there are none.
        feeds: a function that gives those with these numbers one at a time, as float arrays by the
            names of the file's inputs.
        calibration: result of `Rung.calibrate` for this recipe and these images, if it is known.
    """

    where: str
    content: bytes
    recipe: Recipe
    count: int
    feeds: Callable[[Sequence[int]], Iterable[Feed]]
    calibration: Calibration | None = None

    def some(self, most: int) -> list[Feed]:
        """Some evenly spread calibration images."""
        return list(self.feeds(spread(self.count, most)))


@dataclass(frozen=True)
class Made:
    """A ``.tflite`` file that was made; see `quantize.built.Built`.

    Args:
        broken: names of constants that have NaN or Inf.
    """

    content: bytes
    resolved: dict[str, Scalar]
    quantized: dict[str, int]
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


class Kept(NamedTuple):
    """What stays in float.

    Args:
        scopes: a regular expression that finds the operators; "" for none.
        weights: one that finds those whose weights are stored in fewer bits.
        stored: the type that they are stored in.
        ends: which ends of the file stay in float: "INPUT", "OUTPUT".
    """

    scopes: str = ""
    weights: str = ""
    stored: str = "float32"
    ends: tuple[str, ...] = ()


class Rung(RecipeKind):
    """One precision of LiteRT.

    Args:
        recipe: name of the function of ``litert_quantizer.recipe`` that names its configuration; ""
            leaves the float file as it is, and "float16" stores weights in float16.
        bits: bits of the activations if they have static ranges; 0 if not.
    """

    def __init__(self, recipe: str = "", bits: int = 0) -> None:
        self.name = recipe
        self.bits = bits

    def make(self, request: Request) -> Draft:
        """Refuse to make an ONNX model.

        Raises:
            QuantizationError: always.
        """
        raise QuantizationError(
            request.where, "LiteRT's files are not made from ONNX graphs", "use it in a gate class"
        )

    def build(self, task: Task) -> Made:
        """Make the file.

        Raises:
            QuantizationError: litert-quantizer cannot make it, it changes nothing, or operators
                stay in floating point although the recipe forbids it.
        """
        recipe = task.recipe
        facts: dict[str, Scalar] = {"precision": recipe.precision}
        if not self.name:
            broken = broken_values(LiteRtFile(task.content, task.where))
            return Made(task.content, facts, {}, broken=broken)
        check_names(task.content, task.where)
        facts["quantizer"] = f"litert-quantizer {version('litert-quantizer')}, {self.name}"
        known = None
        if self.bits:
            known = task.calibration or self.calibrate(task)
            facts["float_fallback"] = recipe.float_fallback is not False
            facts["calibration_method"] = known.method
        if recipe.precision == "mixed":
            assert known is not None
            return self._mixed(task, known, facts)
        (_, unlike), names = self._apart(task, known)
        kept = self._kept(task, names)
        content = self._apply(task, known, kept)
        if task.count and self.name != "float16":
            content, changed = corrected(task.content, content, task.some(_BIASES), task.where)
            facts["bias_correction"] = changed > 0
        elif self.name != "float16":
            facts["bias_correction"] = False
        file = LiteRtFile(content, task.where)
        counts = quantized_counts(file)
        if not counts:
            raise QuantizationError(
                task.where, "litert-quantizer left every operator as it is",
                "the model has no operators that this precision changes; leave it out",
            )  # fmt: skip
        notes = self._notes(file, recipe, task.where, names)
        if self.bits:
            facts["integer_io"] = _integer_io(kept.ends)
            notes += on_unlike(unlike, names)
        return Made(content, facts, counts, notes, broken_values(file))

    def calibrate(self, task: Task) -> Calibration:
        """Find out what a static recipe must know of the images; it takes several runs of each."""
        content, where = task.content, task.where
        check_names(content, where)
        bounds = extremes(content, task.feeds(range(task.count)), where)
        known = Calibration("minmax", bounds)
        if self.bits > 8:
            return known
        means = ChannelMeans(content, where)
        counts = histograms(
            content, task.feeds(spread(task.count, _HISTOGRAMS)), bounds, where, means.see
        )
        graph = LiteRtFile(content, where).graphs[0]
        ends = [graph.tensors[at].name for at in (*graph.inputs, *graph.outputs)]
        tighter = Calibration("mse", least_error(bounds, counts, ends))
        some = task.some(_BIASES)
        wanted = reference(content, some, where)
        whole = self._kept(task, self._apart(task, known)[1])
        both = [(each, self._apply(task, each, whole)) for each in (known, tighter)]
        # Of equals, the first: with its extremes.
        best, made = min(both, key=lambda each: distance(each[1], some, wanted, where))
        file = LiteRtFile(made, where)
        return replace(best, integer=integer_operators(file.graphs[0]), shifts=means.shifts(file))

    def only(self, task: Task, known: Calibration, names: Collection[str]) -> bytes:
        """The file with only these operators quantized, without checking it."""
        layout = layout_of(task.content)
        others = [name for name in layout.kinds if name not in names]
        kept = Kept(layout.scopes(others), ends=_ENDS)
        file = LiteRtFile(self._apply(task, known, kept), task.where)
        shifted(file, known.shifts, others)
        return file.content()

    def _mixed(self, task: Task, known: Calibration, facts: dict[str, Scalar]) -> Made:
        """Keep some operators in float; what is known of the images is that of the whole file."""
        recipe, where = task.recipe, task.where
        layout = layout_of(task.content)
        asked = layout.resolve(recipe.keep_fp32, where)
        (join, unlike), tail = self._apart(task, known)
        names = layout.with_followers({*asked, *tail})
        if not set(known.integer).difference(names):
            raise QuantizationError(
                where, "nothing in the model was quantized", "keep fewer operators in FP32"
            )
        stored = [] if recipe.float_weights in (None, "float32") else layout.weighted
        kept = self._kept(task, names)._replace(
            weights=layout.scopes(set(stored).intersection(names)) if stored else "",
            stored=recipe.float_weights or "float32",
        )
        file = LiteRtFile(self._apply(task, known, kept), where)
        if wrong := not_kept(file.graphs[0], names):
            raise QuantizationError(
                where, f"{layout.kinds[wrong[0]]} {wrong[0]!r} was not kept in FP32",
                "report this as a bug",
            )  # fmt: skip
        facts["keep_fp32"] = ", ".join(recipe.keep_fp32)
        facts["float_weights"] = kept.stored
        facts["integer_io"] = _integer_io(kept.ends)
        facts["biases_corrected"] = shifted(file, known.shifts, names)
        notes = self._notes(file, recipe, where, names)
        if tail or join not in names:  # else the user keeps it
            notes += on_unlike(unlike, tail)
        broken, counts = broken_values(file), quantized_counts(file)
        return Made(file.content(), facts, counts, notes, broken)

    def _apart(
        self, task: Task, known: Calibration | None
    ) -> tuple[tuple[str, str], tuple[str, ...]]:
        """What cannot share a scale, and which operators stay in float for it."""
        if known is None or self.bits > 8:
            return ("", ""), ()
        layout = layout_of(task.content)
        unlike = layout.unlike(known.bounds)
        return unlike, layout.tail if unlike[0] and not _integer_end(task.recipe) else ()

    def _kept(self, task: Task, names: Collection[str]) -> Kept:
        """Operators that stay in float, and the ends of the file that then do, too."""
        layout, ends = layout_of(task.content), _ends(task.recipe)
        if task.recipe.integer_io is None:
            both = zip(_ENDS, layout.float_ends(names), strict=True)
            ends = tuple(end for end, stays in both if stays)
        return Kept(layout.scopes(names) if names else "", ends=ends)

    def _notes(
        self, file: LiteRtFile, recipe: Recipe, where: str, kept: Collection[str] = ()
    ) -> tuple[str, ...]:
        if not self.bits:
            return ()
        left = float_operators(file, kept)
        if not left:
            return ()
        if recipe.float_fallback is False:
            more = f" and {len(left) - 8} more" if len(left) > 8 else ""
            listed = ", ".join(f"{one.name} ({one.kind})" for one in left[:8]) + more
            raise QuantizationError(
                where,
                f"{len(left)} operators have no integer form in litert-quantizer: {listed}",
                "replace them in the model, or give float_fallback=True",
            )
        counts = Counter(one.kind for one in left if one.kind not in _FROM_SHAPES)
        if not counts:
            return ()
        listed = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
        return (f"compute in floating point: {listed}",)

    def _apply(self, task: Task, known: Calibration | None, kept: Kept) -> bytes:
        """What litert-quantizer makes of the float file."""
        with _library_errors(task.where):
            from litert_quantizer import quantizer

            made = quantizer.Quantizer(task.content)
            made.load_quantization_recipe(self._configuration(kept))
            ranges = None if known is None else statistics(task.content, known.bounds)
            result = made.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
            return bytes(result.quantized_model)

    def _configuration(self, kept: Kept) -> list[dict[str, Any]]:
        from litert_quantizer import qtyping, recipe_manager
        from litert_quantizer import recipe as recipes
        from litert_quantizer.algorithm_manager import AlgorithmName

        manager = recipe_manager.RecipeManager()
        if self.name == "float16":
            stored = qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            )
            config = qtyping.OpQuantizationConfig(
                weight_tensor_config=stored,
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            )
            for name in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE"):
                manager.add_quantization_config(
                    ".*", qtyping.TFLOperationName(name), config, AlgorithmName.FLOAT_CASTING
                )
        else:
            manager.load_quantization_recipe(getattr(recipes, self.name)())
            # LiteRT's integer kernel of this operator knows one scale only. It takes the first of
            # several for all channels, and its outputs are wrong.
            matrix, whole = (
                qtyping.TFLOperationName.BATCH_MATMUL,
                qtyping.QuantGranularity.TENSORWISE,
            )
            if self.bits:
                manager.add_static_config(".*", matrix, self.bits, 8, whole)
            elif self.name.startswith("dynamic"):
                manager.add_dynamic_config(".*", matrix, 8, whole)
        # Of several entries that match an operator, the last is used. Expressions are the keys of
        # entries, so those that find the same operators are written differently.
        nothing, every = AlgorithmName.NO_QUANTIZE, qtyping.TFLOperationName.ALL_SUPPORTED
        if kept.scopes:
            manager.add_quantization_config(kept.scopes, every, None, nothing)
        if kept.weights and kept.stored == "int8":
            manager.add_weight_only_config(f"(?:{kept.weights})", every, 8)
        elif kept.weights:
            manager.add_weight_only_config(
                f"(?:{kept.weights})", every, 16, algorithm_key=AlgorithmName.FLOAT_CASTING
            )
        for name in _ENDS if self.bits else ():
            end = qtyping.TFLOperationName(name)
            if name in kept.ends:
                manager.add_quantization_config("^", end, None, nothing)
            else:  # an end has the scope of the operator that writes it
                manager.add_static_config("^", end, self.bits, 8)
        found: list[dict[str, Any]] = manager.get_quantization_recipe()
        return found


def spread(count: int, most: int) -> list[int]:
    """Numbers of at most so many evenly spread images."""
    number = min(count, most)
    return sorted({int(at) for at in np.linspace(0, count - 1, number)}) if number else []


def _ends(recipe: Recipe) -> tuple[str, ...]:
    return _ENDS if recipe.integer_io is False else ()


def _integer_end(recipe: Recipe) -> bool:
    """Whether a recipe asks for integers up to the outputs."""
    return recipe.integer_io is True or recipe.float_fallback is False


def _integer_io(ends: tuple[str, ...]) -> Scalar:
    """What a report says of the ends of a file, of which these are in float."""
    return {0: True, 2: False}.get(len(ends), f"not {''.join(ends).lower()}s")


@contextlib.contextmanager
def _library_errors(where: str) -> Iterator[None]:
    """Turn exceptions of litert-quantizer into our error; what it prints is for its own users."""
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise QuantizationError(
            where,
            f"litert-quantizer cannot apply the recipe ({type(error).__name__}: {one_line(error)})",
            "use another precision",
        ) from error


FLOAT = Rung()
HALF = Rung("float16")
STATIC = Rung("static_wi8_ai8", 8)
STATIC16 = Rung("static_wi8_ai16", 16)
DYNAMIC = Rung("dynamic_wi8_afp32")
EIGHT_BITS = Rung("weight_only_wi8_afp32")
FOUR_BITS = Rung("weight_only_wi4_afp32")
