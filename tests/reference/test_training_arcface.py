from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

pytest.importorskip("torch")

from models.rendering import faces
from models.training import arcface
from models.training.export import export


@pytest.fixture(scope="module")
def pool() -> np.ndarray:
    return np.stack([[faces.aligned(seed, i) for i in range(3)] for seed in range(4)])


@pytest.fixture(scope="module")
def trained(pool, tmp_path_factory):
    checkpoint = tmp_path_factory.mktemp("training") / "weights.pt"
    return arcface.train(pool, 6, batch=6, checkpoint=checkpoint)


def test_training_is_reproducible_and_finite(pool, trained):
    again = arcface.train(pool, 6, batch=6)
    ours, theirs = arcface.embed(trained, pool[0]), arcface.embed(again, pool[0])
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_export_equals_torch_and_keeps_its_operators(pool, trained, tmp_path):
    path = tmp_path / "arcface.onnx"
    export(trained, arcface.SHAPE, path, output_names=("embedding",))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": arcface.normalise(pool[0]).numpy()})
    assert found.shape == (3, arcface.EMBEDDING)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, arcface.embed(trained, pool[0]), atol=1e-4)
    operators = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert operators["PRelu"] == 33
    assert operators["Conv"] == 50
    assert "BatchNormalization" not in operators


def test_the_margin_makes_the_right_identity_harder():
    import torch

    torch.manual_seed(0)
    loss = arcface.ArcMargin(5)
    embeddings, labels = torch.randn(8, arcface.EMBEDDING), torch.arange(8) % 5
    plain, harder = (float(loss(embeddings, labels, margin).detach()) for margin in (0.0, 0.4))
    assert harder > plain


def test_the_margin_is_cos_of_the_enlarged_angle():
    import torch

    loss = arcface.ArcMargin(2)
    with torch.no_grad():
        loss.centres.zero_()
        loss.centres[0, 0] = loss.centres[1, 1] = 1.0
    angle, margin = 1.3, 0.4
    embedding = torch.zeros(1, arcface.EMBEDDING)
    embedding[0, 0], embedding[0, 2] = np.cos(angle), np.sin(angle)
    found = float(loss(embedding, torch.tensor([0]), margin).detach())
    assert found == pytest.approx(
        np.log1p(np.exp(-arcface.SCALE * np.cos(angle + margin))), rel=1e-4
    )


def test_every_picture_comes_once_before_any_comes_again(pool):
    rng = np.random.default_rng(0)
    labels = [label for _, batch in arcface.batches(pool, 2, 6, rng) for label in batch.tolist()]
    assert Counter(labels) == {0: 3, 1: 3, 2: 3, 3: 3}


def test_verification_counts_rejected_people():
    subjects = np.repeat(np.arange(20), 2)
    perfect = np.eye(20, dtype=np.float32)[subjects]
    assert arcface.verification(perfect, subjects, far=0.0) == 0.0
    broken = perfect.copy()
    broken[1] = perfect[2]  # one of 20 people looks like someone else
    assert arcface.verification(broken, subjects, far=0.01) == pytest.approx(1 / 20)
