"""Options and ini values, parsed once at the edge; the rest of the package sees typed values.

Precedence: gate class attribute or marker, then command line, then ini, then default. Every suite
loads this module, so whatever only gates need is imported later.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

from ..errors import SettingsError, SpecError
from ..spec import flags

if TYPE_CHECKING:
    from ..spec.profiles import Profile
    from ..spec.settings import Inconclusive, Settings, ShipBy


_IniType = Literal["bool", "int", "string"]
_WRITTEN: dict[_IniType, str] = {
    "bool": "write true or false, without quotes",
    "int": "write a whole number, such as 4, without quotes",
    "string": 'write one text in quotes, "..."',
}
_LONGEST_NAME, _LONGEST_PATH = 255, 3500  # bytes, with room for names of files in a folder


class _Option(NamedTuple):
    flag: str
    help: str
    parse: Callable[[str, str], Any]
    metavar: str | None = None
    has_ini: bool = True

    @property
    def dest(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def ini_type(self) -> _IniType:
        """The type that pytest checks in files that know types, such as `[tool.pytest]`."""
        if self.parse is _boolean:
            return "bool"
        # pytest knows numbers since 8.4, and files with native types since 9.
        whole = self.parse in (_positive, _budget) and pytest.version_tuple >= (8, 4)
        return "int" if whole else "string"


def _text(where: str, value: str) -> str:
    if not value.strip():
        raise SettingsError(where, "is empty", "give a path")
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in value):
        raise SettingsError(
            where,
            f"{value!a:.60} holds a line break or another control character",
            "give one path on one line",
        )
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise SettingsError(
            where, f"{value!a:.60}: there is no such user", "write the path without ~"
        ) from error
    if len(os.fsencode(path)) > _LONGEST_PATH or any(
        len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts
    ):
        raise SettingsError(where, f"{value!a:.60} is too long", "give a shorter path")
    return str(path)


def _boolean(where: str, value: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "on": True}
    known |= {"false": False, "0": False, "no": False, "off": False}
    if value.strip().lower() not in known:
        raise SettingsError(where, f"{value!r} is not a boolean", "use true or false")
    return known[value.strip().lower()]


def _policy(where: str, value: str) -> Inconclusive:
    allowed: tuple[Inconclusive, ...] = ("fail", "warn", "xfail")
    for policy in allowed:
        if value == policy:
            return policy
    raise SettingsError(where, f"{value!r} is unknown", f"choose from {', '.join(allowed)}")


def _ship_by(where: str, value: str) -> ShipBy:
    allowed: tuple[ShipBy, ...] = ("product", "latency", "size")
    for known in allowed:
        if value == known:
            return known
    raise SettingsError(where, f"{value!r} is unknown", f"choose from {', '.join(allowed)}")


def _positive(where: str, value: str) -> int:
    text = value.strip()
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise SettingsError(
            where, f"{value!a:.60} is not a positive whole number", "give 1, 2, ..."
        )
    return int(text)


def _shard(where: str, value: str) -> tuple[int, int]:
    index, slash, of = (part.strip() for part in value.partition("/"))
    known = slash and all(part.isascii() and part.isdecimal() for part in (index, of))
    if not known or len(of) > 4 or len(index) > 4 or not 1 <= int(index) <= int(of):
        raise SettingsError(
            where,
            f"{value!a:.60} is not a part of a run",
            "give I/N with I from 1 to N, such as 2/3 for the second of three",
        )
    return int(index), int(of)


def _profile(where: str, value: str) -> Profile:
    from ..spec.profiles import as_profile

    try:
        return as_profile(where, value)
    except SpecError as error:
        raise SettingsError(error.where, error.problem, error.remedy) from None


def _budget(where: str, value: str) -> int:
    if value.strip() == "0":
        raise SettingsError(
            where, "a search without candidates finds nothing", "use fallback = 'fp16' instead"
        )
    return _positive(where, value)


_OPTIONS = (
    _Option(flags.CACHE, "Folder of quantized models and embeddings (default: below pytest's "
            "cache).", _text, "DIR"),
    _Option(flags.GOLDEN, "Folder of the golden FP32 baselines (default: golden).", _text, "DIR"),
    _Option(flags.UPDATE_GOLDEN, "Record the FP32 baselines again. Refused if CI is set.",
            _boolean, has_ini=False),
    _Option(flags.STRICT, "Fail a gate instead of falling back to another precision.", _boolean),
    _Option(flags.INCONCLUSIVE, "Outcome of a gate that cannot decide on its data: fail (default), "
            "warn or xfail.", _policy, "POLICY"),
    _Option(flags.EXPORT, "Write the model to ship, with its evidence, for each gate that passed.",
            _text, "DIR"),
    _Option(flags.REPORT, "Write every figure of the run to this JSON file.", _text, "FILE"),
    _Option(flags.HTML, "Write the run as one HTML page with plots; needs pytest-kycquant[html].",
            _text, "FILE"),
    _Option(flags.HTML_IMAGES, "Show on that page the images that weigh most, which are personal "
            "data.", _boolean),
    _Option(flags.MARKDOWN, "Write verdicts, what ships and why not to this Markdown file, as for "
            "a comment on a pull request.", _text, "FILE"),
    _Option(flags.CODE_QUALITY, "Write what does not pass to this JSON file, as GitLab's code "
            "quality.", _text, "FILE"),
    _Option(flags.THREADS, "Number of images evaluated at the same time (default: all cores, "
            "shared by pytest-xdist workers). The results do not depend on it.", _positive, "N"),
    _Option(flags.SEARCH_BUDGET, "Maximum number of candidates that a mixed-precision search tries "
            "for each precision that does not pass (default: 60).", _budget, "N"),
    _Option(flags.PROFILE, "smoke (damage only, in seconds, no claim about error rates), standard "
            "(default) or nist63a4 (limits of NIST SP 800-63A-4).",
            _profile, "PROFILE"),
    _Option(flags.EXACT, "Run INT8 without saturation (session.x64quantprecision=1), as deployed "
            "on CPUs without VNNI.", _boolean),
    _Option(flags.SHIP_BY, "What decides among variants that pass: product (of size and latency, "
            "default), latency or size.", _ship_by, "POLICY"),
    _Option(flags.WAIVERS, "File of waivers for known failures (default: waivers.toml, if there is "
            "one).", _text, "FILE"),
    _Option(flags.SHARD, "Run one of N parts, of whole gates; kycquant merge unites their reports.",
            _shard, "I/N", has_ini=False),
    _Option(flags.ACCEPT_PREPROCESSING, "Record the FP32 baselines even if FP32 is better with "
            "another preprocessing.", _boolean, has_ini=False),
)  # fmt: skip


# Options of pytest and of this plugin that decide which gates and goldens a run has, and where the
# parsed command line keeps them.
_REPEATED = (
    ("-c", "inifilename"),
    ("--rootdir", "rootdir"),
    ("-p", "plugins"),
    ("-o", "override_ini"),
    (flags.GOLDEN, "kycquant_golden"),
    (flags.PROFILE, "kycquant_profile"),
)


def add_options(parser: pytest.Parser) -> None:
    """Declare the options and the ini values of the same meaning."""
    group = parser.getgroup("kycquant", "gates for quantized identity-verification models")
    for option in _OPTIONS:
        if option.parse is _boolean:
            group.addoption(
                option.flag, dest=option.dest, action="store_const", const="true", help=option.help
            )
        else:
            group.addoption(option.flag, dest=option.dest, metavar=option.metavar, help=option.help)
        if option.has_ini:
            help_ = f"Same as {option.flag}."
            parser.addini(option.dest, help_, type=option.ini_type, default=None)


def parse_options(config: pytest.Config) -> dict[str, Any]:
    """Parse the options given on the command line or, failing that, in an ini file.

    Args:
        config: the pytest configuration of this run.

    Returns:
        A value for each flag of `spec.flags`; None for those that were not given.

    Raises:
        SettingsError: a value is invalid or contradicts another.
    """
    values: dict[str, Any] = {}
    for option in _OPTIONS:
        given = config.getoption(option.dest)
        where = option.flag
        if given is None and option.has_ini:
            where = f"ini option {option.dest}"
            given = _ini(config, option, where)
        values[option.flag] = None if given is None else option.parse(where, given)
    export = values[flags.EXPORT]
    if export is not None and values[flags.PROFILE] is not None:
        from ..spec.settings import refuse_export_of_smoke

        refuse_export_of_smoke(values[flags.PROFILE], Path(export))
    return values


def make_settings(values: Mapping[str, Any], config: pytest.Config, *, workers: int) -> Settings:
    """Turn parsed options into settings, with defaults for those that were not given.

    Args:
        values: the result of `parse_options`.
        config: the pytest configuration of this run.
        workers: number of processes that share this machine.
    """
    from ..spec.settings import DEFAULT_GOLDEN, Settings
    from ..spec.waivers import DEFAULT_WAIVERS

    root, here = config.rootpath, config.invocation_params.dir
    report, export = values[flags.REPORT], values[flags.EXPORT]
    markdown, code_quality = values[flags.MARKDOWN], values[flags.CODE_QUALITY]
    html = values[flags.HTML]
    waivers = root / (values[flags.WAIVERS] or DEFAULT_WAIVERS)
    return Settings(
        cache=root / (values[flags.CACHE] or _default_cache(config)),
        golden=root / (values[flags.GOLDEN] or DEFAULT_GOLDEN),
        update_golden=bool(values[flags.UPDATE_GOLDEN]),
        strict=bool(values[flags.STRICT]),
        inconclusive=values[flags.INCONCLUSIVE] or "fail",
        report=here / report if report else None,
        html=here / html if html else None,
        html_images=bool(values[flags.HTML_IMAGES]),
        markdown=here / markdown if markdown else None,
        code_quality=here / code_quality if code_quality else None,
        export=here / export if export else None,
        threads=values[flags.THREADS] or max(1, _available_cores() // workers),
        search_budget=values[flags.SEARCH_BUDGET] or Settings.search_budget,
        profile=values[flags.PROFILE] or Settings.profile,
        exact=bool(values[flags.EXACT]),
        accept_preprocessing=bool(values[flags.ACCEPT_PREPROCESSING]),
        ship_by=values[flags.SHIP_BY] or Settings.ship_by,
        waivers=waivers if values[flags.WAIVERS] or waivers.is_file() else None,
        start=here,
        repeated=tuple(_repeated(config)),
    )


def _repeated(config: pytest.Config) -> Iterator[str]:
    """Yield the options of the command line that a command repeats to find the same goldens."""
    for flag, dest in _REPEATED:
        given = config.getoption(dest, None) or ()
        for value in (given,) if isinstance(given, (str, Path)) else given:
            if value in ("smoke", "no:terminal"):  # records none; pytest-xdist gives it to workers
                continue
            yield from (f"{flag}={value}",) if flag.startswith("--") else (flag, str(value))


def _ini(config: pytest.Config, option: _Option, where: str) -> str | None:
    """The text of an ini value, whichever type it has in its file.

    Raises:
        SettingsError: it has the wrong type.
    """
    remedy = _WRITTEN[option.ini_type]
    try:
        value = config.getini(option.dest)
    except (TypeError, ValueError, pytest.UsageError) as error:  # the last one since pytest 9.1
        # pytest names its file and the option, which `where` does already.
        reason = str(error).partition(f"config option '{option.dest}' ")[2] or str(error)
        raise SettingsError(where, reason, remedy) from error
    if value is None or isinstance(value, (str, bool, int)):
        return None if value is None else str(value)
    # Without native types, pytest passes a list on as it is.
    raise SettingsError(where, f"expects one value, got {type(value).__name__}: {value!r}", remedy)


def _default_cache(config: pytest.Config) -> Path:
    """Not inside a folder that pytest itself clears, even during a run if a worker crashes."""
    known = config.pluginmanager.has_plugin("cacheprovider")
    folder = Path(str(config.getini("cache_dir")) if known else ".pytest_cache")
    return folder.expanduser() / "kycquant"


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
