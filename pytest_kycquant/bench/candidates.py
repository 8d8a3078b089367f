"""What a search for mixed precision asks of whoever makes the files of a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..quantize import Quantizer
from ..quantize.search import Block
from ..runtimes import OpenModel, library
from ..spec.recipe import Recipe


class Candidates(Protocol):
    """Operators of one file, by the names that recipes keep in FP32."""

    def operators(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators with weights that a recipe quantizes, in topological order."""

    def blocks(self, recipe: Recipe) -> tuple[Block, ...]:
        """Blocks of those operators, each with its followers that the recipe also quantizes."""

    def postprocessing(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators behind the last weights that a recipe would quantize."""

    def alone(self, recipe: Recipe, names: Sequence[str]) -> OpenModel:
        """The file with only these operators quantized, opened to be run as FP32 is.

        Raises:
            QuantizationError: that is impossible.
        """

    def origin(self, recipe: Recipe) -> Any:
        """Plain values that, with the FP32 file, determine what candidates are made from."""


class OnnxCandidates:
    """Candidates that are ONNX files; see `Candidates`.

    Args:
        quantizer: the quantizer of the file.
        exact: whether they are run without saturation.
    """

    def __init__(self, quantizer: Quantizer, exact: bool) -> None:
        self._quantizer, self._exact = quantizer, exact
        self.operators = quantizer.operators
        self.blocks = quantizer.blocks
        self.postprocessing = quantizer.postprocessing

    def alone(self, recipe: Recipe, names: Sequence[str]) -> OpenModel:
        """The file with only these operators quantized."""
        graph = self._quantizer.prepared.proto.graph
        others = [node.name for node in graph.node if node.name not in names]
        content = self._quantizer.candidate(recipe, others)
        return library(recipe.runs_on).open(content, exact=self._exact)

    def origin(self, recipe: Recipe) -> Any:
        """Names of the rewrites that candidates start from."""
        return self._quantizer.choice(recipe).names
