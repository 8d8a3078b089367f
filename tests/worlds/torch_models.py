"""The embedder of `population.py` as a module of torch, and files that hold it."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import pytest

SOURCE = '''
"""A torch model with the weights of an ONNX file."""

import pathlib

import onnx
import torch
from onnx import numpy_helper
from torch import nn

WEIGHTS = pathlib.Path(__file__).with_name("models") / "face.onnx"


class Embedder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4, bias=False)
        self.act = nn.PReLU(1, 0.6)
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 1, bias=False), nn.Conv2d(width, width, 1, bias=False),
        )
        self.tail = nn.Sequential(
            nn.Conv2d(width, width, 1, bias=False), nn.Conv2d(width, width, 1, bias=False),
        )
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(width * 16, 96)

    def forward(self, input):
        x = self.act(self.body(self.act(self.stem(input))))
        return self.head(self.drop(self.tail(x).flatten(1)))


def make(weights=WEIGHTS):
    tensors = onnx.load(weights).graph.initializer
    known = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in tensors}
    model = Embedder(len(known["first.w"]))
    layers = [model.stem, *model.body, *model.tail]
    for layer, name in zip(layers, ("first", "second", "third", "fourth", "fifth")):
        layer.weight.data = known[f"{name}.w"]
    model.head.weight.data, model.head.bias.data = known["gemm.w"], known["gemm.b"]
    return model  # in training mode


def other():
    model = make()
    model.tail[0].weight.data *= 1.1
    return model


def infinite():
    model = make()
    model.head.bias.data[3] = float("nan")
    return model


class Two(nn.Module):
    def forward(self, input):
        found = make().eval()(input)
        return found, found


class Wide(nn.Module):
    def forward(self, input):
        return make().eval()(input)[:, :50]


class Pair(nn.Module):
    def forward(self, selfie, document):
        return selfie - document


class Text(nn.Module):
    def forward(self, input):
        return {"name": "a face", "score": input.sum()}


class Picky(nn.Module):
    def forward(self, input):
        raise ValueError("no faces, please")


def broken():
    raise RuntimeError("no weights")


NUMBER = 3
'''


@functools.cache
def torch_or_skip() -> Any:
    """The module torch with all that opening a program imports, or skip the test.

    pytester unloads what an inner run imports, and torch cannot be imported a second time.
    """
    torch = pytest.importorskip("torch", reason='torch is not installed: pip install -e ".[torch]"')
    program = torch.export.load(io.BytesIO(exported(torch.nn.Flatten())))
    program.module()(torch.zeros(1, 3, 16, 16))
    return torch


def write_source(folder: Path) -> Path:
    """Write ``source.py`` beside ``models/face.onnx``."""
    path = folder / "source.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def exported(model: Any, shape: tuple[int, ...] = (1, 3, 16, 16)) -> bytes:
    """A module as a ``.pt2`` file."""
    import torch

    stream = io.BytesIO()
    torch.export.save(torch.export.export(model, (torch.zeros(shape),)), stream)
    return stream.getvalue()
