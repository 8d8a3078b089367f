"""What does each switch of static INT8 give? Error of held-out outputs against FP32, and size.

The models of this repository, and the real ones in `KYCQUANT_REAL` (or `../shared/real`) where
they are present. Ranges come from the first half of a folder of images, figures from the second.
Run with::

    python -m benchmarks.quantizer [--images N] [--models NAME ...] [--methods NAME ...]

For each part of the outputs it prints the error (root mean square of the difference from FP32,
relative to the root mean square of FP32) and the mean and smallest cosine to FP32. The cosine of an
output near zero says little; the error gives such outputs their proper weight.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant import presets
from pytest_kycquant.context.scratch import scratch_context
from pytest_kycquant.data.images import ImageSet, preprocess
from pytest_kycquant.quantize import Quantizer, build
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.model import Preprocess
from pytest_kycquant.spec.recipe import Recipe

HERE = Path(__file__).resolve().parent.parent
REAL = Path(os.environ.get("KYCQUANT_REAL", HERE.parent / "shared" / "real"))
METHODS = ("minmax", "moving-average", "percentile", "local-mse", "mse")
"""The methods of recipes, and "local-mse": "mse" without looking at the outputs."""

Array = NDArray[np.float32]
Part = Callable[[list[Array]], NDArray[np.float64]]


def _all(outputs: list[Array]) -> NDArray[np.float64]:
    return np.concatenate([output.ravel() for output in outputs]).astype(np.float64)


def _channels(first: int, last: int | None) -> Part:
    """Some channels, `[1, C, ...]`, of every output."""
    return lambda outputs: _all([output[:, first:last] for output in outputs])


@dataclass(frozen=True)
class Case:
    """A model, images for it, and the parts of its outputs that are judged separately."""

    model: Path
    images: Path
    preprocess: Preprocess
    parts: dict[str, Part]
    op_types: tuple[str, ...] | None = None
    share: float = 1.0  # share of the requested images that is used; less where they are large


CASES = {
    "arcface": Case(
        HERE / "models/arcface_fp32.onnx",
        HERE / "calibration/faces",
        presets.ARCFACE,
        {"embedding": _all},
    ),
    "minifasnet": Case(
        HERE / "models/minifasnet_fp32.onnx",
        HERE / "calibration/liveness",
        presets.MINIFASNET,
        {"logits": _all},
    ),
    "yolov8": Case(
        HERE / "models/yolov8_fp32.onnx",
        HERE / "calibration/documents",
        replace(presets.YOLOV8, size=(320, 320)),
        {"boxes": _channels(0, 4), "scores": _channels(4, None)},
        ("Conv",),
    ),
    "mobilefacenet (real)": Case(
        REAL / "models/mobilefacenet_fp32.onnx",
        REAL / "faces/calibration",
        Preprocess(size=(112, 112), mean=127.5, scale=1 / 128, channels="BGR"),
        {"embedding": _all},
    ),
    "MiniFASNetV2 (real)": Case(
        REAL / "models/MiniFASNetV2.onnx",
        REAL / "scenes/images",
        presets.MINIFASNET,
        {"logits": _all},
    ),
    "yolov8-lite-t (real)": Case(
        REAL / "models/yolov8-lite-t.onnx",
        REAL / "scenes/images",
        presets.YOLOV8,
        {"boxes": _channels(0, 64), "scores": _channels(64, 65)},
        ("Conv",),
        0.25,
    ),
}


class Figures(NamedTuple):
    """Error and cosines relative to FP32, over images."""

    error: float
    mean_cosine: float
    min_cosine: float


def figures(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> Figures:
    """Compare outputs with those of FP32, both of shape `[images, values]`."""
    error = np.sqrt(np.square(found - wanted).sum() / np.square(wanted).sum())
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    cosines = np.einsum("ij,ij->i", found, wanted) / lengths
    return Figures(float(error), float(cosines.mean()), float(cosines.min()))


def read(folder: Path, spec: Preprocess, count: int) -> tuple[list[tuple[str, Array]], list[Array]]:
    """Calibration images, with names, from the folder's first half; held-out ones from the rest."""
    files = sorted(folder.rglob("*.jpg"))
    chosen = np.linspace(0, len(files) - 1, min(2 * count, len(files))).astype(int)
    images = ImageSet.from_files(folder, [files[i] for i in chosen])
    pairs = [(n, preprocess(images.pixels(i), spec, n)) for i, n in enumerate(images.names)]
    half = len(pairs) // 2
    return pairs[:half], [array for _, array in pairs[half:]]


def full_range(model: Path, calibration: list[tuple[str, Array]], probes: list[Array]) -> Quantizer:
    """The quantizer as on a CPU that does not saturate, whatever this CPU does."""
    context = scratch_context()
    environment = replace(context.environment, u8s8_saturates=False)
    context = replace(context, environment=environment)
    return Quantizer(model, calibration, probes=probes, context=context)


def rows(
    case: Case, count: int, methods: Iterable[str]
) -> Iterable[tuple[str, float, dict[str, Figures]]]:
    """Label, size relative to FP32 and figures of each part, for each recipe."""
    calibration, held_out = read(case.images, case.preprocess, max(8, int(count * case.share)))
    probes = [array for _, array in calibration[:4]]
    quantizer = full_range(case.model, calibration, probes)
    loaded = quantizer.loaded

    def outputs(content: bytes) -> list[list[Array]]:
        session = open_session(content)
        return [session.run(None, {loaded.input_name: array}) for array in held_out]

    wanted = outputs(case.model.read_bytes())
    equalized = quantizer.result("start", "int8").equalized
    switches = list(product((False, True), repeat=2)) if equalized else None
    for method in methods:
        for scaled, corrected in switches or ((False, False), (False, True)):
            recipe = Recipe(
                "int8",
                calibration_method="mse" if method == "local-mse" else method,
                equalize=scaled,
                bias_correction=corrected,
                op_types=case.op_types,
                rewrites=False,
            )
            if method == "local-mse":
                local = quantizer.result("observe", recipe).ranges("mse")
                made = build(replace(quantizer.ingredients(recipe), ranges=local), recipe).content
            else:
                made = quantizer.build(recipe).content
            found = outputs(made)
            label = method + " +equalize" * scaled + " +bias" * corrected
            yield (
                label,
                len(made) / loaded.size,
                {
                    name: figures(np.stack([*map(part, found)]), np.stack([*map(part, wanted)]))
                    for name, part in case.parts.items()
                },
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64, help="for each half (default 64)")
    parser.add_argument("--models", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    given = parser.parse_args()
    for name in given.models:
        case = CASES[name]
        if not (case.model.is_file() and case.images.is_dir()):
            print(f"{name}: not present\n")
            continue
        types = "all operators" if case.op_types is None else " and ".join(case.op_types)
        print(f"{name}, {types}: error, mean cosine / smallest")
        for label, size, parts in rows(case, given.images, given.methods):
            shown = "   ".join(
                f"{part} {f.error:.4f}, {f.mean_cosine:.4f} / {f.min_cosine:.4f}"
                for part, f in parts.items()
            )
            print(f"  {label:32} size {size:.3f}   {shown}", flush=True)
        print()


if __name__ == "__main__":
    main()
