"""Outputs are kept in the order of the images, so the same images in another order are others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from PIL import Image

from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess
from pytest_kycquant.bench.variants import Variants
from pytest_kycquant.context import Context
from pytest_kycquant.context.cache import Cache
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.plain import plain
from pytest_kycquant.runtimes.environment import environment
from pytest_kycquant.tasks.registry import task_of
from tests.worlds.population import embedder, write_npz


def test_images_in_another_order(tmp_path: Path) -> None:
    """As after a correction of labels in a table: the same files, each on the line of another."""
    onnx.save(embedder(), tmp_path / "face.onnx")
    write_npz(tmp_path / "faces.npz", 8)
    (tmp_path / "faces").mkdir()
    with np.load(tmp_path / "faces.npz") as arrays:
        for index, pixels in enumerate(arrays["images"]):
            Image.fromarray(pixels).save(tmp_path / "faces" / f"{index:02d}.png")
    images = ImageSet.from_folder(tmp_path / "faces", "")
    turned = images.subset(np.arange(len(images))[::-1])
    assert images.digest == turned.digest
    context = Context(Cache(tmp_path / "cache", plain(environment())), environment())
    preprocess = Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5)
    model = KycModel(tmp_path / "face.onnx", preprocess, FaceVerification("faces.npz"))

    def resolve(path: object, _: str) -> Path:
        return tmp_path / str(path)

    def outputs(of: ImageSet) -> np.ndarray:
        task = task_of(model, FaceLimits(), resolve)
        variants = Variants(context, model, task, resolve)
        return variants.outputs(variants.fp32, of, "evaluation").values

    for _ in range(2):  # also when both are read again
        one, other = outputs(images), outputs(turned)
        assert np.array_equal(one, other[::-1])
        assert not np.array_equal(one, other)
