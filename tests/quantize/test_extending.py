"""A precision or a rewrite is one module and one line in a table."""

from __future__ import annotations

import pkgutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import load_from_string, numpy_helper

from pytest_kycquant.errors import SpecError
from pytest_kycquant.quantize import Quantizer, quantizer
from pytest_kycquant.quantize.recipe_kind import RecipeKind
from pytest_kycquant.spec.recipe import RECIPES, REWRITES, Precision, Recipe, Rewrite, as_recipe
from tests.worlds.population import FUNCTION, Run
from tests.worlds.projects import project, rewrite_ratio, run, shared_cache  # noqa: F401
from tests.worlds.zoo import images, named_images, save, tiny_embedder

COARSE = """
import numpy as np
from onnx import numpy_helper
from pytest_kycquant.quantize.graph import WEIGHTED, copy_with_own_weights, initializers
from pytest_kycquant.quantize.recipe_kind import Draft, RecipeKind


class Coarse(RecipeKind):
    "Weights rounded to eighths, in float32."

    def options(self, recipe, machine):
        return {"step": 0.125}, "a toy"

    def operator_types(self, present):
        return WEIGHTED

    def make(self, request):
        proto = copy_with_own_weights(request.source.proto, request.excluded)
        weights, rounded = initializers(proto.graph), 0
        for node in proto.graph.node:
            if node.op_type in request.op_types and node.name not in request.excluded:
                tensor = weights[node.input[1]]
                array = np.round(numpy_helper.to_array(tensor) * 8) / 8
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
                node.doc_string = "coarse"
                rounded += 1
        return Draft(proto, ("rounded coarsely",), {"rounded": rounded})

    def changed(self, proto, source):
        return {node.name for node in proto.graph.node if node.doc_string == "coarse"}


COARSE = Coarse()
"""
DOUBLED = """
from pytest_kycquant.quantize.rewrites import Edit


def negate_twice(graph, integer):
    "Every PRelu is followed by two operators that undo each other."
    from onnx import helper

    edit, nodes = Edit({}, {}), []
    for node in list(graph.node):
        nodes.append(node)
        if node.op_type == "PRelu":
            output, raw = node.output[0], node.output[0] + "_raw"
            node.output[0] = raw
            nodes.append(helper.make_node("Neg", [raw], [raw + "_neg"], node.name + "/neg"))
            nodes.append(helper.make_node("Neg", [raw + "_neg"], [output], node.name + "/again"))
            names = (node.name, node.name + "/neg", node.name + "/again")
            edit.parts[node.name] = names
            edit.bounds.update({raw: (output, 1.0), raw + "_neg": (output, 1.0)})
    nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    return edit
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that writes a third-party module."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        monkeypatch.delitem(sys.modules, name, raising=False)

    yield write
    for name in ("toy_coarse", "toy_doubled"):
        sys.modules.pop(name, None)


@pytest.fixture
def coarse(module: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy precision: a module and one line."""
    module("toy_coarse", COARSE)
    monkeypatch.setitem(
        RECIPES, "coarse", Precision("toy_coarse:COARSE", ("keep_fp32", "op_types", "rewrites"))
    )


@pytest.fixture
def doubled(
    two_rewrites: None, module: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The toy rewrite: a module and one line."""
    module("toy_doubled", DOUBLED)
    monkeypatch.setitem(
        REWRITES, "doubled", Rewrite("double negation", "", "toy_doubled:negate_twice")
    )


@pytest.fixture
def maker(two_rewrites: None, tmp_path: Path) -> Quantizer:
    return Quantizer(save(tmp_path, tiny_embedder()), named_images(4), probes=images(2))


@pytest.mark.usefixtures("coarse")
def test_a_precision_is_one_line(maker: Quantizer) -> None:
    made = maker.build(Recipe("coarse", rewrites=False))
    assert made.resolved == {
        "precision": "coarse",
        "step": 0.125,
        "keep_fp32": "",
        "reason": "a toy",
        "rounded": 4,
    }
    assert made.quantized == {"Conv": 3, "Gemm": 1}
    assert made.notes == ("rounded coarsely",)
    weight = load_from_string(made.content).graph.initializer[0]
    assert (numpy_helper.to_array(weight) * 8 % 1 == 0).all()
    assert maker.build("coarse").quantized == made.quantized  # with rewrites measured


@pytest.mark.usefixtures("coarse")
def test_it_has_its_options_and_no_others(maker: Quantizer) -> None:
    made = maker.build(Recipe("coarse", rewrites=True, keep_fp32=("first",), op_types=("Conv",)))
    assert made.quantized == {"Conv": 2}
    assert made.kept == ("stem",)
    with pytest.raises(SpecError, match=r"has no option 'weight_type'.*keep_fp32, op_types"):
        Recipe("coarse", weight_type="int8")
    assert as_recipe("coarse").is_static is as_recipe("coarse").is_integer is False


@pytest.mark.usefixtures("two_rewrites")
def test_without_its_line_it_is_unknown() -> None:
    with pytest.raises(SpecError, match=r"'coarse' is unknown; choose from .*'mixed'"):
        Recipe("coarse")
    with pytest.raises(SpecError, match="'doubled' is unknown; choose from 'subnormals', 'prelu'"):
        Recipe("int8", rewrites="doubled")


@pytest.mark.usefixtures("doubled")
def test_a_rewrite_is_one_line(maker: Quantizer) -> None:
    made = maker.build(Recipe("fp32-optimized", rewrites="doubled"))
    assert made.quantized == {"PRelu": 2}
    assert sum(n.op_type == "Neg" for n in load_from_string(made.content).graph.node) == 4
    choice = maker.choice(Recipe("int8", rewrites=True))
    assert choice.names == ("prelu", "doubled")
    assert choice.describe().endswith("; double negation: rewritten, as the recipe says")
    integer = maker.build(Recipe("int8", rewrites="doubled"))
    assert integer.quantized["Conv"] == 3
    assert sum(n.op_type == "Neg" for n in load_from_string(integer.content).graph.node) == 4


@pytest.mark.usefixtures("coarse", "doubled")
def test_a_new_precision_starts_from_a_new_rewrite(maker: Quantizer) -> None:
    made = maker.build(Recipe("coarse", rewrites=("doubled",)))
    assert made.quantized == {"Conv": 3, "Gemm": 1}
    assert any(node.op_type == "Neg" for node in load_from_string(made.content).graph.node)


@pytest.mark.usefixtures("coarse")
def test_a_gate_judges_a_new_precision(
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    project()
    (pytester.path / "test_gate.py").write_text(
        FUNCTION
        + """
from pytest_kycquant import FaceGates

class TestFace(FaceGates):
    model = MODEL
    precisions = ("coarse",)
    limits = LIMITS
    fallback = None

    def test_made(self, quantize):
        assert quantize("coarse").quantized
"""
    )
    result = run("-q", "-k", "size or finite or made", "--kycquant-report=report.json")
    result.assert_outcomes(passed=3, deselected=4)
    text = (pytester.path / "report.json").read_text()
    assert '"step": 0.125' in text
    assert '"rounded": ' in text


@pytest.mark.parametrize("name", RECIPES)
def test_every_line_names_what_makes_it(name: str) -> None:
    line = RECIPES[name]
    assert isinstance(pkgutil.resolve_name(line.kind), RecipeKind)
    assert set(line.options) <= set(Recipe.__dataclass_fields__) - {"precision", "name"}
    assert {refusal.option for refusal in line.refuses} <= set(line.options)


@pytest.mark.parametrize("name", REWRITES)
def test_every_rewrite_names_its_function(name: str) -> None:
    assert callable(pkgutil.resolve_name(REWRITES[name].apply))


def test_nothing_outside_the_tables_lists_the_precisions() -> None:
    # Other modules name the precisions of the fallbacks and of the search, but do not make them.
    folder = Path(quantizer.__file__).parent
    for name in ("builder", "quantizer", "recipe_kind", "built"):
        text = (folder / f"{name}.py").read_text()
        assert not [p for p in RECIPES if f'== "{p}"' in text], name
