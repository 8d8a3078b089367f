"""The precisions of LiteRT, made with litert-quantizer from a float ``.tflite`` file.

Static ranges and the correction of biases are ours; see `litert_ranges` and `litert_bias`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import QuantizationError, one_line
from .litert_bias import corrected, distance, reference
from .litert_file import LiteRtFile, float_operators, quantized_counts
from .litert_ranges import extremes, histograms, least_error
from .recipe_kind import RecipeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..spec.recipe import Recipe
    from .litert_ranges import Bounds
    from .litert_tensors import Feed
    from .recipe_kind import Draft, Request, Scalar

_HISTOGRAMS = 64  # images; their values are far more than the bins
_BIASES = 32
_ENDS = ("INPUT", "OUTPUT")


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
    """

    where: str
    content: bytes
    recipe: Recipe
    count: int
    feeds: Callable[[Sequence[int]], Iterable[Feed]]

    def some(self, most: int) -> list[Feed]:
        """Some evenly spread calibration images."""
        return list(self.feeds(spread(self.count, most)))


@dataclass(frozen=True)
class Made:
    """A ``.tflite`` file that was made; see `quantize.built.Built`."""

    content: bytes
    resolved: dict[str, Scalar]
    quantized: dict[str, int]
    notes: tuple[str, ...] = ()


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
            return Made(task.content, facts, {})
        facts["quantizer"] = f"litert-quantizer {version('litert-quantizer')}, {self.name}"
        content = self._static(task, facts) if self.bits else self._apply(task, None)
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
        return Made(content, facts, counts, self._notes(file, recipe, task.where))

    def _notes(self, file: LiteRtFile, recipe: Recipe, where: str) -> tuple[str, ...]:
        if not self.bits:
            return ()
        left = float_operators(file)
        if not left:
            return ()
        listed = ", ".join(left[:8]) + (f" and {len(left) - 8} more" if len(left) > 8 else "")
        if recipe.float_fallback is False:
            raise QuantizationError(
                where,
                f"{len(left)} operators have no integer form in litert-quantizer: {listed}",
                "replace them in the model, or give float_fallback=True",
            )
        return (f"{len(left)} operators compute in floating point: {listed}",)

    def _static(self, task: Task, facts: dict[str, Scalar]) -> bytes:
        facts["integer_io"] = task.recipe.integer_io is not False
        facts["float_fallback"] = task.recipe.float_fallback is not False
        bounds = extremes(task.content, task.feeds(range(task.count)), task.where)
        whole = self._apply(task, bounds)
        facts["calibration_method"] = "minmax"
        if self.bits > 8:
            return whole
        seen = task.feeds(spread(task.count, _HISTOGRAMS))
        counts = histograms(task.content, seen, bounds, task.where)
        graph = LiteRtFile(task.content, task.where).graphs[0]
        ends = [graph.tensors[at].name for at in (*graph.inputs, *graph.outputs)]
        clipped = self._apply(task, least_error(bounds, counts, ends))
        some = task.some(_BIASES)
        wanted = reference(task.content, some, task.where)
        if distance(clipped, some, wanted, task.where) >= distance(whole, some, wanted, task.where):
            return whole
        facts["calibration_method"] = "mse"
        return clipped

    def _apply(self, task: Task, bounds: Bounds | None) -> bytes:
        """What litert-quantizer makes of the float file."""
        with _library_errors(task.where):
            from litert_quantizer import quantizer

            made = quantizer.Quantizer(task.content)
            made.load_quantization_recipe(self._configuration(task.recipe))
            known = None if bounds is None else _statistics(task.content, bounds, task.where)
            result = made.quantize(known, enable_progress_bar=False, enable_progress_report=False)
            return bytes(result.quantized_model)

    def _configuration(self, recipe: Recipe) -> list[dict[str, Any]]:
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
        if recipe.integer_io is False:
            for name in _ENDS:
                manager.add_quantization_config(
                    ".*", qtyping.TFLOperationName(name), None, AlgorithmName.NO_QUANTIZE
                )
        found: list[dict[str, Any]] = manager.get_quantization_recipe()
        return found


def spread(count: int, most: int) -> list[int]:
    """Numbers of at most so many evenly spread images."""
    number = min(count, most)
    return sorted({int(at) for at in np.linspace(0, count - 1, number)}) if number else []


def _statistics(content: bytes, bounds: Bounds, where: str) -> dict[str, Any]:
    """Ranges as litert-quantizer takes them: arrays of as many dimensions as the tensor.

    Those of constants are left out: litert-quantizer would take them in place of the ranges of each
    channel.
    """
    file = LiteRtFile(content, where)
    ranks = {
        tensor.name: len(tensor.shape)
        for graph in file.graphs
        for tensor in graph.tensors
        if not file.is_constant(tensor)
    }
    return {
        name: {
            "min": np.full((1,) * ranks[name], low, np.float32),
            "max": np.full((1,) * ranks[name], high, np.float32),
        }
        for name, (low, high) in bounds.items()
        if name in ranks
    }


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
