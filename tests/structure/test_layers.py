"""The layers of the package: imports between its modules point down and never form a circle.

All imports count: at the top, inside a function, and under ``TYPE_CHECKING``, because a module
that needs the types of another depends on it, too. ``python tests/structure/test_layers.py`` prints
the figures.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "pytest_kycquant"
MOST_LINES = 400

# From low to high. `__init__` (the public face) and `__main__` may import everything.
LAYERS = (
    "errors", "files", "plain", "verdicts", "results", "curves", "spec", "statistics", "data",
    "measure", "runtimes", "context", "quantize", "tasks", "bench", "pipeline", "report", "cli",
    "plugin", "__main__",
)  # fmt: skip

Arrows = Mapping[str, frozenset[str]]


def modules() -> dict[str, Path]:
    """Return the files of the package by dotted name below it; the package itself is ""."""
    base = ROOT / PACKAGE
    found = {}
    for path in sorted(base.rglob("*.py")):
        parts = path.relative_to(base).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows() -> dict[str, frozenset[str]]:
    """Return the modules of the package that each module imports."""
    known = modules()
    return {
        name: frozenset(_imports(name, path, known)) - {name, ""} for name, path in known.items()
    }


def rooms(graph: Arrows) -> dict[str, set[str]]:
    """Return the layers that each layer imports."""
    found: dict[str, set[str]] = {}
    for name, targets in graph.items():
        if name:
            room = found.setdefault(_layer(name), set())
            room |= {_layer(target) for target in targets} - {_layer(name)}
    return found


def circles(graph: Arrows) -> list[frozenset[str]]:
    """Return the sets of modules that import each other in a circle (Tarjan's components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[frozenset[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            members = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(members) > 1:
                found.append(frozenset(members))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def upward(graph: Arrows) -> set[tuple[str, str]]:
    """Return the imports from a module to one of a higher layer."""
    return {
        (name, target)
        for name, targets in graph.items()
        for target in targets
        if name and LAYERS.index(_layer(name)) < LAYERS.index(_layer(target))
    }


def lengths() -> dict[str, int]:
    """Return the number of lines of each module."""
    return {
        name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()
    }


def figures() -> str:
    """Describe the structure of the package in a few lines."""
    graph, size = arrows(), lengths()
    between = rooms(graph)
    longest = max(size, key=size.__getitem__)
    lines = [
        f"{len(size)} modules, {sum(size.values()):,} lines; the longest is {longest} "
        f"with {size[longest]}",
        f"{len(between)} rooms, {sum(map(len, between.values()))} arrows between them, "
        f"{sum(map(len, graph.values()))} between modules",
        f"{len(upward(graph))} arrows point up, {len(circles(graph))} circles",
        *(f"up: {name} -> {target}" for name, target in sorted(upward(graph))),
        *(f"circle: {', '.join(sorted(circle))}" for circle in circles(graph)),
        *(f"long: {name}, {count}" for name, count in size.items() if count > MOST_LINES),
    ]
    return "\n".join(lines)


def _layer(name: str) -> str:
    return name.split(".")[0]


def _imports(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Return the modules of the package that a file imports, also by `from package import`."""
    here = [PACKAGE, *filter(None, name.split("."))]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = node.level - (path.name == "__init__.py")
            base = here[: len(here) - up] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            # In `from .spec import presets`, the module counts and not its package.
            inner = {alias.name: f"{source}.{alias.name}" for alias in node.names}
            wanted = [n if n.partition(".")[2] in known else source for n in inner.values()]
        else:
            continue
        for found in wanted:
            package, _, module = found.partition(".")
            if package == PACKAGE and module in known:
                yield module


def _imports_pytest(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        if any(name.split(".")[0] in ("pytest", "_pytest", "pluggy", "xdist") for name in names):
            return True
    return False


def test_every_module_has_a_layer() -> None:
    assert {_layer(name) for name in modules() if name} <= set(LAYERS)


def test_no_arrow_points_up() -> None:
    assert upward(arrows()) == set()


def test_no_circle() -> None:
    assert circles(arrows()) == []


def test_no_module_is_long() -> None:
    assert {name for name, count in lengths().items() if count > MOST_LINES} == set()


def test_only_the_plugin_imports_pytest() -> None:
    found = {name for name, path in modules().items() if _imports_pytest(path)}
    assert found
    assert {_layer(name) for name in found} == {"plugin"}


IMPORT_ALL = """
import importlib, sys
sys.modules["pytest"] = sys.modules["_pytest"] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_everything_else_does_without_pytest() -> None:
    names = [".".join(filter(None, (PACKAGE, n))) for n in modules() if _layer(n) != "plugin"]
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *names], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_these_functions_see_what_they_should() -> None:
    """A hand-made circle and a hand-made upward import."""
    graph = {
        "errors": frozenset({"spec.model"}),
        "spec.model": frozenset({"spec.tasks"}),
        "spec.tasks": frozenset({"spec.model", "errors"}),
        "plugin.hooks": frozenset({"errors"}),
    }
    assert upward(graph) == {("errors", "spec.model")}
    assert circles(graph) == [frozenset({"errors", "spec.model", "spec.tasks"})]
    assert rooms(graph) == {"errors": {"spec"}, "spec": {"errors"}, "plugin": {"errors"}}


if __name__ == "__main__":
    print(figures())
