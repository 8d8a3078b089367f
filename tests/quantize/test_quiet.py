import logging

from pytest_kycquant.quantize import Ingredients, build, observe_activations
from pytest_kycquant.spec.recipe import Recipe
from tests.worlds.zoo import named_images, ready


def test_building_says_nothing_and_leaves_logging_as_it_was(tmp_path, capfd, caplog):
    prepared = ready(tmp_path)
    before = (list(logging.root.handlers), logging.root.manager.disable)
    ranges = observe_activations(prepared, named_images(2)).ranges("minmax")
    recipe = Recipe("int8", activation_type="uint16")
    build(Ingredients(prepared, ranges=ranges, saturates=False), recipe)
    build(Ingredients(prepared, saturates=False), Recipe("int8-dynamic"))
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert (list(logging.root.handlers), logging.root.manager.disable) == before
