"""The digest of a function changes with all that it uses, and with nothing else."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.context.function_digest import function_digest
from pytest_kycquant.errors import SpecError
from tests.worlds.ci import environment_outside_ci

WHERE = "Preprocess.function"
Load = Callable[..., str]
MAIN = """
import collections, dataclasses, datetime, decimal, enum, functools, re, types
import numpy as np
import helpers
from helpers import crop

MEAN = 127.5
TABLE = {"scale": 1 / 128}
WEIGHTS = np.arange(3.0)
NAMES = {"b", "a"}

class Base:
    def start(self):
        return 1

class Own(Base):
    factor = 2
    def __init__(self, size=1):
        self.size = size
    def __call__(self, x):
        return x * self.size * self.factor + self.start()

class Slots:
    __slots__ = ("a",)
    def __init__(self):
        self.a = 1
    def __call__(self, x):
        return x + self.a

class Mode(enum.Enum):
    FAST = 1
    SLOW = 2

@dataclasses.dataclass(frozen=True)
class Settings:
    gain: float = 1.0
    def run(self, x):
        return x * self.gain

Pair = collections.namedtuple("Pair", "a b")
SETTINGS, OWN, MODE, PAIR = Settings(), Own(), Mode.FAST, Pair(1, 2)
PATTERN, LIMIT = re.compile("a+"), decimal.Decimal("1.5")
GIVEN = collections.defaultdict(int, a=1)

def decorated(function):
    @functools.wraps(function)
    def wrapper(x):
        return function(x) + 1
    return wrapper

def factory(number):
    def inner(x):
        return x + number
    return inner

def again(x):
    return again(x - 1) if x > 0 else x

@functools.lru_cache
def cached(x):
    return x + MEAN

{main}
"""
HELPERS = """
import deep
OFFSET = 3
def crop(x):
    return deep.cut(x) - OFFSET
def unused(x):
    return x
"""
DEEP = """
EDGE = 1
def cut(x):
    return x[EDGE:]
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Write the modules with some edits and return the digest of `f`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = ("main", "helpers", "deep")

    def digest(main: str, *edits: tuple[str, str]) -> str:
        texts = [MAIN.replace("{main}", textwrap.dedent(main)), HELPERS, DEEP]
        for old, new in edits:
            assert any(old in text for text in texts), old
            texts = [text.replace(old, new) for text in texts]
        for name, text in zip(names, texts, strict=True):
            (tmp_path / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        import linecache

        linecache.clearcache()
        found: Any = importlib.import_module("main")
        return function_digest(found.f, WHERE)

    yield digest
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("main", "old", "new"),
    [
        ("def f(x):\n    return x - MEAN", "MEAN = 127.5", "MEAN = 127.6"),
        ("def f(x):\n    return x - MEAN", "x - MEAN", "x + MEAN"),
        ("def f(x):\n    return [y - MEAN for y in x]", "MEAN = 127.5", "MEAN = 127"),
        ("def f(x):\n    return (lambda y: y - MEAN)(x)", "MEAN = 127.5", "MEAN = 127"),
        ("def f(x):\n    return x * TABLE['scale']", "1 / 128", "1 / 127.5"),
        ("def f(x):\n    return x * WEIGHTS", "np.arange(3.0)", "np.arange(3.0)[::-1]"),
        ("def f(x):\n    return x * WEIGHTS", "np.arange(3.0)", "np.arange(3)"),
        ("def f(x):\n    return x in NAMES", '"b", "a"', '"b", "c"'),
        ("def f(x):\n    return crop(x)", "OFFSET = 3", "OFFSET = 4"),
        ("def f(x):\n    return crop(x)", "EDGE = 1", "EDGE = 2"),
        ("def f(x):\n    return helpers.crop(x)", "EDGE = 1", "EDGE = 2"),
        ("def f(x):\n    return helpers.deep.cut(x)", "EDGE = 1", "EDGE = 2"),
        ("def f(x):\n    import helpers as h\n    return h.crop(x)", "OFFSET = 3", "OFFSET = 4"),
        ("def f(x):\n    from helpers import crop as c\n    return c(x)", "EDGE = 1", "EDGE = 2"),
        ("f = factory(1)", "factory(1)", "factory(2)"),
        ("f = Own()", "f = Own()", "f = Own(2)"),
        ("f = Own()", "factor = 2", "factor = 3"),
        ("f = Own()", "return 1", "return 2"),
        ("f = Own().__call__", "factor = 2", "factor = 3"),
        ("f = Slots()", "self.a = 1", "self.a = 2"),
        ("def f(x):\n    return OWN(x)", "size=1", "size=3"),
        ("def f(x):\n    return MODE", "Mode.FAST, Pair", "Mode.SLOW, Pair"),
        ("def f(x):\n    return SETTINGS.run(x)", "gain: float = 1.0", "gain: float = 2.0"),
        ("def f(x):\n    return SETTINGS.run(x)", "x * self.gain", "x / self.gain"),
        ("def f(x):\n    return PAIR.a", "Pair(1, 2)", "Pair(1, 3)"),
        ("def f(x):\n    return PATTERN.match(x)", '"a+"', '"b+"'),
        ("def f(x):\n    return x * LIMIT", '"1.5"', '"1.6"'),
        ("def f(x):\n    return GIVEN[x]", "(int, a=1)", "(float, a=1)"),
        ("def f(x):\n    return GIVEN[x]", "(int, a=1)", "(int, a=2)"),
        ("@decorated\ndef f(x):\n    return x", "function(x) + 1", "function(x) + 2"),
        ("@decorated\ndef f(x):\n    return x - 5", "x - 5", "x - 6"),
        ("f = functools.partial(cached, 1)", "cached, 1", "cached, 2"),
        ("f = functools.partial(cached, 1)", "MEAN = 127.5", "MEAN = 1"),
        ("def f(x, scale=2):\n    return x", "scale=2", "scale=3"),
        ("def f(x, *, scale=MEAN):\n    return x", "MEAN = 127.5", "MEAN = 1"),
        ("def f(x):\n    return f.size\nf.size = 3", "f.size = 3", "f.size = 4"),
        ("f = again", "x - 1", "x - 2"),
        ("def f(x, m=helpers):\n    return m.crop(x)", "OFFSET = 3", "OFFSET = 5"),
    ],
)
def test_what_it_uses_counts(load: Load, main: str, old: str, new: str) -> None:
    before = load(main)
    assert load(main) == before
    assert load(main, (old, new)) != before


@pytest.mark.parametrize(
    ("main", "old", "new"),
    [
        ("def f(x):\n    return x - MEAN", "OFFSET = 3", "OFFSET = 4"),
        ("def f(x):\n    return helpers.crop(x)", "return x\n", "return -x\n"),  # unused
        ("def f(x):\n    return x - MEAN", "NAMES = ", "OTHER = "),
        ("def f(x):\n    return x.MEAN", "MEAN = 127.5", "MEAN = 1"),  # an attribute of x
    ],
)
def test_what_it_does_not_use_does_not_count(load: Load, main: str, old: str, new: str) -> None:
    assert load(main) == load(main, (old, new))


def test_every_process_finds_the_same(load: Load, tmp_path: Path) -> None:
    """Sets have another order in every process, and objects other addresses."""
    main = """
    def f(x):
        return crop(x) * MEAN in NAMES, OWN(x), MODE, SETTINGS.run(x), PAIR, PATTERN, GIVEN, WEIGHTS
    """
    here = load(main)
    code = (
        "import main; from pytest_kycquant.context.function_digest import function_digest as d; "
        "print(d(main.f, ''))"
    )
    for seed in ("1", "2"):
        environment = environment_outside_ci() | {"PYTHONHASHSEED": seed}
        environment["PYTHONPATH"] = f"{tmp_path}:{environment.get('PYTHONPATH', '')}"
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == here


def test_an_installed_function_of_the_users_package_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "acme"
    package.mkdir(parents=True)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found = []
    for number in (1, 2):
        (package / "__init__.py").write_text(
            f"SIZE = {number}\n\n\ndef f(x):\n    return x + SIZE\n"
        )
        sys.modules.pop("acme", None)
        importlib.invalidate_caches()
        found.append(function_digest(importlib.import_module("acme").f, WHERE))
    sys.modules.pop("acme", None)
    assert found[0] != found[1]


def test_where_the_project_lies_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A golden of one machine is checked on another."""
    text = """
    from pathlib import Path
    HERE = Path(__file__).parent
    REAL = Path(__file__).resolve().parent
    TABLE = str(HERE.parent / "tables" / "a.csv")
    OTHER = Path("{other}")
    def f(x):
        return HERE, REAL, TABLE, OTHER, __file__
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found = []
    for home, other in (
        ("one", "/opt/a"),
        ("two/deeper", "/opt/a"),
        ("three", "/opt/a"),
        ("four", "/b"),
    ):
        folder = tmp_path / home / "gates"
        folder.mkdir(parents=True)
        if home == "three":  # and behind a link
            (tmp_path / "link").symlink_to(tmp_path / home)
            folder = tmp_path / "link" / "gates"
        (folder / "placed.py").write_text(textwrap.dedent(text).replace("{other}", other))
        with monkeypatch.context() as context:
            context.syspath_prepend(folder)
            sys.modules.pop("placed", None)
            found.append(function_digest(importlib.import_module("placed").f, WHERE))
    sys.modules.pop("placed", None)
    assert found[0] == found[1] == found[2] != found[3]


@pytest.mark.parametrize(
    ("main", "problem"),
    [
        (
            "LINES = (n for n in 'ab')\ndef f(x):\n    return LINES",
            "LINES of module main .*cannot be",
        ),
        ("def f(x):\n    return FILE\nFILE = open('/dev/null')", "FILE of module main .*cannot be"),
        ("exec('def f(x):\\n    return x')", "no readable source code"),
    ],
)
def test_what_cannot_be_read_is_refused(load: Load, main: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem) as caught:
        load(main)
    assert caught.value.where == WHERE
