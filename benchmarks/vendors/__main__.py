"""What do the gates say about files that other tools quantize?

NNCF, Neural Compressor, litert-quantizer, OpenVINO's converter and a quantization-aware training
with torch each make their files of one FP32 model, from the same calibration images. A gate file
names them as `Prequantized`, without a word about names, layouts or types. Pytest runs it, and the
table is read from the plugin's own report. The peers' environments are those of
`benchmarks.search`; files whose tool is missing are left out, each with the reason. Run with::

    python -m benchmarks.vendors [--model NAME] [--files NAME ...] [--environments DIR]

The network that is trained is the reference embedder's, so other models have no such rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.quantizer import CASES
from benchmarks.runtimes.__main__ import machine
from benchmarks.runtimes.gating import judge
from benchmarks.runtimes.subjects import SUBJECTS
from benchmarks.runtimes.table import Line, table
from benchmarks.search.environments import REQUIREMENTS
from pytest_kycquant.data.files import find_images
from pytest_kycquant.data.images import ImageSet, preprocess
from pytest_kycquant.quantize import load_model, prepare
from pytest_kycquant.quantize.graph import serialize

from .files import FILES, HERE, File, variants
from .job import IMAGES, write_job

REFERENCE = "arcface"
MODELS = {"arcface": "arcface", "mobilefacenet-real": "mobilefacenet (real)"}
"""Models by name, each with its name in `benchmarks.quantizer`."""
FOLDERS = {"arcface": "calibration/faces", "mobilefacenet-real": "calibration"}
GIVEN = "given"
_CALIBRATION = 100


def make(model: str, files: tuple[File, ...], work: Path, environments: Path) -> dict[str, str]:
    """Make the files in `work`; return why some are missing, by label."""
    case, subject = CASES[MODELS[model]], SUBJECTS[model]
    root = work / "images"
    subject.write(root, ())
    folder = root / FOLDERS[model]
    paths = find_images(folder)
    chosen = np.linspace(0, len(paths) - 1, min(_CALIBRATION, len(paths))).astype(int)
    images = ImageSet.from_files(folder, [paths[index] for index in chosen])
    tensors = np.concatenate(
        [preprocess(images.pixels(i), case.preprocess, name) for i, name in enumerate(images.names)]
    )
    np.savez(work / IMAGES, calibration=tensors)
    loaded = load_model(case.model)
    prepared = work / "fp32.onnx"
    prepared.write_bytes(serialize(prepare(loaded, [x[None] for x in tensors[:4]]).proto))
    (work / GIVEN).mkdir()
    missing = {}
    for file in files:
        source = next((each for each in FILES if each.label == file.needs), None)
        job = work / f"job-{file.label}"
        write_job(
            job,
            mode=file.mode,
            original=str(work / GIVEN / source.name if source else case.model),
            prepared=str(prepared),
            input_name=loaded.input_name,
            target=str(work / GIVEN / file.name),
            images=str(work / IMAGES),
        )
        print(f"{file.label}: {file.tool}", file=sys.stderr, flush=True)
        if problem := file.make(job, environments):
            missing[file.label] = problem
            print(f"  {problem}", file=sys.stderr, flush=True)
    return missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    labels = [file.label for file in FILES]
    parser.add_argument("--model", choices=MODELS, default=REFERENCE)
    parser.add_argument("--files", nargs="*", choices=labels, default=labels)
    parser.add_argument(
        "--environments",
        type=Path,
        default=HERE / ".peers",
        help="folder of the peers' environments (default .peers, which git ignores)",
    )
    parser.add_argument("--cache", type=Path, help="cache of the gates, kept for the next run")
    parser.add_argument("--keep", type=Path, help="folder that keeps files, gate file and report")
    given = parser.parse_args()
    files = tuple(
        file
        for file in FILES
        if file.label in given.files and not (file.own_network and given.model != REFERENCE)
    )
    print(machine(["onnxruntime", "openvino", "litert", "torch"]))
    print("; ".join(f"{name}: {', '.join(pins)}" for name, pins in REQUIREMENTS.items()))
    with tempfile.TemporaryDirectory(prefix="kycquant-vendors-") as folder:
        work = given.keep or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        missing = make(given.model, files, work, given.environments)
        rows = [
            Line(each.file.tool, each.on, each.label, missing.get(each.file.label, ""))
            for each in variants(files)
        ]
        codes = [
            each.code(str(work.resolve() / GIVEN))
            for each in variants(files)
            if each.file.label not in missing
        ]
        cache = given.cache or Path(folder) / "cache"
        judged = judge(SUBJECTS[given.model], codes, work / "gate", cache)
        (work / "printed.txt").write_text(judged.printed, encoding="utf-8")
        text = table(rows, judged, ("made by", "judged on"), ("FP32", ".onnx, onnxruntime"))
        print(f"\n**{given.model}**\n\n{text}")


if __name__ == "__main__":
    main()
