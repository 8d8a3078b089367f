"""What do exact rewrites of FP32 give? Size, latency and cosine of variants with and without them.

It measures the reference models of this repository and, where a folder contains them (laid out as
for `tests/real`), the public MobileFaceNet and MiniFASNetV2. Run with::

    python -m benchmarks.rewrites [--real DIR]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from pytest_kycquant.data.files import find_images
from pytest_kycquant.data.images import ImageSet, preprocess
from pytest_kycquant.measure.latency import measure
from pytest_kycquant.quantize import Quantizer
from pytest_kycquant.runtimes.environment import describe_machine
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.limits import Limits
from pytest_kycquant.spec.model import Preprocess
from pytest_kycquant.spec.recipe import Recipe

PROBES, CALIBRATION, HELD_OUT = 8, 64, 60
NONE_SLOWER = Limits(latency_ratio=1.0)["latency_ratio"]
INT8 = Recipe("int8", equalize=False, bias_correction=False)
VARIANTS = (
    replace(INT8, name="int8, no rewrite", rewrites=False),
    Recipe("fp16", name="fp16, no rewrite", rewrites=False),
    Recipe("fp32-optimized"),
    Recipe("fp16"),
    INT8,
)


class Subject(NamedTuple):
    """A model, images for it, and their preprocessing."""

    model: Path
    images: Path
    spec: Preprocess


def reference() -> Iterator[Subject]:
    """The models of this repository."""
    root = Path(__file__).parents[1]
    face = Preprocess(size=(112, 112), mean=127.5, scale=1 / 127.5)
    yield Subject(root / "models/arcface_fp32.onnx", root / "calibration/faces", face)
    live = Preprocess(size=(80, 80), channels="BGR")
    yield Subject(root / "models/minifasnet_fp32.onnx", root / "calibration/liveness", live)


def public(folder: Path) -> Iterator[Subject]:
    """Public models; any photographs will do for latency and cosine."""
    face = Preprocess(size=(112, 112), mean=127.5, scale=1 / 128, channels="BGR")
    faces = folder / "faces/calibration"
    yield Subject(folder / "models/mobilefacenet_fp32.onnx", faces, face)
    live = Preprocess(size=(80, 80), channels="BGR")
    yield Subject(folder / "models/MiniFASNetV2.onnx", folder / "scenes/images", live)


def tensors(subject: Subject) -> list[tuple[str, NDArray[np.float32]]]:
    """Evenly spaced images of the folder, alternately for calibration and held out."""
    files = find_images(subject.images)
    chosen = np.linspace(0, len(files) - 1, CALIBRATION + HELD_OUT).astype(int)
    images = ImageSet.from_files(subject.images, [files[i] for i in np.unique(chosen)])
    spec = subject.spec
    return [(n, preprocess(images.pixels(i), spec, n)) for i, n in enumerate(images.names)]


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def rows(subject: Subject) -> Iterator[list[str]]:
    """A row of the table for each variant."""
    named = tensors(subject)
    calibration, held_out = named[::2], [tensor for _, tensor in named[1::2]]
    probes = [tensor for _, tensor in calibration[:PROBES]]
    quantizer = Quantizer(subject.model, calibration, probes=probes)
    model = quantizer.loaded

    def runner(source: bytes | Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        session = open_session(source)
        return lambda tensor: session.run(None, {model.input_name: tensor})[0]

    fp32, again = runner(model.path), runner(model.path)
    expected = [fp32(tensor) for tensor in held_out]
    for recipe in VARIANTS:
        choice = quantizer.choice(recipe)
        variant = quantizer.build(recipe)
        run = runner(variant.content)
        cosines = [cosine(run(x), y) for x, y in zip(held_out, expected, strict=True)]
        timed = (partial(each, probes[0]) for each in (fp32, again, run))
        took = measure(*timed, limit=NONE_SLOWER)
        yield [
            model.path.stem,
            recipe.name,
            f"{len(variant.content) / model.size:.3f}",
            f"{took.ratio:.2f} [{took.lower:.2f}, {took.upper:.2f}]",
            f"{np.mean(cosines):.4f} / {np.min(cosines):.4f}",
            choice.describe() if choice.names else "",
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, help="folder of public models and photographs")
    folder = parser.parse_args().real
    subjects = [*reference(), *(public(folder) if folder else ())]
    table = [row for subject in subjects for row in rows(subject)]
    headers = ["model", "variant", "size", "latency", "cosine mean / min", "rewrites"]
    print(describe_machine())
    print(tabulate(table, headers=headers, tablefmt="simple", disable_numparse=True))


if __name__ == "__main__":
    main()
