"""The interface of every kind of recipe, and all that `builder.py` knows of their modules.

Each line of `spec.recipe.RECIPES` names an instance of a subclass of `RecipeKind`. Nothing else
makes variants of a precision; the fallback and the search name the few precisions that they use.
"""

from __future__ import annotations

import contextlib
import pkgutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..errors import QuantizationError, one_line
from .graph import WEIGHTED, has_subgraphs, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto

    from ..runtimes.feeding import Sample
    from ..spec.recipe import CalibrationMethod, Recipe
    from ..spec.runtime import Runtime
    from .mixed import FullyQuantized
    from .preparation import PreparedModel
    from .ranges import Ranges

Scalar = str | int | float | bool | None


class Machine(NamedTuple):
    """Properties of the CPU and of the run that a recipe may follow.

    Args:
        saturates: whether the CPU's 8-bit kernels saturate (`runtimes.environment.u8s8_saturates`).
        exact: whether the variant will nevertheless be run without saturation
            (`runtimes.ort.EXACT_ENTRY`).
    """

    saturates: bool
    exact: bool = False


class Draft(NamedTuple):
    """Result of a kind of recipe, before it is checked.

    Args:
        proto: the model; its operators need not be sorted.
        notes: notes for the report, as in `Built`.
        facts: values to add to the resolved options.
    """

    proto: ModelProto
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Scalar] = {}


@dataclass(frozen=True)
class Request:
    """One recipe, resolved for one model.

    Args:
        where: model and recipe, for messages.
        recipe: the recipe.
        options: all options, resolved.
        source: graph to start from, after any rewrites; it must not be changed.
        kept: names of the operators kept in FP32, before any rewrite.
        op_types: operator types to quantize.
        ranges: ranges of the activations; None if the kind does not need any.
        means: means as in `ChannelStatistics`, for bias correction; empty without it.
        images: images to measure the shift from quantized activations on.
        whole: result of `RecipeKind.quantize_whole` for the same model, to derive from; None makes
            it.
    """

    where: str
    recipe: Recipe
    options: dict[str, Scalar]
    source: PreparedModel
    kept: tuple[str, ...]
    op_types: tuple[str, ...]
    ranges: Ranges | None = None
    means: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    images: Sequence[Sample] = ()
    whole: FullyQuantized | None = None

    @property
    def kept_parts(self) -> tuple[str, ...]:
        """Names of the operators of `source` that are kept in FP32."""
        return tuple(part for name in self.kept for part in self.source.parts.get(name, (name,)))

    @property
    def excluded(self) -> tuple[str, ...]:
        """Names of these operators and of those that rewrites added, which also stay in FP32."""
        return tuple(dict.fromkeys((*self.kept_parts, *self.source.added)))


class RecipeKind:
    """One way to make a variant; the defaults suit a recipe without images."""

    any_images = False
    """Whether ranges may come from any few images if there are no calibration images."""

    def options(self, recipe: Recipe, machine: Machine) -> tuple[dict[str, Scalar], str]:
        """Resolve the options specific to this kind, and give the reason that reports show."""
        return {}, ""

    def calibration(self, recipe: Recipe) -> tuple[CalibrationMethod, float | None] | None:
        """Method and percentile of the ranges that a recipe needs; None if it does not need any."""
        return None

    def equalizes(self, recipe: Recipe) -> bool:
        """Whether a recipe asks to start from the equalized model."""
        return False

    def operator_types(self, present: Sequence[str]) -> tuple[str, ...]:
        """Operator types to change if the recipe does not name any.

        Args:
            present: operator types of the model, sorted.
        """
        return tuple(present)

    def whole(self, recipe: Recipe) -> Recipe | None:
        """Fully quantized recipe whose result this one is derived from; None if there is none.

        Recipes that are derived from the same recipe share its result.
        """
        return None

    def quantize_whole(self, request: Request) -> FullyQuantized:
        """Quantize every operator that can be quantized, whatever the recipe keeps in FP32."""
        raise NotImplementedError

    def make(self, request: Request) -> Draft:
        """Make the variant; an exception from a library becomes a QuantizationError."""
        raise NotImplementedError

    def changed(self, proto: ModelProto, source: PreparedModel) -> set[str]:
        """Names of the operators that were changed.

        Args:
            proto: the result.
            source: model that the result was made from.
        """
        raise NotImplementedError

    def must_change(self, node: NodeProto, weights: Mapping[str, TensorProto]) -> bool:
        """Whether to reject the result if this operator was to be changed but was not.

        Args:
            node: operator of the model, before any rewrite.
            weights: initializers of the model, by name.
        """
        return node.op_type in WEIGHTED

    def notes(
        self, model: PreparedModel, content: bytes, counts: Mapping[str, int], runtime: Runtime
    ) -> tuple[str, ...]:
        """What a reader of a report should know about the result.

        Args:
            model: the FP32 model.
            content: the result.
            counts: number of operators that were changed, by type.
            runtime: the runtime that runs the result.
        """
        if has_subgraphs(model.proto.graph):
            return ("operators within subgraphs (If, Loop) stay in FP32",)
        return ()


class Itself(RecipeKind):
    """FP32: there is nothing to make."""

    def make(self, request: Request) -> Draft:
        """Refuse to make a variant.

        Raises:
            QuantizationError: always.
        """
        raise QuantizationError(request.where, "FP32 is the model itself", "do not build it")


ITSELF = Itself()


def kind_of(recipe: Recipe) -> RecipeKind:
    """Load the kind of a recipe."""
    kind: RecipeKind = pkgutil.resolve_name(recipe.traits.kind)
    return kind


@contextlib.contextmanager
def library_errors(where: str) -> Iterator[None]:
    """Turn exceptions from onnxruntime's quantizers into our error, and silence their log."""
    try:
        with quiet():
            yield
    except QuantizationError:
        raise
    except Exception as error:
        raise QuantizationError(
            where,
            f"onnxruntime cannot apply the recipe ({type(error).__name__}: {one_line(error)})",
            "keep the operator in FP32 (keep_fp32), or quantize fewer types (op_types)",
        ) from error
