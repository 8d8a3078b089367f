"""Damaged data and goldens, end to end: pytest itself judges a small project.

The truth is known by construction: such data, or such a golden, says nothing about a model. A
damage must therefore give an error, or a gate that does not pass; anything else is harmful.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from pytest_kycquant.bench.golden import CI_VARIABLES
from pytest_kycquant.context.cache import digest_of
from tests.worlds.population import embedder, write_folders, write_project

from .table import Row

UPDATE = "--kycquant-update-golden"
_PEOPLE = 330
_OTHERS = 60  # number of people that each is compared with in listed pairs
# Seeds of `population.people`.
_CALIBRATION, _SELECTION, _EVALUATION = 1, 2, 3
_COUNTS = re.compile(r"(\d+) (passed|failed|errors?|warnings?)")


@dataclass(frozen=True)
class Damage:
    """One damage of a project.

    Args:
        fault: what was done.
        where: a detail of it.
        change: a function that damages the project in a folder.
        options: options of pytest; the golden stays as it was unless they record it again.
        control: whether the damage is harmless by construction.
    """

    fault: str
    where: str
    change: Callable[[Path], None]
    options: tuple[str, ...] = ()
    control: bool = False


def rows(wanted: Sequence[str], say: Callable[[str], None]) -> Iterator[Row]:
    """Every damage of the project, with the result of pytest."""
    with tempfile.TemporaryDirectory(prefix="kycquant-faults-") as folder:
        base = Path(folder) / "base"
        say("writing a small project with a golden")
        write(base)
        for number, damage in enumerate(DAMAGES):
            if wanted and not any(text in f"{damage.fault} {damage.where}" for text in wanted):
                continue
            root = Path(folder) / str(number)
            shutil.copytree(base, root)
            damage.change(root)
            yield _row(damage, run(root, *damage.options))
            shutil.rmtree(root)


def write(root: Path) -> None:
    """Write the project: images in folders, a gate file, and a golden."""
    gate = write_project(root, fallback=None, identities=_PEOPLE)
    for name, seed in (("faces", _EVALUATION), ("selection", _SELECTION)):
        (root / f"{name}.npz").unlink()
        write_folders(root / name, _PEOPLE, 2, seed=seed)
    (root / "calibration.npz").unlink()
    write_folders(root / "calibration", 60, 2, seed=_CALIBRATION)
    text = gate.read_text()
    for name in ("faces", "selection", "calibration"):
        text = text.replace(f'"{name}.npz"', f'"{name}"')
    gate.write_text(text)
    (root / "pytest.ini").write_text("[pytest]\n")
    found = run(root, UPDATE)
    assert found.outcome == "PASS", found.text


@dataclass(frozen=True)
class Outcome:
    """The result of pytest for a project.

    Args:
        outcome: PASS, FAIL, INCONCLUSIVE or ERROR.
        reason: the first complaint.
        gates: names of the tests that did not pass.
        text: everything that pytest printed.
    """

    outcome: str
    reason: str
    gates: tuple[str, ...]
    text: str


def run(root: Path, *options: str) -> Outcome:
    """Run the gates of a project in a separate process."""
    cache = (
        []
        if any(o.startswith("--kycquant-cache") for o in options)
        else [f"--kycquant-cache={root.parent / 'cache'}"]
    )
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *cache]
    command += ["-p", "no:hypothesispytest"]  # its summary takes a second
    environment = {k: v for k, v in os.environ.items() if k not in (*CI_VARIABLES, "COLUMNS")}
    result = subprocess.run(
        [*command, *options],
        cwd=root,
        capture_output=True,
        text=True,
        env=environment | {"COLUMNS": "1000"},
    )
    text = result.stdout + result.stderr
    counts = {word.rstrip("s"): int(number) for number, word in _COUNTS.findall(text[-400:])}
    gates = tuple(
        dict.fromkeys(re.findall(r"^(?:FAILED|ERROR) \S+::test_(\w+)", text, re.MULTILINE))
    )
    if counts.get("error"):
        outcome = "ERROR"
    elif counts.get("failed"):
        outcome = "FAIL" if re.search(r" FAIL \w+\n", text) else "INCONCLUSIVE"
    elif result.returncode == 0 and counts.get("passed"):
        outcome = "PASS"
    else:  # such as a usage error
        outcome = "ERROR"
    complaint = re.search(r"^(?:E +|ERROR )(.+)$", text, re.MULTILINE)
    reason = complaint.group(1).replace(str(root), ".") if complaint and outcome != "PASS" else ""
    return Outcome(outcome, reason, gates, text)


def _row(damage: Damage, found: Outcome) -> Row:
    kind = "harmless" if damage.control else "harmful"
    why = "by construction"
    reasons = (found.reason[:200],) if found.reason else ()
    gates = ("error",) if found.outcome == "ERROR" else found.gates
    return Row(
        "project", damage.fault, damage.where, damage.control, kind, why, found.outcome,
        gates, reasons,
    )  # fmt: skip


# Damages


def _nothing(root: Path) -> None:
    """Leave everything as it is."""


def _calibrate_on_evaluation(root: Path) -> None:
    shutil.rmtree(root / "calibration")
    shutil.copytree(root / "faces", root / "calibration")


def _calibrate_on_the_same_people(root: Path) -> None:
    """Calibrate on other pictures of the people who are judged, in folders with their names."""
    shutil.rmtree(root / "calibration")
    write_folders(root / "calibration", 60, 4, seed=_EVALUATION)
    for folder in (root / "calibration").iterdir():
        for judged in (root / "faces" / folder.name).iterdir():
            (folder / judged.name).unlink()


def _select_on_evaluation(root: Path) -> None:
    shutil.rmtree(root / "selection")
    shutil.copytree(root / "faces", root / "selection")


def _select_on_the_same_people(root: Path) -> None:
    """Choose the threshold on other pictures of the people who are judged."""
    shutil.rmtree(root / "selection")
    write_folders(root / "selection", _PEOPLE, 4, seed=_EVALUATION)
    for folder in (root / "selection").iterdir():
        for judged in (root / "faces" / folder.name).iterdir():
            (folder / judged.name).unlink()


def _shuffle_labels(root: Path, share: float = 1.0) -> None:
    """Exchange the second pictures among people."""
    people = _people(root / "faces")
    people = people[: max(2, int(share * len(people)))]
    files = [sorted(folder.iterdir())[1] for folder in people]
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents[1:] + contents[:1], strict=True):
        file.write_bytes(content)


def _write_pairs(root: Path, times: int) -> None:
    """Compare listed pairs, each `times` times."""
    people = _people(root / "faces")
    rows: list[tuple[str, str, int, str, str]] = []
    for number, folder in enumerate(people):
        first, second = sorted(folder.iterdir())
        rows.append(_pair(first, second))
        for step in range(1, _OTHERS + 1):
            other = people[(number + step) % len(people)]
            rows.append(_pair(first, sorted(other.iterdir())[0]))
    with (root / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("left", "right", "same", "left_subject", "right_subject"))
        writer.writerows(rows * times)
    _edit_gate(root, 'FaceVerification("faces"', 'FaceVerification("faces", pairs="pairs.csv"')


def _pair(one: Path, other: Path) -> tuple[str, str, int, str, str]:
    people = one.parent.name, other.parent.name
    left, right = (f"{path.parent.name}/{path.name}" for path in (one, other))
    return left, right, int(people[0] == people[1]), *people


def _copy_images(root: Path) -> None:
    """Copy every picture of every other person under another name."""
    for folder in _people(root / "faces")[::2]:
        for file in sorted(folder.iterdir()):
            shutil.copy(file, file.with_name(f"copy_of_{file.name}"))


def _drop_hard(root: Path) -> None:
    """Remove every twentieth person, as if these had been the hardest."""
    for folder in _people(root / "faces")[::20]:
        shutil.rmtree(folder)


def _lose_half(root: Path, name: str) -> None:
    for folder in _people(root / name):
        sorted(folder.iterdir())[1].unlink()


def _truncate_half(root: Path) -> None:
    for folder in _people(root / "faces")[::2]:
        file = sorted(folder.iterdir())[0]
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _edit_golden(root: Path, *, sealed: bool, **changes: object) -> None:
    """Change the golden by hand; with `sealed`, its checksum matches."""
    path = root / "golden" / "face.json"
    values = json.loads(path.read_text()) | changes
    if sealed:
        values.pop("checksum")
        values["checksum"] = digest_of(values)
    path.write_text(json.dumps(values))


def _lower_threshold(root: Path, *, sealed: bool) -> None:
    golden = json.loads((root / "golden" / "face.json").read_text())
    _edit_golden(root, sealed=sealed, threshold=golden["threshold"] - 0.3)


def _better_rates(root: Path, *, sealed: bool) -> None:
    rates = json.loads((root / "golden" / "face.json").read_text())["rates"]
    for rate in rates.values():
        rate["errors"] += 5
    _edit_golden(root, sealed=sealed, rates=rates)


def _reindent_golden(root: Path) -> None:
    path = root / "golden" / "face.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4, sort_keys=True))


def _another_model(root: Path) -> None:
    onnx.save(embedder(seed=1), root / "models" / "face.onnx")


def _another_mean(root: Path) -> None:
    _edit_gate(root, "mean=127.5", "mean=100.0")


def _other_channels(root: Path) -> None:
    _edit_gate(root, 'channels="RGB"', 'channels="BGR"')


def _other_people(root: Path) -> None:
    shutil.rmtree(root / "faces")
    write_folders(root / "faces", _PEOPLE, 2, seed=9)


def _nan_in_fp32(root: Path) -> None:
    """Put a NaN into the weights of the FP32 model."""
    path = root / "models" / "face.onnx"
    proto = onnx.load(path)
    tensor = next(t for t in proto.graph.initializer if t.name == "fifth.w")
    weight = onnx.numpy_helper.to_array(tensor).copy()
    weight[0] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(weight, tensor.name))
    onnx.save(proto, path)


def _calibrate_on_half(root: Path) -> None:
    for folder in _people(root / "calibration"):
        sorted(folder.iterdir())[1].unlink()


def _touch(root: Path) -> None:
    for path in root.rglob("*.png"):
        os.utime(path, (0, 0))


def _edit_gate(root: Path, old: str, new: str) -> None:
    gate = root / "test_gate.py"
    text = gate.read_text()
    assert old in text
    gate.write_text(text.replace(old, new))


def _people(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


DAMAGES = (
    Damage("untouched", "", _nothing, control=True),
    Damage("untouched", "golden recorded anew", _nothing, (UPDATE,), control=True),
    Damage("untouched", "two workers", _nothing, ("-n", "2"), control=True),
    Damage("untouched", "an empty cache", _nothing, ("--kycquant-cache=own",), control=True),
    Damage("dates of files changed", "", _touch, control=True),
    Damage("golden indented anew", "", _reindent_golden, control=True),
    Damage("calibration lost half of its images", "", _calibrate_on_half, control=True),
    Damage("listed pairs", "each once", lambda root: _write_pairs(root, 1), (UPDATE,), True),
    Damage("evaluation on calibration images", "", _calibrate_on_evaluation),
    Damage(
        "evaluation on calibration images", "golden recorded anew", _calibrate_on_evaluation,
        (UPDATE,),
    ),
    Damage("evaluation on the calibration people", "", _calibrate_on_the_same_people),
    Damage("evaluation on the selection images", "", _select_on_evaluation, (UPDATE,)),
    Damage("evaluation on the selection people", "", _select_on_the_same_people, (UPDATE,)),
    Damage("labels shuffled", "", _shuffle_labels),
    Damage("labels shuffled", "golden recorded anew", _shuffle_labels, (UPDATE,)),
    Damage(
        "labels shuffled", "of a tenth, golden recorded anew",
        lambda root: _shuffle_labels(root, 0.1), (UPDATE,),
    ),
    Damage("pairs duplicated", "", lambda root: _write_pairs(root, 2)),
    Damage(
        "pairs duplicated", "golden recorded anew", lambda root: _write_pairs(root, 2), (UPDATE,)
    ),
    Damage("images duplicated", "", _copy_images),
    Damage("images duplicated", "golden recorded anew", _copy_images, (UPDATE,)),
    Damage("hard samples dropped", "", _drop_hard),
    Damage("data folder lost half of its files", "", lambda root: _lose_half(root, "faces")),
    Damage(
        "data folder lost half of its files", "golden recorded anew",
        lambda root: _lose_half(root, "faces"), (UPDATE,),
    ),
    Damage("selection lost half of its files", "", lambda root: _lose_half(root, "selection")),
    Damage("half of the files are cut off", "", _truncate_half),
    Damage(
        "golden edited by hand", "threshold", lambda root: _lower_threshold(root, sealed=False)
    ),
    Damage(
        "golden edited by hand", "threshold and checksum",
        lambda root: _lower_threshold(root, sealed=True),
    ),
    Damage("golden edited by hand", "rates", lambda root: _better_rates(root, sealed=False)),
    Damage(
        "golden edited by hand", "rates and checksum",
        lambda root: _better_rates(root, sealed=True),
    ),
    Damage("stale golden", "another model", _another_model),
    Damage("stale golden", "other people", _other_people),
    Damage("stale golden", "another mean", _another_mean),
    Damage("stale golden", "other channels", _other_channels),
    Damage("NaN in FP32", "golden recorded anew", _nan_in_fp32, (UPDATE,)),
)  # fmt: skip
