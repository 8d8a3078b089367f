"""Values that are seldom right, and some whose every method raises an error."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import itertools
import pathlib
from typing import Any

import numpy as np
import pytest


class Missing:
    """Like the NA of pandas: comparing it gives itself, and it is neither true nor false."""

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __float__(self) -> float:
        raise TypeError("float() argument must not be NA")


def raising(error: BaseException, *methods: str) -> Any:
    """An object of which some methods raise an error."""

    def method(self: object, *args: object) -> Any:
        raise error

    return type("Raising", (), dict.fromkeys(methods, method))()


class Text(str):
    __slots__ = ()


class Channel(enum.StrEnum):
    RGB = "RGB"
    INT8 = "int8"
    NO = "no"


class Colour(enum.Enum):
    RGB = "RGB"


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"models/face.onnx"


_DUNDERS = (
    *("__repr__", "__str__", "__eq__", "__bool__", "__float__", "__index__", "__iter__"),
    *("__len__", "__fspath__", "__getitem__", "__contains__"),
)
_LOOP: list[Any] = []
_LOOP.append(_LOOP)

ODD: tuple[Any, ...] = (
    *(np.array(0.2), np.array(5), np.array("int8"), np.array(["a", "b"]), np.array(["RGB"])),
    *(np.array([1, 2, 3]), np.array([0.2]), np.array([]), np.zeros((2, 2)), np.array([None])),
    *(np.array(None), np.zeros((16, 16, 3), np.uint8), np.ma.array([1, 2], mask=[1, 0])),
    *(np.float32(0.2), np.float64("nan"), np.bool_(True), np.int8(5), np.str_("int8"), np.str_("")),
    *(np.datetime64("NaT"), np.timedelta64(5, "s"), np.void(b"x"), np.bytes_(b"x")),
    *(decimal.Decimal("0.2"), decimal.Decimal("sNaN"), decimal.Decimal("1e9999")),
    *(fractions.Fraction(1, 5), datetime.date(2026, 1, 1), Colour.RGB, *Channel),
    *(pathlib.Path("models/face.onnx"), pathlib.PurePath("x\0y"), BytesPath(), Text("int8")),
    *(Missing(), [Missing()], (Missing(),)),
    *(raising(TypeError("no"), name) for name in _DUNDERS if name != "__repr__"),
    *(raising(ValueError("\x1b[2J" * 10_000), name) for name in ("__repr__", "__float__")),
    *(raising(pytest.skip.Exception("later"), name) for name in ("__repr__", "__float__")),
    raising(RuntimeError("no"), *_DUNDERS),
    *(_LOOP, [[1, 2], [3]], ("RGB", None), (None,), ([],), [{}], {"int8"}, frozenset({"a"})),
    *({"int8": 1}, {}, {1: 2}.keys(), collections.OrderedDict(), range(3), iter([]), iter("ab")),
    *(itertools.count(), itertools.repeat("a"), list(range(100_001)), [], (), set()),
    *("", " ", "x", "int8", "fp16", "fp32", "\ud800", "a\ud800.onnx", "int8\n", "\x1b[2J"),
    *("x" * 200_000, "../../x", "/", "~", "a/../b", "a\0b", "\u202egnp", "INT8 "),
    *(b"", b"x", bytearray(b"5"), memoryview(b"5"), 0, 1, -1, 5, 2.5, -0.0, 5e-324, 1e308),
    *(10**30, -(10**30), 10**400, 2**63, float("nan"), float("inf"), 1j, True, False, None),
    *((16, 16), (2**31, 2**31), [16, 16.0], np.array([16, 16]), (1e300, 1), NotImplemented),
    *(Ellipsis, type, int, print, object(), lambda *a: 0),
)
