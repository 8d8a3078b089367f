"""What the repository says about itself is true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert all(command in script for command in commands)


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_every_option_is_documented() -> None:
    options = re.findall(
        r'"(--kycquant-[a-z-]+)"', Path(ROOT / "pytest_kycquant/settings.py").read_text()
    )
    text = (ROOT / "docs" / "running.md").read_text()
    assert len(options) >= 8
    assert not [option for option in options if option not in text]


def test_every_limit_is_documented() -> None:
    from pytest_kycquant import FaceLimits

    text = (ROOT / "docs" / "face.md").read_text()
    missing = [name for name in FaceLimits.__dataclass_fields__ if f"{name}`" not in text]
    assert not missing
