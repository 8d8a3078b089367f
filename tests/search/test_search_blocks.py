"""A block is an operator with weights and the arithmetic that depends on it alone."""

from __future__ import annotations

import numpy as np
from onnx import helper

from pytest_kycquant.quantize.blocks import blocks_of
from pytest_kycquant.quantize.search import Block
from tests.worlds.zoo import build_model

CONV = {"kernel_shape": [1, 1]}


def blocks(
    nodes: list[tuple[str, list[str], str]], others: set[str] | None = None
) -> tuple[Block, ...]:
    """Blocks of operators given by type, inputs and output; the output is also their name."""
    weights = {"w": np.zeros((3, 3, 1, 1), np.float32), "half": np.float32([0.5])}
    made = [
        helper.make_node(kind, inputs, [out], out, **(CONV if kind == "Conv" else {}))
        for kind, inputs, out in nodes
    ]
    graph = build_model(made, weights).graph
    starts = {node.name for node in made if node.op_type == "Conv"}
    return blocks_of(graph, starts, {n.name for n in made} if others is None else others)


def names(found: tuple[Block, ...]) -> list[tuple[str, ...]]:
    return [block.names for block in found]


def test_sigmoid_and_product_of_a_silu() -> None:
    found = blocks(
        [
            ("Conv", ["input", "w"], "conv1"),
            ("Sigmoid", ["conv1"], "sigmoid"),
            ("Mul", ["conv1", "sigmoid"], "mul"),
            ("Conv", ["mul", "w"], "conv2"),
        ]
    )
    assert names(found) == [("conv1", "sigmoid", "mul"), ("conv2",)]


def test_what_a_prelu_was_rewritten_to() -> None:
    """(1 - s) * Relu(x) + s * x: constants are read as well as the block."""
    found = blocks(
        [
            ("Conv", ["input", "w"], "conv"),
            ("Relu", ["conv"], "relu"),
            ("Mul", ["relu", "half"], "positive"),
            ("Mul", ["conv", "half"], "all"),
            ("Add", ["positive", "all"], "sum"),
        ]
    )
    assert names(found) == [("conv", "relu", "positive", "all", "sum")]


def test_sum_of_a_residual_connection_belongs_to_neither_branch() -> None:
    found = blocks(
        [
            ("Conv", ["input", "w"], "conv1"),
            ("Relu", ["conv1"], "relu1"),
            ("Conv", ["relu1", "w"], "conv2"),
            ("Add", ["conv2", "relu1"], "sum"),
            ("Relu", ["sum"], "relu2"),
        ]
    )
    assert names(found) == [("conv1", "relu1"), ("conv2",)]


def test_pooling_ends_a_block() -> None:
    found = blocks(
        [
            ("Conv", ["input", "w"], "conv"),
            ("GlobalAveragePool", ["conv"], "pool"),
            ("Sigmoid", ["pool"], "sigmoid"),
        ]
    )
    assert names(found) == [("conv",)]


def test_what_the_recipe_does_not_quantize_is_not_named() -> None:
    """It is passed through: the product after it still belongs to the convolution."""
    nodes = [
        ("Conv", ["input", "w"], "conv"),
        ("Tanh", ["conv"], "tanh"),
        ("Mul", ["conv", "tanh"], "mul"),
    ]
    assert names(blocks(nodes, {"mul"})) == [("conv", "mul")]


def test_bytes_of_the_weights() -> None:
    (small,) = blocks([("Conv", ["input", "half"], "conv")])
    (large,) = blocks([("Conv", ["input", "w"], "conv")])
    assert large.saves - small.saves >= 4 * 8
