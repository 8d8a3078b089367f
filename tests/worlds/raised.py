"""What a user's function may raise, besides an ordinary error."""

from __future__ import annotations

import pytest

from pytest_kycquant.errors import DataError


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class SkippingError(Exception):
    def __str__(self) -> str:
        pytest.skip("later")


RAISED: tuple[BaseException, ...] = (
    *(pytest.skip.Exception("later"), pytest.xfail.Exception("later")),
    *(pytest.fail.Exception("later"), pytest.exit.Exception("later", returncode=0)),
    *(SystemExit(0), SystemExit(), GeneratorExit(), BaseException("x"), StopIteration(1)),
    *(BaseExceptionGroup("g", [SystemExit(0)]), ExceptionGroup("g", [ValueError("x")])),
    *(UnspeakableError(), SkippingError(), ValueError("\x1b[2J\x07"), ValueError("x" * 2_000_000)),
    *(ValueError("\ud800"), KeyError(), MemoryError(), RecursionError(), SystemError("x")),
    *(DataError("a", "b", "c"), AssertionError("assert 1\n + where 1")),
)
