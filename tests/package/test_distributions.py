"""What would be published: `tox run -e package` builds wheel and sdist, and looks at both."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
MODELS = {".onnx", ".tflite", ".pt2", ".ort", ".bin", ".npz"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both, built as a release would: the wheel from the sdist."""
    pytest.importorskip("build", reason="`build` and the build backend are not installed")
    pytest.importorskip("hatch_fancy_pypi_readme", reason="the build backend is not installed")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def sdist(built: Path) -> list[str]:
    """Names of the files in the sdist, without the folder that holds all."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_an_index_would_accept_and_show_both(built: Path) -> None:
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_wheel_is_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    sources = (path.relative_to(ROOT) for path in (ROOT / "pytest_kycquant").rglob("*.py"))
    expected = {path.as_posix() for path in sources} | {"pytest_kycquant/py.typed"}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_sizes(built: Path) -> None:
    """Nothing but text: 2.3 MB of it in the wheel, compressed to .8 MB."""
    sizes = {path.suffix: path.stat().st_size for path in built.iterdir()}
    assert sizes[".whl"] < 1_000_000
    assert sizes[".gz"] < 2_500_000


def test_the_sdist_has_neither_images_nor_models(sdist: list[str]) -> None:
    found = [name for name in sdist if Path(name).suffix.lower() in IMAGES | MODELS]
    assert not found


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md"),
        *("LICENSE", "tox.ini", "pyproject.toml", "docs/conf.py", "docs/ci/github.yml"),
        "docs/ci/gitlab-shards.yml",
        *("tests/conftest.py", "golden/arcface_fp32.json", "models/rendering/sets.py"),
    ],
)
def test_the_sdist_builds_documents_and_tests_the_plugin(sdist: list[str], name: str) -> None:
    assert name in sdist


def test_the_readme_of_an_index_has_no_link_into_a_clone(wheel: zipfile.ZipFile) -> None:
    text = str(metadata(wheel).get_payload())
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    assert not [link for link in links if not link.startswith(("https://", "#"))]


def test_every_such_link_leads_to_a_file_of_the_repository(wheel: zipfile.ZipFile) -> None:
    text = str(metadata(wheel).get_payload())
    named = re.findall(r"\]\(https://github\.com/[\w-]+/[\w-]+/blob/main/([^)#]+)", text)
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_metadata(wheel: zipfile.ZipFile) -> None:
    found = metadata(wheel)
    assert found["License-Expression"] == "MIT"
    assert found["Requires-Python"] == ">=3.11"
    urls = dict(entry.split(", ") for entry in found.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Changelog", "Source", "Issues"} <= urls.keys()
    classifiers = found.get_all("Classifier")
    assert "Framework :: Pytest" in classifiers
    # Neither Windows nor macOS: it was never run there.
    systems = [name for name in classifiers if name.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]


def test_the_citation_names_this_version(wheel: zipfile.ZipFile) -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {metadata(wheel)['Version']}\n" in text
