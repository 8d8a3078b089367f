"""Files of other tools have a row each, and a tool that fails says why."""

from pathlib import Path

import pytest

from benchmarks.vendors.files import FILES, File, variants
from pytest_kycquant import Prequantized


def test_every_file_is_named_as_a_gate_names_it() -> None:
    labels = [each.label for each in variants()]
    assert len(set(labels)) == len(labels) == len(FILES) + 1
    for each in variants():
        asked = eval(each.code("given"), {"Prequantized": Prequantized})
        assert asked.name == each.label
        assert each.on.endswith(asked.runs_on.name)


@pytest.mark.parametrize("file", FILES)
def test_what_a_file_is_made_from_comes_first(file: File) -> None:
    before = [each.label for each in FILES[: FILES.index(file)]]
    assert not file.needs or file.needs in before


def test_a_maker_that_fails_says_why(tmp_path: Path) -> None:
    broken = File("nobody", "nothing", "with_nobody")
    assert "No module named benchmarks.vendors.makers.with_nobody" in broken.make(
        tmp_path, tmp_path
    )
