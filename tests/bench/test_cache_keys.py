"""An entry is found by everything it depends on, and by nothing else."""

from pathlib import Path

from pytest_kycquant.context.cache import Cache, digest_of
from pytest_kycquant.plain import plain
from pytest_kycquant.runtimes.environment import environment


def build(folder: Path) -> None:
    (folder / "x").write_text("1")


def test_same_dependencies_are_built_once(tmp_path: Path) -> None:
    first, second = Cache(tmp_path, {"v": 1}), Cache(tmp_path, {"v": 1})
    assert first.entry("k", [1, "a"], build) == second.entry("k", [1, "a"], build)
    assert (len(first.built), len(second.built), len(second.reused)) == (1, 0, 1)


def test_anything_else_is_another_entry(tmp_path: Path) -> None:
    paths = {
        Cache(tmp_path, {"v": 1}).entry("k", [1], build),
        Cache(tmp_path, {"v": 1}).entry("k", [2], build),
        Cache(tmp_path, {"v": 1}).entry("other", [1], build),
        Cache(tmp_path, {"v": 2}).entry("k", [1], build),
    }
    assert len(paths) == 4


def test_digest_ignores_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of(1.0) != digest_of(1.5)


def test_folder_is_marked_as_a_private_cache(tmp_path: Path) -> None:
    Cache(tmp_path / "cache", {}).entry("k", [1], build)
    assert (tmp_path / "cache" / ".gitignore").read_text() == "*\n"
    assert (tmp_path / "cache" / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d")


def test_everything_that_decodes_or_computes_is_in_the_environment() -> None:
    assert {"onnxruntime", "onnx", "numpy", "pillow", "cpu"} <= set(plain(environment()))
