"""A cache that somebody else wrote: outputs that the model does not give are not believed."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.tasks.outputs import Outputs
from tests.worlds.documents import write_document_project
from tests.worlds.population import Run, write_project
from tests.worlds.presentations import write_liveness_project


@pytest.fixture
def shared_cache(tmp_path: Path) -> Path:
    """A cache of this test alone, which it forges."""
    return tmp_path / "cache"


def seal(entry: Path) -> None:
    """Make the manifest of an entry anew, as a forger would."""
    files = [path for path in entry.iterdir() if path.name != "manifest.json"]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (entry / "manifest.json").write_text(json.dumps(digests))


def outputs(cache: Path, images: int) -> Iterator[tuple[Path, Outputs]]:
    """The entries of outputs for so many images."""
    for entry in sorted(cache.glob("outputs/*")):
        found = Outputs.read(entry / "outputs.npz")
        if len(found.finite) == images:
            yield entry, found


def replace(entry: Path, found: Outputs) -> None:
    (entry / "outputs.npz").unlink()
    found.save(entry / "outputs.npz")
    seal(entry)


def test_outputs_of_fp32_over_those_of_int8(
    pytester: pytest.Pytester, run: Run, shared_cache: Path
) -> None:
    write_project(pytester.path, fragile=True, fallback=None)
    run("--kycquant-update-golden").assert_outcomes(passed=4, failed=2)
    entries = list(outputs(shared_cache, 660))  # of FP32 on both splits, and of INT8
    assert len(entries) == 3
    for (entry, _), (_, other) in zip(entries, [*entries[1:], entries[0]], strict=True):
        kept = (entry / "outputs.npz").read_bytes()
        replace(entry, other)
        result = run()
        assert result.parseoutcomes().get("passed", 0) == 0
        result.stdout.fnmatch_lines(
            [f"*{entry.name}: holds outputs that *.onnx does not give: *; delete the cache *"]
        )
        (entry / "outputs.npz").write_bytes(kept)
        seal(entry)


CHANGES: dict[str, Callable[[Outputs], Outputs]] = {
    "values": lambda o: Outputs(o.values * np.float32(1.001), o.finite, (), o.rows, o.shapes),
    "finite": lambda o: Outputs(o.values, ~o.finite, (), o.rows, o.shapes),
    "edges": lambda o: Outputs(o.values, o.finite, ("white",), o.rows, o.shapes),
    "order": lambda o: Outputs(np.roll(o.values, 1, 0), o.finite, (), o.rows, o.shapes),
    "NaN": lambda o: Outputs(o.values * np.float32(np.nan), o.finite, (), o.rows, o.shapes),
    "width": lambda o: Outputs(o.values[:, :1], o.finite, (), o.rows, o.shapes),
}


@pytest.mark.parametrize(
    ("write", "names"),
    [
        (write_project, [*CHANGES]),
        (write_liveness_project, ["values"]),
        (write_document_project, ["order"]),
    ],
)
def test_any_change_of_outputs(
    pytester: pytest.Pytester,
    run: Run,
    shared_cache: Path,
    write: Callable[..., object],
    names: list[str],
) -> None:
    write(pytester.path, precisions='"fp16"')
    run("--kycquant-update-golden", "-k", "test_size").assert_outcomes(passed=1)
    run("-k", "test_size").assert_outcomes(passed=1)
    entries = [path.parent for path in sorted(shared_cache.glob("outputs/*/outputs.npz"))]
    for name, entry in zip(names, entries * len(names), strict=False):
        kept = (entry / "outputs.npz").read_bytes()
        replace(entry, CHANGES[name](Outputs.read(entry / "outputs.npz")))
        result = run("-k", "test_size")
        assert result.parseoutcomes().get("passed", 0) == 0, name
        result.stdout.fnmatch_lines([f"*{entry.name}: holds outputs that *"])
        (entry / "outputs.npz").write_bytes(kept)
        seal(entry)
    run("-k", "test_size").assert_outcomes(passed=1)


def test_a_few_forged_images_are_found_in_some_run(
    pytester: pytest.Pytester, run: Run, shared_cache: Path
) -> None:
    """The sample is another in each run: a quarter of the images escapes one in ten runs."""
    write_project(pytester.path, precisions='"fp16"')
    run("--kycquant-update-golden", "-k", "test_size").assert_outcomes(passed=1)
    for entry, found in outputs(shared_cache, 660):
        values = found.values.copy()
        values[::4] *= 1.5
        replace(entry, Outputs(values, found.finite, (), found.rows, found.shapes))
    for _ in range(8):
        result = run("-k", "test_finite")
        if "holds outputs that" in result.stdout.str():
            return
    pytest.fail("no run has noticed")


def test_variant_that_is_another_file(
    pytester: pytest.Pytester, run: Run, shared_cache: Path
) -> None:
    write_project(pytester.path, precisions='"fp16", "int8"')
    run("--kycquant-update-golden", "-k", "test_size").assert_outcomes(passed=2)
    first, second = sorted(shared_cache.glob("variant/*"))
    shutil.copy(second / "model.onnx", first / "model.onnx")
    seal(first)
    result = run("-k", "test_size")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*{first.name}: holds another file than it says; delete *"])


def test_damage_with_a_fitting_manifest_is_mended(
    pytester: pytest.Pytester, run: Run, shared_cache: Path
) -> None:
    write_project(pytester.path)
    run("--kycquant-update-golden", "-k", "test_size").assert_outcomes(passed=1)
    damages = itertools.cycle([b"", b"[]", b'{"sha256": 5}', b"PK\x03\x04"])
    for file in sorted(shared_cache.glob("*/*/*")):
        entry = file.parent
        if (entry / "manifest.json").exists() and file.name not in ("manifest.json", "model.onnx"):
            file.write_bytes(next(damages))
            seal(entry)
    run("-k", "test_size").assert_outcomes(passed=1)


def test_digests_of_inputs_that_hide_copies(
    pytester: pytest.Pytester, run: Run, shared_cache: Path
) -> None:
    """Other digests are remembered than those of the images, so that none would be a copy."""
    write_project(pytester.path, fallback=None)
    run("--kycquant-update-golden").assert_outcomes(passed=6)
    entries = list(shared_cache.glob("inputs/*"))
    assert len(entries) == 3
    for entry in entries:
        with np.load(entry / "inputs.npz") as found:
            digests = found["digests"] ^ 1
        (entry / "inputs.npz").unlink()
        np.savez(entry / "inputs.npz", digests=digests)
        seal(entry)
    result = run()
    assert result.parseoutcomes().get("passed", 0) == 0
    result.stdout.fnmatch_lines(["*belongs to another input from * than the cache remembers*"])


def test_damaged_digests_of_inputs_are_made_again(
    pytester: pytest.Pytester, run: Run, shared_cache: Path
) -> None:
    write_project(pytester.path, fallback=None)
    run("--kycquant-update-golden").assert_outcomes(passed=6)
    for number, entry in enumerate(sorted(shared_cache.glob("inputs/*"))):
        (entry / "inputs.npz").unlink()
        np.savez(entry / "inputs.npz", digests=np.zeros(3 + number, np.uint8))
        seal(entry)
    run().assert_outcomes(passed=6)
