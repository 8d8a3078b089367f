"""One order for all recipes: each step runs once, and only if it is needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kycquant.context.scratch import Scratch, scratch_context
from pytest_kycquant.errors import DataError, ModelError, SpecError
from pytest_kycquant.plain import plain
from pytest_kycquant.quantize import (
    Ingredients,
    Quantizer,
    build,
    calibration_of,
    channel_images,
    corrects_biases,
    equalize_channels,
    equalizes,
    load_model,
    measure_sensitivity,
    observe_activations,
    observe_channels,
    prepare,
    range_images,
    rewrite,
    sensitivity_images,
    shift_images,
    tune_ranges,
)
from pytest_kycquant.quantize.images import TensorImages
from pytest_kycquant.quantize.steps import GIVEN, STEP, STEPS, Held, Plan, Sees, facts_of, upstream
from pytest_kycquant.spec.recipe import RECIPES, Recipe
from tests.worlds.zoo import images, named_images, save, tiny_embedder, unequal_embedder

pytestmark = pytest.mark.usefixtures("two_rewrites")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tmp_path, unequal_embedder())


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each step was carried out."""
    count: Counter[str] = Counter()
    for step in STEPS:

        def counted(*given: object, step=step, **facts: object) -> object:
            count[step.name] += 1
            return step.make(*given, **facts)

        monkeypatch.setitem(STEP, step.name, step._replace(make=counted))
    return count


class Watched:
    """Images that record which of them are requested."""

    def __init__(self, count: int) -> None:
        self._images = TensorImages(named_images(count))
        self.digest = "watched"
        self.asked: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._images)

    def named(self, indices: Sequence[int] | None = None) -> Iterator[tuple[str, object]]:
        self.asked.append(tuple(range(len(self)) if indices is None else indices))
        return self._images.named(indices)


def by_hand(path: Path, recipe: Recipe, number: int) -> bytes:
    """Build a recipe in the order of the table, without the table."""
    named, probes = named_images(number), images(2)
    source = prepare(load_model(path), probes)
    channels = observe_channels(source, named)
    if equalizes(recipe):
        source, channels = equalize_channels(source, channels, probes)
    known = observe_activations(source, named)
    some = [named[i][1] for i in shift_images(number, probes[0].shape)]
    ranges = None
    if needed := calibration_of(recipe):
        weighs = needed[0] == "mse"
        few = [named[i] for i in sensitivity_images(number)]
        ranges = known.ranges(*needed, measure_sensitivity(source, few) if weighs else None)
        ranges = tune_ranges(source, ranges, some) if weighs else ranges
    given = Ingredients(
        prepared=source,
        saturates=scratch_context().environment.u8s8_saturates,
        ranges=ranges,
        rewritten=(
            rewrite(source, ("prelu",), probes, integer=recipe.is_integer)
            if recipe.rewrites
            else None
        ),
        statistics=channels if corrects_biases(recipe) else None,
        images=some if recipe.is_static and corrects_biases(recipe) else (),
    )
    return build(given, recipe).content


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("int8", rewrites=False),
        Recipe("int8", rewrites=True),
        Recipe("int8", rewrites=False, equalize=False),
        Recipe("int8", rewrites=False, bias_correction=False),
        Recipe("int8", rewrites=False, calibration_method="percentile"),
        Recipe("int8", rewrites=False, activation_type="uint16"),
        Recipe("mixed", rewrites=False, keep_fp32=("first",), float_weights="int8"),
        Recipe("int8-dynamic", rewrites=False),
        Recipe("int8-weights", rewrites=True),
        Recipe("int4-weights", rewrites=False, bias_correction=False),
        Recipe("fp16", rewrites=False),
        Recipe("fp32-optimized", rewrites=True),
    ],
    ids=lambda recipe: "-".join(
        [recipe.precision, *(f"{k}" for k, v in vars(recipe).items() if v not in (None, (), ""))]
    ),
)
def test_the_table_is_the_order_by_hand(model: Path, recipe: Recipe) -> None:
    quantizer = Quantizer(model, named_images(40), probes=images(2))
    assert quantizer.build(recipe).content == by_hand(model, recipe, 40)


def test_recipes_share_what_they_have_in_common(model: Path, made: Counter[str]) -> None:
    quantizer = Quantizer(model, named_images(6))
    plain = Recipe("int8", rewrites=False)
    quantizer.build(plain)
    once = ("load", "check", "prepare", "channels", "equalize", "observe", "sensitivity")
    assert {made[name] for name in (*once, "ranges", "tune", "whole", "build")} == {1}
    assert made["race"] == made["fitting"] == made["rewrite"] == 0

    made.clear()  # the same with operators kept: derived from the quantized model
    quantizer.build(replace(plain, precision="mixed", keep_fp32=("first",)))
    quantizer.build(replace(plain, precision="mixed", keep_fp32=("last",), float_weights="int8"))
    assert made.keys() <= {"ingredients", "build", "start", "choose"}
    assert made["build"] == 2

    made.clear()  # other ranges of the same activations
    quantizer.build(replace(plain, calibration_method="percentile"))
    assert made["ranges"] == made["whole"] == 1
    assert made["observe"] == made["sensitivity"] == made["tune"] == 0

    made.clear()  # without equalization, other activations
    quantizer.build(replace(plain, equalize=False))
    assert made["channels"] == made["equalize"] == 0
    assert made["observe"] == made["sensitivity"] == made["tune"] == 1

    made.clear()  # extremes need no histograms, and are the same for all that start from FP32
    quantizer.build(Recipe("fp16", rewrites=False))
    quantizer.build(replace(plain, equalize=False, calibration_method="minmax"))
    quantizer.build(Recipe("int8-weights", rewrites=False))
    assert made["extremes"] == 1
    assert made["observe"] == made["channels"] == 0


def test_a_recipe_without_images_asks_for_none(model: Path) -> None:
    def unread() -> None:
        raise AssertionError("images were read")

    quantizer = Quantizer(model, unread, probes=images(2))
    for precision in ("int8-dynamic", "int4-weights", "fp32-optimized"):
        options = {} if precision != "int4-weights" else {"bias_correction": False}
        assert quantizer.build(Recipe(precision, rewrites=True, **options)).content


def test_each_step_sees_the_images_that_it_declares(model: Path) -> None:
    given, probes = Watched(310), Watched(3)
    quantizer = Quantizer(model, given, probes=probes)
    quantizer.build(Recipe("int8", rewrites=False))
    channels, ranges = tuple(channel_images(310)), tuple(range_images(310))
    few = tuple(sensitivity_images(310))
    some = tuple(shift_images(310, (1, 3, 32, 32)))
    assert [len(chosen) for chosen in (channels, ranges)] == [100, 200]
    # Half of the images for shifts serve for trying ranges.
    assert Counter(given.asked) == Counter([channels, ranges, few, some, some[::2]])
    quantizer.build(Recipe("fp16", rewrites=False))
    assert given.asked[-1] == tuple(range(310))
    assert set(probes.asked) == {(0,), (0, 1, 2)}  # one for the shape


def test_without_probes_eight_of_the_images_verify(model: Path) -> None:
    given = Watched(40)
    assert Quantizer(model, given).prepared.max_difference < 1e-4
    assert given.asked == [(0, 5, 11, 16, 22, 27, 33, 39)]


def test_what_is_kept_is_not_made_again_by_another_process(model: Path, made: Counter[str]) -> None:
    context = scratch_context()
    first = Quantizer(model, named_images(6), context=context).build("int8")
    made.clear()
    again = Quantizer(model, named_images(6), context=context).build("int8")
    assert again.content == first.content
    assert made["race"] == made["channels"] == made["observe"] == made["sensitivity"] == 0
    assert made["equalize"] == made["ranges"] == made["build"] == 1
    made.clear()  # other images: which rewrites are faster does not depend on them
    Quantizer(model, named_images(6, seed=5), context=context).build("int8")
    assert made["race"] == 0
    assert made["observe"] == made["sensitivity"] == 1


def test_facts_about_the_images_are_part_of_what_results_depend_on(
    model: Path, made: Counter[str]
) -> None:
    context = scratch_context()
    for facts in ({"mean": 0.0}, {"mean": 1.0}, {"mean": 0.0}):
        quantizer = Quantizer(model, named_images(4), context=context, facts=facts)
        quantizer.build(Recipe("fp16", rewrites=False))
    assert made["extremes"] == 2


def test_only_the_last_whole_is_held(model: Path, made: Counter[str]) -> None:
    quantizer = Quantizer(model, named_images(4))
    one = Recipe("int8", rewrites=False, calibration_method="minmax")
    other = replace(one, calibration_method="percentile")
    for recipe in (one, one, other, one):
        quantizer.build(recipe)
    assert made["whole"] == 3
    assert made["build"] == 4


def test_ranges_of_any_images_are_not_taken_for_those_of_calibration(model: Path) -> None:
    quantizer = Quantizer(model, probes=images(3))
    assert quantizer.build(Recipe("fp16", rewrites=False)).content
    with pytest.raises(SpecError, match=r"'int8' of model\.onnx: static .* needs calibration"):
        quantizer.build(Recipe("int8", rewrites=False))
    assert quantizer.lacks_images("int8")
    assert not quantizer.lacks_images("fp16")
    assert not quantizer.lacks_images("int8-weights")


def test_weights_are_corrected_if_there_are_images(model: Path) -> None:
    recipe = Recipe("int8-weights", rewrites=False)
    with_images = Quantizer(model, named_images(4)).build(recipe)
    without = Quantizer(model, probes=images(2)).build(recipe)
    assert with_images.resolved["bias_correction"] is True
    assert without.resolved["bias_correction"] is False


def test_the_digest_of_images_counts_where_they_are_used(model: Path) -> None:
    quantizer = Quantizer(model, named_images(4), probes=images(2))
    found = {
        name: quantizer.images_digest(name)
        for name, line in RECIPES.items()
        if name != "mixed" and not line.runtimes
    }
    digest = TensorImages(named_images(4)).digest
    used = ("fp16", "int8", "int8-weights", "int4-weights")
    assert found == {name: digest if name in used else None for name in found}


def test_a_candidate_is_what_is_built(model: Path) -> None:
    quantizer = Quantizer(model, named_images(4))
    keep = ("stem", "embed")
    recipe = Recipe("int8", rewrites=False)
    whole = quantizer.build(replace(recipe, precision="mixed", keep_fp32=keep)).content
    assert quantizer.candidate(recipe, keep) == whole
    assert quantizer.candidate(recipe, ()) == quantizer.build(recipe).content


def test_bad_images_and_models_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"input 'input' is 1x3x32x32 but .* 1x3x16x16"):
        _ = Quantizer(model, images(2, shape=(1, 3, 16, 16))).loaded
    with pytest.raises(DataError, match="there are none"):
        _ = Quantizer(model, []).loaded
    with pytest.raises(SpecError, match="no images to verify its graphs with"):
        _ = Quantizer(model).prepared
    with pytest.raises(ModelError, match="does not exist"):
        _ = Quantizer(tmp_path / "absent.onnx", images(2)).loaded


def test_the_table_is_in_order_and_knows_what_it_reads() -> None:
    known = set(GIVEN)
    facts = set(Plan.__dataclass_fields__)
    for step in STEPS:
        assert {*step.needs, *filter(None, [step.instead])} <= known, step.name
        assert {*step.reads, *filter(None, [step.when])} <= facts, step.name
        assert step.name not in known
        known.add(step.name)
        if step.kept is not None:  # what is kept must depend on plain values
            json.dumps([plain(getattr(plan(), fact)) for fact in facts_of(step.name)])
            assert step.held is Held.ALL
        if step.threaded:
            assert step.sees in (Sees.CALIBRATION, Sees.CHANNELS, Sees.RANGES)
    assert {*upstream("build"), *upstream("choose")} == set(STEPS)


def plan() -> Plan:
    return Plan.of(Recipe("int8"), lambda: True)


def test_facts_are_those_of_all_steps_before() -> None:
    assert facts_of("prepare") == facts_of("channels") == ()
    assert facts_of("observe") == ("equalizes", "histograms")
    known = {"equalizes", "extremes", "histograms", "weighs", "method", "percentile"}
    assert set(facts_of("ranges")) == known
    assert "recipe" not in facts_of("whole")
    assert "rewritten" in facts_of("whole")


def test_scratch_makes_once_and_goes_with_its_object(tmp_path: Path) -> None:
    store = Scratch()
    calls: list[Path] = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "a").write_text("x")

    folder = store.entry("kind", [1, "a"], make)
    assert store.entry("kind", [1, "a"], make) == folder != store.entry("kind", [2], make)
    assert (folder / "a").read_text() == "x"
    assert len(calls) == 2
    assert store.once("name", lambda: 1, int) == store.once("name", lambda: 2, int) == 1
    with store.machine(exclusive=True), store.machine(exclusive=False):
        pass
    root = folder.parents[1]
    assert root.is_dir()
    del store
    assert not root.exists()


def test_scratch_keeps_nothing_of_a_failure() -> None:
    store = Scratch()

    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("no space")

    def make(folder: Path) -> None:
        (folder / "whole").write_text("x")

    with pytest.raises(OSError, match="no space"):
        store.entry("kind", 1, fail)
    assert [path.name for path in store.entry("kind", 1, make).iterdir()] == ["whole"]


def test_a_model_whose_batch_is_free(tmp_path: Path) -> None:
    path = save(tmp_path, tiny_embedder(batch="n"))
    assert Quantizer(path, images(4)).build(Recipe("int8", rewrites=False)).quantized["Conv"] == 3


@pytest.mark.parametrize(
    "given", ["calibration", Path("calibration.npz"), b"x", 5, {"a.png": images(1)[0]}]
)
def test_images_in_another_form_are_refused(tmp_path: Path, given: object) -> None:
    quantizer = Quantizer(save(tmp_path, tiny_embedder()), given)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="is not a sequence of arrays; give arrays or"):
        quantizer.build("int8")


@pytest.mark.parametrize("model", [None, 5, b"face.onnx"])
def test_a_model_that_is_not_a_path_is_refused(model: object) -> None:
    with pytest.raises(SpecError, match=r"is not a path; give an \.onnx file"):
        Quantizer(model, images(2))  # type: ignore[arg-type]
