"""Options and ini values are parsed at the edge: command line before ini before default."""

from pathlib import Path

import pytest

from pytest_kycquant.spec.gates import GateSpec
from pytest_kycquant.spec.model import KycModel, Preprocess
from pytest_kycquant.spec.tasks import FaceVerification
from tests.worlds.options import settings_of


@pytest.mark.parametrize("ini", [None, "true", "false"])
@pytest.mark.parametrize("option", [False, True])
@pytest.mark.parametrize("attribute", [None, True, False])
def test_truth_table_of_strict(
    pytester: pytest.Pytester, ini: str | None, option: bool, attribute: bool | None
) -> None:
    settings = settings_of(
        pytester,
        f"kycquant_strict = {ini}" if ini else "",
        *(["--kycquant-strict"] if option else []),
    )
    if attribute is not None:
        expected = attribute
    elif option:
        expected = True
    else:
        expected = ini == "true"
    model = KycModel("m.onnx", preprocess=Preprocess((8, 8)), task=FaceVerification("d"))
    spec = GateSpec.of({"model": model, "strict": attribute}, "here")
    assert (spec.effective_fallback(settings) is None) == expected


@pytest.mark.parametrize("ini", [None, "warn", "fail"])
@pytest.mark.parametrize("option", [None, "xfail", "fail"])
@pytest.mark.parametrize("attribute", [None, "warn"])
def test_truth_table_of_inconclusive(
    pytester: pytest.Pytester, ini: str | None, option: str | None, attribute: str | None
) -> None:
    settings = settings_of(
        pytester,
        f"kycquant_inconclusive = {ini}" if ini else "",
        *([f"--kycquant-inconclusive={option}"] if option else []),
    )
    model = KycModel("m.onnx", preprocess=Preprocess((8, 8)), task=FaceVerification("d"))
    spec = GateSpec.of({"model": model, "inconclusive": attribute}, "here")
    assert spec.effective_inconclusive(settings) == (attribute or option or ini or "fail")


@pytest.mark.parametrize(
    ("name", "ini", "option", "default", "from_ini", "from_option"),
    [
        ("cache", "a", "b", Path(".pytest_cache/kycquant"), Path("a"), Path("b")),
        ("golden", "a", "b", Path("golden"), Path("a"), Path("b")),
        ("report", "a.json", "b.json", None, Path("a.json"), Path("b.json")),
        ("export", "a", "b", None, Path("a"), Path("b")),
        ("threads", "3", "5", None, 3, 5),
        ("search_budget", "3", "5", 60, 3, 5),
    ],
)
def test_precedence(
    pytester: pytest.Pytester,
    name: str,
    ini: str,
    option: str,
    default: object,
    from_ini: object,
    from_option: object,
) -> None:
    def absolute(value: object) -> object:
        return pytester.path / value if isinstance(value, Path) else value

    given = f"kycquant_{name} = {ini}"
    flag = f"--kycquant-{name.replace('_', '-')}={option}"
    if name != "threads":  # whose default depends on the machine
        assert getattr(settings_of(pytester, ""), name) == absolute(default)
    assert getattr(settings_of(pytester, given), name) == absolute(from_ini)
    assert getattr(settings_of(pytester, "", flag), name) == absolute(from_option)
    assert getattr(settings_of(pytester, given, flag), name) == absolute(from_option)


@pytest.mark.parametrize(
    ("ini", "arguments", "message"),
    [
        ("", ["--kycquant-inconclusive=maybe"], "--kycquant-inconclusive: 'maybe' is unknown; *"),
        ("", ["--kycquant-threads=0"], "--kycquant-threads: '0' is not a positive whole number; *"),
        (
            "",
            ["--kycquant-threads=two"],
            "--kycquant-threads: 'two' is not a positive whole number; *",
        ),
        (
            "",
            ["--kycquant-search-budget=-1"],
            "--kycquant-search-budget: '-1' is not a positive whole number*",
        ),
        ("", ["--kycquant-cache="], "--kycquant-cache: is empty; give a path"),
        (
            "kycquant_strict = maybe",
            [],
            "ini option kycquant_strict: invalid truth value 'maybe'; write true or false, *",
        ),
        ("kycquant_inconclusive = no", [], "ini option kycquant_inconclusive: 'no' is unknown; *"),
        (
            "kycquant_threads = -1",
            [],
            "ini option kycquant_threads: '-1' is not a positive whole number; *",
        ),
    ],
)
def test_bad_values(
    pytester: pytest.Pytester, ini: str, arguments: list[str], message: str
) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *(("cache", f"a{letter}b") for letter in "\n\r\t\x1b\x7f\x9b\u2028\0"),
        *((name, "a\nb") for name in ("golden", "report", "export")),
    ],
)
def test_control_characters_in_paths(pytester: pytest.Pytester, name: str, path: str) -> None:
    known = set(pytester.path.iterdir())
    result = pytester.runpytest_inprocess(f"--kycquant-{name}={path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --kycquant-{name}: 'a*' holds a line break or another control character; give*"]
    )
    assert set(pytester.path.iterdir()) == known


@pytest.mark.parametrize("name", ["cache", "golden", "report", "export"])
def test_an_ini_value_of_two_lines(pytester: pytest.Pytester, name: str) -> None:
    pytester.makeini(f"[pytest]\nkycquant_{name} =\n  a\n  b\n")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: ini option kycquant_{name}: 'a*b' holds a line break *"])


def test_names_that_are_not_text_are_paths(pytester: pytest.Pytester) -> None:
    assert settings_of(pytester, "", "--kycquant-cache=a\udcff é").cache.name == "a\udcff é"


def test_home_is_expanded(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(pytester.path / "home"))
    settings = settings_of(pytester, "", "--kycquant-cache=~/cache")
    assert settings.cache == pytester.path / "home" / "cache"


def test_report_that_is_a_folder(pytester: pytest.Pytester) -> None:
    pytester.mkdir("out")
    result = pytester.runpytest_inprocess("--kycquant-report=out")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --kycquant-report: *out exists and is not a report; name *"]
    )


def test_unknown_option(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--kycquant-stict")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments: --kycquant-stict*"])


def test_unknown_ini_value(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkycquant_stict = true\n")
    result = pytester.runpytest_inprocess("--strict-config")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*kycquant_stict*"])


@pytest.mark.parametrize("option", ["threads", "search-budget"])
@pytest.mark.parametrize("value", ["9" * 5000, "1e3", "٣x", "-1", "1.0", "\x1b[2J"])
def test_number_that_is_none(pytester: pytest.Pytester, option: str, value: str) -> None:
    result = pytester.runpytest_inprocess(f"--kycquant-{option}={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --kycquant-{option}: * is not a positive whole number*"])
    assert len(result.stderr.str()) < 1000
    assert "\x1b" not in result.stderr.str()
