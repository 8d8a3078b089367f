"""The entry point of the quantizer: makes any recipe from one model and its images.

`steps.py` defines the order of the steps. Each result is made once and kept, in memory or in the
store of the context, under everything that it depends on. Recipes share the steps that they have in
common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..context import Context
from ..context.scratch import scratch_context
from ..errors import SpecError
from ..plain import plain
from ..runtimes import library
from ..runtimes.environment import u8s8_saturates
from ..runtimes.feeding import arrays_of
from ..spec import coerce
from ..spec.constants import constants_of
from ..spec.recipe import FP32, Recipe, as_recipe
from .activation_bias import shift_images
from .blocks import blocks_of
from .channels import channel_images
from .feeds import fed
from .graph import serialize
from .images import Chosen, HeldImages, Images, TensorImages
from .mixed import keep_in_float
from .preparation import operators, postprocessing
from .ranges import range_images
from .recipe_kind import Machine, kind_of
from .sensitivity import sensitivity_images
from .static import static_types
from .steps import STEP, Held, Plan, Sees, Step, facts_of, sees_calibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..runtimes.feeding import Sample
    from .builder import Ingredients
    from .built import Built
    from .load import LoadedModel
    from .model_inputs import Shape
    from .preparation import PreparedModel
    from .rewrite_choice import RewriteChoice
    from .search import Block

    GivenImages: TypeAlias = Images | Iterable[NDArray[Any] | tuple[str, NDArray[Any]]]

_STREAMED: Mapping[Sees, Callable[[int], Sequence[int]]] = {
    Sees.CALIBRATION: range,
    Sees.CHANNELS: channel_images,
    Sees.RANGES: range_images,
    Sees.SENSITIVITY: sensitivity_images,
}
"""Which of the calibration images a step is given one at a time, by their number."""
PROBES = 8  # images that verify graphs and rank operators; more do not improve the ranking


class Quantizer:
    """One FP32 model with its images; makes the variants that recipes describe.

    ::

        quantizer = Quantizer("model.onnx", images)  # preprocessed: float32, [1, 3, 112, 112]
        content = quantizer.build("int8").content

    Args:
        model: the FP32 ONNX file.
        images: preprocessed calibration images: tensors of the model's input shape, or (name,
            tensor) pairs; `Images`, which makes them on demand; or a function without arguments
            that returns any of these, called on first use. None if there are no images.
        probes: a few images to verify graphs with, in any of the same forms; None takes 8 of the
            calibration images.
        shape: shape of the tensor of one image, (1, ...), which the model's input must fit; None
            takes the shape of the first probe. Shapes by the names of the inputs mean that samples
            are arrays by these names, such as two images or the ids of tokens.
        constants: value of each input that never changes, by its name.
        context: where results are kept, and how work is done; None keeps them with this object.
        title: name of the model in progress lines; None takes the name of the file.
        facts: plain values that, together with the images, determine the inputs of the model.
    """

    def __init__(
        self,
        model: Path | str,
        images: GivenImages | Callable[[], GivenImages | None] | None = None,
        *,
        probes: GivenImages | Callable[[], GivenImages] | None = None,
        shape: Shape | Mapping[str, Shape] | None = None,
        constants: Mapping[str, Any] | None = None,
        context: Context | None = None,
        title: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = Path(coerce.path("model", model, "give an .onnx file"))
        self._given = images
        self._given_probes = probes
        self._shape = None if shape is None else _sample_shape(shape)
        self._constants = constants_of({} if constants is None else constants, "constants")
        if context is not None and not isinstance(context, Context):
            problem = f"{coerce.shown(context)} is not a Context"
            raise SpecError("context", problem, "leave it out")
        self._context = scratch_context() if context is None else context
        if facts is not None and not isinstance(facts, Mapping):
            raise SpecError("facts", f"{coerce.shown(facts)} is not a mapping", "give a dict")
        self._title = ("" if title is None else coerce.label("title", title)) or self._path.name
        self._facts = dict(facts or {})
        self._results: dict[tuple[Any, ...], Any] = {}

    @property
    def loaded(self) -> LoadedModel:
        """The FP32 file, checked.

        Raises:
            ModelError: the model cannot be quantized, or its input does not fit the images.
        """
        found: LoadedModel = self.result("check")
        return found

    @property
    def prepared(self) -> PreparedModel:
        """The FP32 graph that recipes start from, verified on the probes."""
        found: PreparedModel = self.result("prepare")
        return found

    def choice(self, recipe: str | Recipe) -> RewriteChoice:
        """The rewrites of the FP32 graph that a recipe starts from.

        The faster rewrites are measured once, with nothing else running, and kept.
        """
        found: RewriteChoice = self.result("choose", recipe)
        return found

    def ingredients(self, recipe: str | Recipe) -> Ingredients:
        """All that a recipe is built from."""
        found: Ingredients = self.result("ingredients", recipe)
        return found

    def build(self, recipe: str | Recipe) -> Built:
        """Make the variant that a recipe describes.

        Raises:
            QuantizationError: the recipe cannot be applied to this model.
            SpecError: the recipe needs calibration images, and there are none.
            ModelError, DataError: the model or an image cannot be used.
        """
        found: Built = self.result("build", recipe)
        return found

    def candidate(self, recipe: str | Recipe, keep: Sequence[str]) -> bytes:
        """Make a static recipe that keeps some operators in FP32, without checking the result.

        Args:
            recipe: static recipe; the operators that it keeps itself do not count.
            keep: names of the operators to keep in FP32.

        Returns:
            The serialized model.

        Raises:
            QuantizationError: the candidate cannot be made.
        """
        whole = self.result("whole", recipe)
        if whole is not None:
            return serialize(keep_in_float(whole, keep))
        return self.build(
            replace(as_recipe(recipe, "recipe"), precision="mixed", keep_fp32=tuple(keep))
        ).content

    def result(self, step: str, recipe: str | Recipe = "fp32") -> Any:
        """Carry out one step of `steps.STEPS` and the earlier steps that it needs.

        Args:
            step: name of the step.
            recipe: recipe to carry the step out for; ignored by steps that do not depend on it.

        Raises:
            KycquantError: the step fails.
        """
        plan = self._plan(as_recipe(recipe, "recipe"))
        if sees_calibration(step):
            self._require_images(plan)
        if "rewritten" in facts_of(step):
            plan = plan.with_rewrites(self._made("choose", plan).names)
        return self._made(step, plan)

    # Images

    def lacks_images(self, recipe: str | Recipe) -> bool:
        """Whether a recipe cannot be made because there are no calibration images."""
        return self._lacks_images(self._plan(as_recipe(recipe, "recipe")))

    def images_digest(self, recipe: str | Recipe) -> str | None:
        """Digest of the images that a recipe depends on; None if it depends on none."""
        plan = self._plan(as_recipe(recipe, "recipe"))
        return self._ranging.digest if plan.uses_images else None

    @cached_property
    def _calibration(self) -> Images | None:
        return _as_images(self._given)

    @cached_property
    def _probes(self) -> Images:
        probes = _as_images(self._given_probes)
        if probes is not None:
            return probes
        if self._calibration is None:
            raise SpecError(
                str(self._path),
                "there are no images to verify its graphs with",
                "give images, or probes",
            )
        images = self._calibration
        count = min(PROBES, len(images))
        chosen = np.linspace(0, len(images) - 1, count).astype(np.int64)
        return HeldImages(images.named(chosen.tolist()), images.digest)

    @property
    def _ranging(self) -> Images:
        """Images that ranges come from, as the model is fed; without any, the probes."""
        return self._fed(self._probes if self._calibration is None else self._calibration)

    def _for_shifts(self, count: int) -> list[int]:
        """As many images to measure shifts on as their size allows."""
        _, sample = next(iter(self._fed(self._probes).named([0])))
        return shift_images(count, [sum(array.size for array in arrays_of(sample))])

    def _fed(self, images: Images) -> Images:
        """Images in the types and the batch that the model takes."""
        loaded: LoadedModel = self._made("load", self._plan(FP32))
        return fed(images, loaded.feeding)

    def _lacks_images(self, plan: Plan) -> bool:
        if plan.method is None or kind_of(plan.recipe).any_images:
            return False
        return self._calibration is None

    def _require_images(self, plan: Plan) -> None:
        if self._lacks_images(plan):
            raise SpecError(
                f"precision {plan.recipe.name!r} of {self._title}",
                "static quantization needs calibration images",
                "give 100 to 500 typical images",
            )

    # Steps

    def _plan(self, recipe: Recipe) -> Plan:
        return Plan.of(recipe, lambda: self._calibration is not None)

    def _made(self, name: str, plan: Plan) -> Any:
        """Result of a step, or of the step that replaces it; made unless it is in memory."""
        if name not in STEP:
            return self._outside(name, plan)
        step = STEP[name]
        if step.when and not getattr(plan, step.when):
            return self._made(step.instead, plan) if step.instead else None
        key = (name, *(getattr(plan, fact) for fact in facts_of(name)))
        if key not in self._results:
            found = self._make(step, plan) if step.kept is None else self._from_store(step, plan)
            if step.held is Held.NONE:
                return found
            if step.held is Held.LAST:
                self._results = {k: v for k, v in self._results.items() if k[0] != name}
            self._results[key] = found
        return self._results[key]

    def _outside(self, name: str, plan: Plan) -> Any:
        """A value that steps need but do not make; see `steps.GIVEN`."""
        if name == "path":
            return self._path
        if name == "constants":
            return self._constants
        if name == "arrays":
            return isinstance(self._shape, Mapping)
        if name == "machine":
            if plan.runtime.is_reference:
                return Machine(self._context.environment.u8s8_saturates, self._context.exact)
            return Machine(u8s8_saturates(plan.runtime))
        if self._shape is None:
            _, sample = next(iter(self._probes.named([0])))
            (array,) = arrays_of(sample)
            self._shape = array.shape
        return self._shape

    def _from_store(self, step: Step, plan: Plan) -> Any:
        kept = step.kept
        assert kept is not None

        def make(folder: Path) -> None:
            kept.write(self._make(step, plan), folder / kept.file)

        facts = {fact: plain(getattr(plan, fact)) for fact in facts_of(step.name)}
        if "runtime" in facts:
            facts["runtime"] = library(plan.runtime).describe()
        seen = self._ranging.digest if kept.by_images else None
        key = [step.name, self.loaded.digest, self._facts, seen, facts]
        store = self._context.store
        return store.load(kept.kind, key, make, lambda folder: kept.read(folder / kept.file))

    def _make(self, step: Step, plan: Plan) -> Any:
        given = [self._made(need, plan) for need in step.needs]
        facts = {fact: getattr(plan, fact) for fact in step.reads}
        if step.threaded:
            facts["threads"] = self._context.threads
        if not step.says:
            return step.make(*given, *self._seen(step), **facts)
        total = 0
        if step.sees in _STREAMED:
            total = len(self._indices(step.sees))
        seen = self._seen(step) if not total else []
        title = f"{self._title}: {step.says}"
        with self._context.stage(title, total, exclusive=step.alone) as advance:
            if total:
                seen = [self._streamed(step.sees, advance)]
            return step.make(*given, *seen, **facts)

    def _seen(self, step: Step) -> list[Any]:
        """Arguments with the images that a step sees: none or one."""
        if step.sees is Sees.PROBES:
            return [[sample for _, sample in self._fed(self._probes).named()]]
        if step.sees is Sees.SHIFTS:
            return [Chosen(lambda: self._ranging, self._for_shifts)]
        return []

    def _indices(self, sees: Sees) -> Sequence[int]:
        return _STREAMED[sees](len(self._ranging))

    def _streamed(self, sees: Sees, advance: Callable[[], None]) -> Iterator[tuple[str, Sample]]:
        """Named images, one at a time."""
        indices = self._indices(sees)
        for named in self._ranging.named(None if sees is Sees.CALIBRATION else indices):
            advance()
            yield named
            del named  # before the next one is made

    # What a search may keep in FP32

    def operators(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators that a search may keep in FP32, in topological order."""
        types = {node.name: node.op_type for node in self.prepared.proto.graph.node}
        return tuple(
            name
            for name in operators(self.prepared)
            if (recipe.op_types is None or types[name] in recipe.op_types)
            and name not in recipe.keep_fp32
        )

    def blocks(self, recipe: Recipe) -> tuple[Block, ...]:
        """Blocks of those operators, each with its followers that the recipe also quantizes."""
        graph = self.prepared.proto.graph
        quantized = recipe.op_types or static_types()
        behind = set(postprocessing(self.prepared))
        others = {n.name for n in graph.node if n.op_type in quantized} - behind
        return blocks_of(graph, set(self.operators(recipe)), others)

    def postprocessing(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators after the last weights that a recipe would quantize.

        Quantizing them saves next to nothing, and scores that share a scale with boxes are lost.
        """
        types = {node.name: node.op_type for node in self.prepared.proto.graph.node}
        quantized = recipe.op_types or static_types()
        return tuple(name for name in postprocessing(self.prepared) if types[name] in quantized)


def _sample_shape(given: Any) -> Shape | Mapping[str, Shape]:
    if not isinstance(given, Mapping):
        return _image_shape(given)
    remedy = 'give the shape of each array of a row, such as {"ids": (1, 128)}'
    names = coerce.names("shape", tuple(given), distinct=True)
    return {name: _whole(given[name], remedy) for name in names}


def _whole(given: Any, remedy: str) -> Shape:
    return tuple(coerce.whole("shape", n, remedy) for n in coerce.items("shape", given, remedy))


def _image_shape(given: Any) -> Shape:
    remedy = "give the shape of the tensor of one image, such as (1, 3, 112, 112)"
    shape = _whole(given, remedy)
    if len(shape) != 4 or shape[0] != 1 or min(shape) < 1:
        raise SpecError("shape", f"{coerce.shown(given)} is not the shape of one image", remedy)
    return shape


def _as_images(given: Any) -> Images | None:
    """Convert images from any of the accepted forms."""
    found = given() if callable(given) else given
    return found if found is None or hasattr(found, "named") else TensorImages(found)
