"""Damaged bytes of small models of several kinds: each is loaded or refused in one short line."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds import graph_writer, monsters
from tests.worlds.zoo import tiny_embedder


def _normalized() -> onnx.ModelProto:
    writer = graph_writer.Writer()
    writer.const("v", graph_writer.weight())
    writer.const("axes", np.array([1, 2, 3], np.int64))
    writer.node("ReduceL2", ["v", "axes"], "length", keepdims=1)
    writer.node("Div", ["v", "length"], "w")
    return graph_writer.model(writer)


def _recurrent() -> onnx.ModelProto:
    writer = graph_writer.Writer()
    writer.node("Identity", [writer.const("f", graph_writer.weight((1, 64, 8)))], "w")
    return graph_writer.model(writer, reader="LSTM")


KINDS: dict[str, Callable[[], onnx.ModelProto]] = {
    "embedder": tiny_embedder,
    "functions": lambda: monsters.chain(5),
    "branches": lambda: monsters.nested(4),
    "loop": lambda: monsters.loop(helper.make_node("Neg", ["v"], ["n"]), result="n"),
    "computed weights": _normalized,
    "recurrent": _recurrent,
}


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Flip bits, delete, overwrite and insert bytes, at a few places."""
    found = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4])):
        place = chance.randrange(len(found))
        match chance.randrange(4):
            case 0:
                found[place] ^= 1 << chance.randrange(8)
            case 1:
                del found[place : place + chance.choice([1, 2, 8, 50])]
            case 2:
                found[place] = chance.randrange(256)
            case _:
                found[place:place] = chance.randbytes(chance.choice([1, 2, 8]))
    return bytes(found)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes(tmp_path: Path, kind: str, seed: int) -> None:
    path = tmp_path / "face.onnx"
    path.write_bytes(damaged(KINDS[kind]().SerializeToString(), random.Random(f"{kind} {seed}")))
    try:
        load_model(path)
    except ModelError as error:
        text = str(error)
        if len(text) > 700 + len(str(path)) or not text.isprintable():
            pytest.fail(ascii(text[:2000]))
