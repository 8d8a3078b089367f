"""The settings of a run: options and ini values, parsed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import SettingsError
from .flags import CODE_QUALITY, EXPORT, HTML, MARKDOWN, PROFILE, REPORT
from .profiles import Profile

Inconclusive = Literal["fail", "warn", "xfail"]
ShipBy = Literal["product", "latency", "size"]
"""What decides among variants that pass: size times latency, latency, or size."""

DEFAULT_GOLDEN = "golden"  # below the rootdir


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Args:
        cache: folder of the cache.
        golden: folder of the golden baselines.
        update_golden: whether to write the goldens instead of comparing with them.
        strict: whether to fail instead of falling back to another precision.
        inconclusive: what an undecided gate does to its test.
        report: path of the JSON report, if wanted.
        html: path of the report as one page with plots, if wanted.
        html_images: whether that page shows the images that weigh most, which are personal data.
        markdown: path of the report as Markdown, if wanted.
        code_quality: path of what does not pass, as GitLab reads it, if wanted.
        export: folder for the models to ship and their evidence, if wanted.
        threads: number of images evaluated at the same time.
        search_budget: maximum number of candidates that a mixed-precision search tries.
        profile: how strict the run is and how much it claims, unless a gate has its own profile.
        exact: whether to run INT8 without saturation (`runtimes.ort.EXACT_ENTRY`), so that verdicts
            hold for every CPU.
        accept_preprocessing: whether to record goldens even if FP32 is better with another
            preprocessing.
        ship_by: what decides among variants that pass.
        waivers: file of waivers, if there is one.
        start: the folder that pytest was started in, from which a command names files; None for
            the rootdir.
        repeated: the options of this run with which a command finds the same gates and goldens.
    """

    cache: Path
    golden: Path
    update_golden: bool
    strict: bool
    inconclusive: Inconclusive
    report: Path | None
    export: Path | None
    threads: int
    search_budget: int = 60
    profile: Profile = "standard"
    exact: bool = False
    accept_preprocessing: bool = False
    ship_by: ShipBy = "product"
    waivers: Path | None = None
    html: Path | None = None
    html_images: bool = False
    markdown: Path | None = None
    code_quality: Path | None = None
    start: Path | None = None
    repeated: tuple[str, ...] = ()

    @property
    def reports(self) -> dict[str, Path]:
        """The reports that are wanted, by their options."""
        given = {
            REPORT: self.report,
            HTML: self.html,
            MARKDOWN: self.markdown,
            CODE_QUALITY: self.code_quality,
        }
        return {flag: path for flag, path in given.items() if path is not None}

    @property
    def plots(self) -> bool:
        """Whether a report is wanted that holds what plots show."""
        return self.report is not None or self.html is not None

    @property
    def pictures(self) -> bool:
        """Whether a page is wanted that shows images."""
        return self.html is not None and self.html_images

    @property
    def mode(self) -> str:
        """The settings in one line, for the header."""
        exact = "; INT8 without saturation" if self.exact else ""
        failing = "strict: no fallback" if self.strict else "fallback where gates allow it"
        updating = "; goldens are recorded" if self.update_golden else ""
        policy = {"fail": "fail", "warn": "warn", "xfail": "are expected failures"}
        undecided = policy[self.inconclusive]
        return f"{failing}; undecided gates {undecided}; cache {self.cache}{updating}{exact}"


def refuse_export_of_smoke(profile: Profile, export: Path | None) -> None:
    """Refuse to export models under the smoke profile, which clears nothing to ship.

    Args:
        profile: the profile of the run, or of one of its gates.
        export: folder for the models to ship, if wanted.

    Raises:
        SettingsError: both an export and the smoke profile were requested.
    """
    if profile == "smoke" and export is not None:
        raise SettingsError(
            EXPORT,
            "the smoke profile clears nothing to ship",
            f"leave it out, or use {PROFILE}=standard",
        )
