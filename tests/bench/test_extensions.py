"""Code of others that a table names is part of every key of the cache."""

from __future__ import annotations

import importlib
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.bench.extensions import extensions
from pytest_kycquant.runtimes import RUNTIMES
from pytest_kycquant.spec.recipe import RECIPES, REWRITES, Precision, Rewrite
from pytest_kycquant.spec.runtime import RuntimeLine
from pytest_kycquant.spec.task import TaskSpec
from pytest_kycquant.tasks.registry import TASKS, Judged


class Toy(TaskSpec):
    """A task of somebody else."""


LINES: dict[str, tuple[MutableMapping[Any, Any], Any, Callable[[str], Any]]] = {
    "recipe": (RECIPES, "toy", Precision),
    "rewrite": (REWRITES, "toy", lambda name: Rewrite("toy", "", name)),
    "runtime": (RUNTIMES, "toy", RuntimeLine),
    "task": (TASKS, Toy, Judged),
    "unlabelled task": (TASKS, Toy, lambda name: Judged("pytest_kycquant.tasks:X", name)),
}


def test_the_package_itself_needs_none() -> None:
    assert extensions() == {}


@pytest.mark.parametrize("kind", LINES)
def test_a_change_of_what_it_does_changes_the_keys(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, key, line = LINES[kind]
    module = tmp_path / "toy_of_others.py"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(table, key, line("toy_of_others:TOY"))

    def digest(text: str) -> str:
        module.write_text(text)
        importlib.invalidate_caches()
        return extensions()["toy_of_others"]

    first = digest("TOY = 1")
    assert digest("TOY = 1  # a comment") == first
    assert digest("TOY = 2") != first


def test_a_module_without_source_counts_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "toy", RuntimeLine("no_such_module:TOY"))
    monkeypatch.setitem(RUNTIMES, "other", RuntimeLine("sys:TOY"))
    assert sorted(extensions()) == ["no_such_module", "sys"]
