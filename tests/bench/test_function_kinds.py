"""Each kind of object that a function can use: a change of it counts, and nothing else does."""

from __future__ import annotations

import importlib
import linecache
import logging
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_kycquant.context.function_digest import function_digest
from pytest_kycquant.errors import SpecError

WHERE = "Preprocess.function"
Load = Callable[..., str]
HEAD = """
import abc, collections, contextlib, contextvars, ctypes, dataclasses, enum, functools, io, logging
import os, random, sys, threading, typing, weakref
import numpy as np
from os import environ
IDLE = 1
"""
OUTER = """
import inner
from inner import cut
IDLE = 1
def scaled(x):
    return x / inner.SIZE
"""
INNER = """
SIZE = 255
IDLE = 1
def cut(x):
    return x[3:]
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Write the modules with some edits and return the digest of `f`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    texts = {"gatefile": HEAD, "outer": OUTER, "inner": INNER}

    def digest(main: str, *edits: tuple[str, str]) -> str:
        found = {**texts, "gatefile": HEAD + textwrap.dedent(main)}
        for old, new in edits:
            assert any(old in text for text in found.values()), old
            found = {name: text.replace(old, new) for name, text in found.items()}
        for name, text in found.items():
            (tmp_path / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        linecache.clearcache()
        gate: Any = importlib.import_module("gatefile")
        return function_digest(gate.f, WHERE)

    yield digest
    for name in texts:
        sys.modules.pop(name, None)


class Kind(NamedTuple):
    """A module with a function `f`, and an edit of it that changes what `f` does."""

    text: str
    old: str
    new: str


KINDS = {
    "called named tuple": Kind(
        """
        class C(typing.NamedTuple):
            m: float = 1.0
            def __call__(self, x):
                return x / 255
        f = C()
        """,
        "/ 255",
        "/ 127.5",
    ),
    "method of a named tuple": Kind(
        """
        S = 255
        class C(typing.NamedTuple):
            m: float = 1.0
            def run(self, x):
                return x / S
        c = C()
        def f(x):
            return c.run(x)
        """,
        "S = 255",
        "S = 127.5",
    ),
    "subclass of a named tuple": Kind(
        """
        class C(collections.namedtuple("C", "m")):
            __slots__ = ()
            def __call__(self, x):
                return x / 255
        f = C(1)
        """,
        "/ 255",
        "/ 127.5",
    ),
    "two lambdas on a line": Kind(
        "A, B = (lambda x: x / 255), (lambda x: x / 127.5)\nf = A\n", "f = A", "f = B"
    ),
    "lambda in a lambda": Kind(
        "f = (lambda s: lambda x: x / s + 0)(255) or (lambda x: x / 2)\n", "x / s + 0", "x / s - 0"
    ),
    "lambdas of equal code": Kind(
        "A, B = (lambda x: x / 255.0), (lambda x: x / 255.5)\nf = (A, B)[0]\n", "B)[0]", "B)[1]"
    ),
    "lambda that goes on below": Kind(
        """
        f = dict(
            function=lambda x: x.astype(np.float32)
            .astype(np.float64)
            / 255,
            other=lambda x: x,
        )["function"]
        """,
        "/ 255",
        "/ 127.5",
    ),
    "lambda behind wide letters": Kind(
        "A = 'äöü', (lambda x: x / 255), 'ß', (lambda x: x / 2)\nf = A[1]\n", "A[1]", "A[3]"
    ),
    "context manager": Kind(
        """
        @contextlib.contextmanager
        def c():
            yield 255
        def f(x):
            with c() as m:
                return x / m
        """,
        "yield 255",
        "yield 127.5",
    ),
    "decorating context manager": Kind(
        """
        S = 255
        @np.errstate(all="ignore")
        def f(x):
            return x / S
        """,
        "S = 255",
        "S = 127.5",
    ),
    "setting of a decorating context manager": Kind(
        "@np.errstate(all='ignore')\ndef f(x):\n    return x / 0", "'ignore'", "'raise'"
    ),
    "single dispatch": Kind(
        """
        @functools.singledispatch
        def f(x):
            return x
        @f.register
        def _(x: np.ndarray):
            return x / 255
        """,
        "/ 255",
        "/ 127.5",
    ),
    "single dispatch of methods": Kind(
        """
        class C:
            @functools.singledispatchmethod
            def run(self, x):
                return x
            @run.register
            def _(self, x: np.ndarray):
                return x / S
        S = 255
        c = C()
        def f(x):
            return c.run(x)
        """,
        "S = 255",
        "S = 127.5",
    ),
    "cached special method": Kind(
        """
        S = 255
        class C:
            @functools.lru_cache
            def __call__(self, x):
                return S
        f = C()
        """,
        "S = 255",
        "S = 127.5",
    ),
    "cached property": Kind(
        """
        S = 255
        class C:
            @functools.cached_property
            def s(self):
                return S
            def __call__(self, x):
                return x / self.s
        f = C()
        """,
        "S = 255",
        "S = 127.5",
    ),
    "partial method": Kind(
        """
        S = 255
        class C:
            def run(self, s, x):
                return x / s
            go = functools.partialmethod(run, S)
        c = C()
        def f(x):
            return c.go(x)
        """,
        "S = 255",
        "S = 127.5",
    ),
    "special attribute": Kind(
        """
        S = 255
        class C:
            __scale__ = S
            def __call__(self, x):
                return x / self.__scale__
        f = C()
        """,
        "S = 255",
        "S = 127.5",
    ),
    "vectorized": Kind(
        "S = 255\n@np.vectorize\ndef f(x):\n    return x / S\n", "S = 255", "S = 127.5"
    ),
    "module in a closure": Kind(
        """
        def make():
            import outer
            def g(x):
                return outer.cut(x)
            return g
        f = make()
        """,
        "x[3:]",
        "x[4:]",
    ),
    "module as a default": Kind(
        "import outer\ndef f(x, m=outer):\n    return m.scaled(x)\n", "SIZE = 255", "SIZE = 127.5"
    ),
    "module as an attribute": Kind(
        """
        import outer
        class C:
            m = outer
            def __call__(self, x):
                return self.m.scaled(x)
        f = C()
        """,
        "SIZE = 255",
        "SIZE = 127.5",
    ),
    "module as an argument": Kind(
        "import outer\ndef g(m, x):\n    return m.scaled(x)\ndef f(x):\n    return g(outer, x)\n",
        "SIZE = 255",
        "SIZE = 127.5",
    ),
    "module that is imported when called": Kind(
        "def f(x):\n    from outer import inner\n    return x / inner.SIZE\n",
        "SIZE = 255",
        "SIZE = 127.5",
    ),
    "module by a text": Kind(
        "import inner\ndef f(x):\n    return x / getattr(inner, 'SIZE')\n",
        "SIZE = 255",
        "SIZE = 127.5",
    ),
    "global by a text": Kind(
        "S = 255\ndef f(x):\n    return x / globals()['S']\n", "S = 255", "S = 127.5"
    ),
    "value of an enum": Kind(
        """
        S = 255
        class E(enum.Enum):
            A = S
        def f(x):
            return x / E.A.value
        """,
        "S = 255",
        "S = 127.5",
    ),
    "method of an enum": Kind(
        """
        S = 255
        class E(enum.Enum):
            A = 1
            def run(self, x):
                return x / S
        def f(x):
            return E.A.run(x)
        """,
        "S = 255",
        "S = 127.5",
    ),
    "attribute of a member": Kind(
        """
        S = 255
        class E(enum.Enum):
            A = 1
            def __init__(self, _):
                self.s = S
        def f(x):
            return x / E.A.s
        """,
        "S = 255",
        "S = 127.5",
    ),
    "float": Kind(
        "class F(float):\n    pass\nS = F(255)\ndef f(x):\n    return x / S\n", "F(255)", "F(1)"
    ),
    "int": Kind(
        "class F(int):\n    pass\nS = F(255)\ndef f(x):\n    return x / S\n", "F(255)", "F(1)"
    ),
    "str": Kind(
        "class F(str):\n    pass\nS = F('a')\ndef f(x):\n    return x[S]\n", "F('a')", "F('b')"
    ),
    "bytes": Kind(
        "class F(bytes):\n    pass\nS = F(b'a')\ndef f(x):\n    return x[S]\n", "b'a'", "b'c'"
    ),
    "list": Kind(
        "class F(list):\n    pass\nS = F([255])\ndef f(x):\n    return x / S[0]\n", "[255]", "[1]"
    ),
    "dict": Kind(
        "class F(dict):\n    pass\nS = F(a=255)\ndef f(x):\n    return x / S['a']\n", "a=255", "a=1"
    ),
    "set": Kind(
        "class F(set):\n    pass\nS = F([255])\ndef f(x):\n    return x in S\n", "[255]", "[1]"
    ),
    "tuple": Kind(
        "class F(tuple):\n    pass\nS = F([255])\ndef f(x):\n    return x / S[0]\n", "[255]", "[1]"
    ),
    "deque": Kind(
        "class F(collections.deque):\n    pass\nS = F([255])\ndef f(x):\n    return x / S[0]\n",
        "[255]",
        "[1]",
    ),
    "attribute of a deque": Kind(
        "class F(collections.deque):\n    pass\nS = F()\nS.a = 255\ndef f(x):\n    return S.a\n",
        "S.a = 255",
        "S.a = 1",
    ),
    "private slot": Kind(
        """
        class C:
            __slots__ = ("__s",)
            def __init__(self, s):
                self.__s = s
            def __call__(self, x):
                return x / self.__s
        f = C(255)
        """,
        "C(255)",
        "C(127.5)",
    ),
    "slot of a base": Kind(
        """
        class B:
            __slots__ = {"s": "a number"}
        class C(B):
            __slots__ = ()
            def __call__(self, x):
                return x / self.s
        f = C()
        f.s = 255
        """,
        "f.s = 255",
        "f.s = 1",
    ),
    "metaclass": Kind(
        """
        class M(type):
            def scale(cls):
                return 255
        class C(metaclass=M):
            pass
        def f(x):
            return x / C.scale()
        """,
        "return 255",
        "return 127.5",
    ),
    "protocol": Kind(
        """
        class B(typing.Protocol):
            def g(self): ...
        class C(B):
            def g(self):
                return S
        S = 255
        c = C()
        def f(x):
            return x / c.g()
        """,
        "S = 255",
        "S = 127.5",
    ),
    "class made by a call": Kind(
        "C = type('C', (), {'s': 255})\ndef f(x):\n    return x / C.s\n", ": 255", ": 127.5"
    ),
    "factory of a field": Kind(
        """
        S = 255
        @dataclasses.dataclass
        class C:
            s: list = dataclasses.field(default_factory=lambda: [S])
        def f(x):
            return x / C().s[0]
        """,
        "S = 255",
        "S = 127.5",
    ),
    "mask": Kind(
        "S = np.ma.array([2., 1], mask=[0, 1])\ndef f(x):\n    return x / S\n", "[0, 1]", "[0, 0]"
    ),
    "fill value": Kind(
        "S = np.ma.array([2.], mask=[1], fill_value=7)\ndef f(x):\n    return x * S.filled()\n",
        "fill_value=7",
        "fill_value=9",
    ),
    "names of fields": Kind(
        "S = np.array([(2., 1)], [('a', float), ('b', float)])\ndef f(x):\n    return x / S['a']\n",
        "('a', float), ('b', float)",
        "('b', float), ('a', float)",
    ),
    "kind of array": Kind(
        "S = np.array([2.]).view(np.ndarray)\ndef f(x):\n    return x * S\n",
        "np.ndarray",
        "np.recarray",
    ),
    "picture": Kind(
        "from PIL import Image\nS = Image.new('RGB', (2, 2), 255)\n"
        "def f(x):\n    return x * np.asarray(S)\n",
        "2), 255",
        "2), 127",
    ),
    "seed": Kind(
        "S = np.random.default_rng(255)\ndef f(x):\n    return S\n", "rng(255)", "rng(127)"
    ),
    "seed of Python": Kind(
        "S = random.Random(255)\ndef f(x):\n    return S\n", "Random(255)", "Random(127)"
    ),
    "value of a thread": Kind(
        "S = threading.local()\nS.a = 255\ndef f(x):\n    return x / S.a\n", "a = 255", "a = 1"
    ),
    "value of a context": Kind(
        "S = contextvars.ContextVar('S', default=255)\ndef f(x):\n    return x / S.get()\n",
        "default=255",
        "default=1",
    ),
    "weak reference": Kind(
        "def g(x):\n    return x / 255\nS = weakref.ref(g)\ndef f(x):\n    return S()(x)\n",
        "/ 255",
        "/ 127.5",
    ),
    "context manager as a decorator": Kind(
        """
        @contextlib.contextmanager
        def c(s):
            yield s
        @c(255)
        def f(x):
            return x
        """,
        "c(255)",
        "c(127.5)",
    ),
    "module that is imported by a text": Kind(
        "import importlib\ndef f(x):\n    return x / importlib.import_module('inner').SIZE\n",
        "SIZE = 255",
        "SIZE = 127.5",
    ),
    "cached method of an enum": Kind(
        """
        S = 255
        class E(enum.Enum):
            A = 1
            @functools.lru_cache
            def __call__(self, x):
                return x / S
        def f(x):
            return E.A(x)
        """,
        "S = 255",
        "S = 127.5",
    ),
    "mapping of the user's": Kind(
        """
        class C(collections.abc.Mapping):
            def __init__(self, s):
                self.s = s
            def __getitem__(self, key):
                raise RuntimeError
            __iter__ = __len__ = __getitem__
        S = C(255)
        def f(x):
            return x / S.s
        """,
        "C(255)",
        "C(127.5)",
    ),
    "structure of C": Kind(
        """
        class C(ctypes.Structure):
            _fields_ = [("s", ctypes.c_double)]
        S = C(255)
        def f(x):
            return x / S.s
        """,
        "C(255)",
        "C(127.5)",
    ),
    "very large number": Kind(
        "S = 2**90000\ndef f(x):\n    return x % S\n", "2**90000", "2**90001"
    ),
    "attribute of random numbers": Kind(
        "class C(random.Random):\n    pass\nS = C()\nS.a = 255\ndef f(x):\n    return S.a\n",
        "S.a = 255",
        "S.a = 1",
    ),
    "docstring that it reads": Kind(
        "def f(x):\n    return f.__doc__\nf.__doc__ = '255'\n", "'255'", "'127.5'"
    ),
    "name of a library": Kind(
        "S = ctypes.CDLL(None)\ndef f(x):\n    return S.abs(x)\n", "S.abs", "S.labs"
    ),
    "types of a library": Kind(
        "S = ctypes.CDLL(None)\nS.abs.restype = ctypes.c_long\ndef f(x):\n    return S.abs(x)\n",
        "c_long",
        "c_short",
    ),
}
IDLE = "IDLE = 1", "IDLE = 2"  # nothing uses it


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_change_counts(load: Load, kind: Kind) -> None:
    before = load(kind.text)
    assert load(kind.text) == before
    assert load(kind.text, (kind.old, kind.new)) != before


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_it_does_not_use_does_not_count(load: Load, kind: Kind) -> None:
    lines = "IDLE = 1\n", "IDLE = 1  # one\n\n\n"
    before = load(kind.text)
    assert load(kind.text, IDLE) == before
    assert load(kind.text, lines) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a + 1,", "a + 1,  # more"),
        ("a + 1", "(a\n        +1)"),
        ('"""Do it."""', '"""Do it well."""'),
        ("'x'", '"x"'),
    ],
)
def test_how_it_is_written_does_not_count(load: Load, old: str, new: str) -> None:
    text = 'def f(a):\n    """Do it."""\n    return (a + 1,\n        \'x\')\n'
    assert load(text) == load(text, (old, new))


@pytest.mark.parametrize(
    "text",
    [
        "S = logging.getLogger(__name__)\nS.addHandler(logging.StreamHandler())",
        "S = threading.Lock(), threading.RLock(), threading.Event(), threading.Condition()",
        "S = threading.local()",
        "S = np.random.default_rng(), np.random.RandomState(), random.Random(), np.random.rand",
        "from random import gauss as S",
        "S = ctypes.CDLL(None).getpid",
        "S = environ, os.environ, sys.argv, sys.stdout",
        "S = object(), weakref.WeakKeyDictionary(), weakref.WeakSet()",
        "S = typing.Union[int, None], list[int], int | None, typing.TypeVar('T')",
        "S = functools.partial(np.clip, a_min=0), io.DEFAULT_BUFFER_SIZE, memoryview(b'a')",
    ],
)
def test_what_decides_nothing_is_no_obstacle(
    load: Load, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Nor is it another thing in another process."""
    text += "\ndef f(x):\n    S\n    return x / 255\n"
    before = load(text)
    monkeypatch.setenv("KYCQUANT_TEST", "1")
    monkeypatch.setattr(sys, "argv", ["other"])
    logging.getLogger("gatefile").setLevel(logging.DEBUG)
    assert load(text) == before
    assert load(text, ("/ 255", "/ 127.5")) != before


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import cv2\nCLAHE = cv2.createCLAHE()\ndef f(x):\n    return CLAHE", "CLAHE of module"),
        (
            "class C:\n    def __init__(self):\n        self.g = (n for n in 'a')\n"
            "    def __call__(self, x):\n        return x\nf = C()",
            "an object of gatefile.C",
        ),
        ("S = []\nfor _ in range(5000):\n    S = [S]\ndef f(x):\n    return S", "S of module"),
        ("S = np.frompyfunc(lambda x: x, 1, 1)\ndef f(x):\n    return S", "S of module gatefile"),
        ("S = {'a': (n for n in 'a')}\ndef f(x):\n    return S", r"S of module .* \(dict\), which"),
    ],
)
def test_the_message_names_the_variable(load: Load, text: str, problem: str) -> None:
    with pytest.raises(SpecError, match=f"{problem}.*(read).*make it inside"):
        load(text)


def test_tables_count_by_content(load: Load) -> None:
    pytest.importorskip("pandas")
    text = """
    import pandas as pd
    S = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}, index=[3, 4])
    T = pd.Series([1, 2], name="c", dtype="category")
    def f(x):
        return x * S["a"][3], T
    """
    before = load(text)
    edits = {"1.0": "1.5", '"b"': '"c"', '"y"': '"z"', "[3, 4]": "[3, 5]", "[1, 2]": "[1, 3]"}
    for old, new in edits.items():
        assert load(text, (old, new)) != before
    assert load(text, IDLE) == before == load(text)


def test_it_is_taken_once(load: Load) -> None:
    """What a function fills while it runs does not count."""
    text = """
    TABLES, COUNT = {}, 0
    def f(x):
        global COUNT
        COUNT += 1
        return TABLES.setdefault(x, COUNT)
    """
    before = load(text)
    gate: Any = sys.modules["gatefile"]
    assert gate.f(1) == gate.f(1) == 1
    assert function_digest(gate.f, WHERE) == before == load(text)


def test_a_package_without_init_is_the_users(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "spacious"
    folder.mkdir()
    found = []
    for number in (1, 2):
        (folder / "part.py").write_text(f"SIZE = {number}\n")
        for name in ("spacious", "spacious.part"):
            sys.modules.pop(name, None)
        found.append(load("import spacious.part\ndef f(x):\n    return x / spacious.part.SIZE\n"))
    assert found[0] != found[1]
