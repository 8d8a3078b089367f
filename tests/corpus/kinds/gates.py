"""Gate files that ask for the impossible, or for less than it seems."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.corpus.case import Case
from tests.corpus.judge import FAILING, PASSING, Expect, refused, warned
from tests.corpus.trial import Trial

_NUMPY = "__import__('numpy')"


def _raising(*methods: str) -> str:
    """An object of which some methods raise an error, as those of the NA of pandas do."""
    defined = ", ".join(f"{name!r}: lambda *given: [][0]" for name in methods)
    return f"type('Odd', (), {{{defined}, '__hash__': lambda one: 1}})()"


# Expressions that are seldom right.
_POOL = (
    *("None", "True", "-1", "0", "1", "5", "2.5", "float('nan')", "float('inf')", "10**400"),
    *("1e308", "''", "' '", "'x'", "'a\\0b'", "'\\x1b[2J'", "'x' * 100_000", "b'x'", "()", "[]"),
    *("{}", "(1, 2, 3)", "['x']", "object()", "lambda: 0", "int", "1j", "range(3)", "iter([])"),
    *("Ellipsis", "print", "'\\ud800'", "'\\n'", "{1, 2}", "bytearray(b'5')"),
    *(f"{_NUMPY}.array(5)", f"{_NUMPY}.array(['a', 'b'])", f"{_NUMPY}.zeros((2, 2))"),
    *(f"{_NUMPY}.array('x')", f"{_NUMPY}.float32('nan')", f"{_NUMPY}.ma.masked"),
    *(_raising("__eq__", "__bool__"), _raising("__repr__"), _raising("__float__")),
    *(_raising("__iter__"), _raising("__fspath__")),
)
_FIVE = f"{_NUMPY}.array(5)"
# The functions of the preamble by the class that they make, and the values of the pool that are
# right or have a meaning for each argument.
_CALLS = {
    "KycModel": "model({})",
    "Preprocess": "model(preprocess=pixels({}))",
    "FaceVerification": "model(task=face({}))",
}
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "KycModel.path": (),
    "KycModel.preprocess": (),
    "KycModel.task": (),
    "KycModel.calibration": (),
    "KycModel.name": ("''", "'x'", "' '", f"{_NUMPY}.array('x')"),
    "Preprocess.size": (),
    "Preprocess.mean": ("-1", "0", "1", "5", "2.5", "1e308", "(1, 2, 3)", "range(3)", _FIVE),
    "Preprocess.scale": ("-1", "1", "5", "2.5", "1e308", "(1, 2, 3)", _FIVE),
    "Preprocess.channels": (),
    "Preprocess.layout": (),
    "Preprocess.resize": (),
    "Preprocess.fit": (),
    "Preprocess.pad": (),
    "Preprocess.function": ("None",),
    "FaceVerification.data": (),
    "FaceVerification.pairs": ("None",),
    "FaceVerification.max_impostor_pairs": ("None", "1", "5", _FIVE),
    "FaceVerification.selection": ("None",),
    "FaceVerification.selection_far": ("None",),
    "FaceVerification.threshold": ("None", "-1", "0", "1"),
    "FaceVerification.output": ("None",),
    "FaceVerification.labelled": ("True",),
    "FaceVerification.groups": ("None",),
    "FaceVerification.landmarks": ("None",),
}
_LIMITS = (
    "far",
    "frr",
    "far_degradation",
    "mean_cosine",
    "latency_ratio",
    "size_ratio",
    "size_mb",
    "latency_ms",
)
_LIMIT_RIGHT: dict[str, tuple[str, ...]] = {
    "mean_cosine": ("-1", "0"),
    **dict.fromkeys(("latency_ratio", "size_ratio"), ("1", "5", "2.5", "1e308", _FIVE)),
    **dict.fromkeys(("size_mb", "latency_ms"), ("None", "1", "5", "2.5", "1e308", _FIVE)),
}
_OPTIONS = (
    *("precision", "name", "activation_type", "weight_type", "per_channel", "reduce_range"),
    *("calibration_method", "percentile", "equalize", "bias_correction", "keep_fp32"),
    *("float_weights", "op_types", "rewrites"),
)
_OPTION_RIGHT: dict[str, tuple[str, ...]] = {
    "name": ("''", "'x'", f"{_NUMPY}.array('x')"),
    "keep_fp32": ("()", "[]", "{}", "iter([])"),
    **dict.fromkeys(
        ("per_channel", "reduce_range", "equalize", "bias_correction"), ("None", "True")
    ),
    "rewrites": ("None", "True", "()", "[]", "{}", "iter([])"),
}
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "precisions": (),
    "limits": ("None",),
    "fallback": ("None",),
    "strict": ("None", "True"),
    "inconclusive": ("None",),
    "profile": ("None",),
    "model": (),
}
_PREAMBLE = """
def pixels(size=(16, 16), mean=127.5, scale=1 / 127.5, **given):
    return Preprocess(size=size, mean=mean, scale=scale, **given)


def face(data="faces.npz", selection="selection.npz", **given):
    return FaceVerification(data, selection=selection, **given)


def model(path="models/face.onnx", preprocess=pixels(), task=face(), **given):
    given = {"calibration": "calibration.npz"} | given
    return KycModel(path, preprocess=preprocess, task=task, **given)


"""


def _model(call: str) -> Callable[[Trial], None]:
    """Another model in the class."""

    def damage(trial: Trial) -> None:
        text = trial.file("test_gate.py").read_text(encoding="utf-8")
        head, rest = text[: text.index("class TestFace")], text[text.index("    limits = ") :]
        trial.file("test_gate.py").write_text(
            f"{head}{_PREAMBLE}class TestFace(FaceGates):\n    model = {call}\n{rest}",
            encoding="utf-8",
        )
        trial.update_golden()

    return damage


def _limit(name: str, value: str) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        text = trial.file("test_gate.py").read_text(encoding="utf-8")
        start = text.index("    limits = FaceLimits(")
        end = text.index("    precisions = ")
        limits = dict.fromkeys(("far", "frr", "far_degradation", "frr_degradation"), "0.2")
        limits |= {"mean_cosine": "0.5", "p1_cosine": "0.5"}
        limits |= {"latency_ratio": "1000.0", "size_ratio": "10.0"}
        given = ", ".join(f"{key}={one}" for key, one in {**limits, name: value}.items())
        changed = f"{text[:start]}    limits = FaceLimits({given})\n{text[end:]}"
        trial.file("test_gate.py").write_text(changed, encoding="utf-8")

    return damage


def _replaced(old: str, new: str) -> Callable[[Trial], None]:
    return lambda trial: trial.edit("test_gate.py", old, new)


def _recipe(option: str, value: str) -> Callable[[Trial], None]:
    given = f"Recipe({value})" if option == "precision" else f'Recipe("int8", {option}={value})'
    return _replaced('("int8",)', f"({given},)")


def _attribute(name: str, value: str) -> Callable[[Trial], None]:
    """Set at the end of the class, so that it counts."""

    def damage(trial: Trial) -> None:
        with trial.file("test_gate.py").open("a", encoding="utf-8") as file:
            file.write(f"\n    {name} = {value}\n")

    return damage


def _lines(*lines: str) -> Callable[[Trial], None]:
    """More lines in the class."""

    def damage(trial: Trial) -> None:
        with trial.file("test_gate.py").open("a", encoding="utf-8") as file:
            file.write("".join(f"\n    {line}" for line in lines) + "\n")

    return damage


def _appended(text: str) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        with trial.file("test_gate.py").open("a", encoding="utf-8") as file:
            file.write(text)

    return damage


def _all(*damages: Callable[[Trial], object]) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        for one in damages:
            one(trial)

    return damage


def _conftest(text: str) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        trial.file("conftest.py").write_text(text, encoding="utf-8")

    return damage


def _not_collected(name: str) -> Expect:
    """Said, whether or not other tests were run."""
    return warned("not collect") | refused(name)


def _wrong_class(base: str) -> Callable[[Trial], None]:
    return _all(
        _replaced("class TestFace(FaceGates)", f"class TestFace({base})"),
        _replaced("CustomGates, ", "CustomGates, AgreementGates, PipelineGates, "),
    )


_MISSPELT = (
    *(("limits =", "limit ="), ("limits =", "Limits ="), ("precisions =", "precision =")),
    *(("precisions =", "recipes ="), ("fallback =", "fallbacks ="), ("model =", "modell =")),
    *(("preprocess=", "preproces="), ("mean=", "means="), ("scale=", "std=")),
    *(("channels=", "channel="), ("calibration=", "calibrate="), ("selection=", "select=")),
    *(("far=0.2", "fra=0.2"), ("size_ratio=", "size="), ("frr_degradation=", "frr_degredation=")),
)
_INSTEAD = refused("test_", says="limits")  # the remedy is to set a limit
# What a class may be given to judge less than it seems.
_LESS: dict[str, tuple[Callable[[Trial], object], Expect]] = {
    "gate-none": (_lines("test_degradation = None"), _INSTEAD),
    "gate-none-far": (_lines("test_far = None"), _INSTEAD),
    "gate-empty": (_lines("def test_degradation(self): pass"), _INSTEAD),
    "gate-docstring": (_lines("def test_size(self, candidate):", '    """Later."""'), _INSTEAD),
    "gate-lambda": (_lines("test_frr = lambda self: None"), _INSTEAD),
    "gate-property": (_lines("test_frr = property(lambda self: 1)"), _INSTEAD),
    "gate-number": (_lines("test_finite = 3"), _INSTEAD),
    "gate-static": (_lines("@staticmethod", "def test_far(): pass"), _INSTEAD),
    "gate-inherited": (
        _appended(
            "\n\nclass Loose:\n    def test_far(self): pass\n"
            "\n\nclass TestLoose(Loose, TestFace):\n    pass\n"
        ),
        _INSTEAD,
    ),
    "gate-deleted-later": (_appended("\n\nTestFace.test_far = None\n"), _INSTEAD),
    "not-collected-name": (_replaced("class TestFace", "class ArcFace"), _not_collected("ArcFace")),
    "not-collected-init": (_lines("def __init__(self): pass"), refused("TestFace", "__init__")),
    "not-collected-hidden": (_replaced("class TestFace", "class _Face"), _not_collected("_Face")),
    "not-collected-beside": (
        _appended("\n\nclass Second(FaceGates):\n    model = TestFace.model\n"),
        _not_collected("Second"),
    ),
}
_FAILING_LIMIT = _replaced("mean_cosine=0.5", "mean_cosine=0.9999999")
_XFAILED = FAILING | refused("xfail", "TestFace", "face as")
_HOOK = "import pytest\n\n\ndef pytest_collection_modifyitems(items):\n    for item in items:\n"
# How a gate that fails may look green.
_HIDDEN: dict[str, tuple[Callable[[Trial], object], Expect]] = {
    "xfail": (_replaced("class TestFace", "@pytest.mark.xfail\nclass TestFace"), _XFAILED),
    "xfail-reason": (
        _replaced("class TestFace", "@pytest.mark.xfail(reason='later')\nclass TestFace"),
        _XFAILED,
    ),
    "xfail-module": (_appended("\npytestmark = pytest.mark.xfail\n"), _XFAILED),
    "xfail-hook": (_conftest(_HOOK + "        item.add_marker(pytest.mark.xfail)\n"), _XFAILED),
    "skip-hook": (
        _conftest(
            _HOOK + "        if 'degradation' in item.name:\n"
            "            item.add_marker(pytest.mark.skip)\n"
        ),
        FAILING | refused("degradation") | PASSING,
    ),
    "plain": (lambda trial: None, FAILING),
}
_LATE = ("@pytest.fixture", "def late(self):", "    yield", "    assert False", "")
_EARLY = ("@pytest.fixture", "def early(self):", "    assert False", "")
_OWN_RULES: dict[str, Callable[[Trial], object]] = {
    "fails": _lines("def test_rule(self, candidate):", "    assert False"),
    "teardown": _lines(*_LATE, "def test_rule(self, candidate, late):", "    pass"),
    "setup": _lines(*_EARLY, "def test_rule(self, candidate, early):", "    pass"),
    "without-candidate": _lines("def test_rule(self):", "    assert False"),
}


def _refusals(rng: random.Random) -> Iterator[Case]:
    """Wrong values drawn for every argument, limit, option and attribute."""

    def drawn(right: tuple[str, ...], count: int) -> list[str]:
        return rng.sample([value for value in _POOL if value not in right], count)

    for name, right in _ARGUMENTS.items():
        described, _, argument = name.partition(".")
        for value in drawn(right, 3):
            damage = _model(_CALLS[described].format(f"{argument}={value}"))
            expect = refused(argument, described, "face.onnx")
            yield Case(f"gate-{name}={value}", "face", damage, expect)
    for limit in _LIMITS:
        for value in drawn(_LIMIT_RIGHT.get(limit, ()), 2):
            yield Case(f"gate-limit-{limit}={value}", "face", _limit(limit, value), refused(limit))
    for option in _OPTIONS:
        for value in drawn(_OPTION_RIGHT.get(option, ("None",)), 2):
            expect = refused(option, "Recipe", "precisions")
            yield Case(f"gate-recipe-{option}={value}", "face", _recipe(option, value), expect)
    for name, right in _ATTRIBUTES.items():
        for value in drawn(right, 3):
            expect = refused(name, "TestFace")
            yield Case(f"gate-class-{name}={value}", "face", _attribute(name, value), expect)


def cases(rng: random.Random) -> Iterator[Case]:
    """Arguments of every kind, misspelt names, and gates that would judge less than it seems."""
    yield from _refusals(rng)
    for old, new in _MISSPELT:
        about = (new.strip(" =0.2"), "TestFace")
        yield Case(f"gate-misspelt-{about[0]}", "face", _replaced(old, new), refused(*about))
    for name in (*_BAD_NAMES, *_ODD_NAMES):
        expect = refused("name") | PASSING if name in _ODD_NAMES else refused("name")
        damage = _exporting(_model(f"model(name={name!r})"), name)
        yield Case(f"gate-name-{name[:12]!a}", "face", damage, expect)
    for name, (damage, expect) in _LESS.items():
        yield Case(f"gate-{name}", "face", damage, expect)
    for name, (damage, expect) in _HIDDEN.items():
        failing = _clearing_nothing(_all(_FAILING_LIMIT, damage))
        yield Case(f"gate-failing-{name}", "face", failing, expect)
    for base in _BASES:
        yield Case(f"gate-base-{base}", "face", _wrong_class(base), refused("TestFace"))
    for name, damage in _OWN_RULES.items():
        yield Case(f"gate-own-rule-{name}", "face", _clearing_nothing(damage), FAILING)
    for name, words in _PARTS.items():
        damage = _clearing_nothing(lambda trial, words=words: trial.arguments.extend(words))
        yield Case(f"gate-part-{name}", "face", damage, PASSING)


_BAD_NAMES = (".", "..", "a/b", "./x", "../../home/x", "a\nb", "\u202ex", "a\0b", "x" * 300)
_ODD_NAMES = ("...", "a\\b", "~", "-x", "CON", "x.json", "\u00e9", "a b")
_BASES = ("LivenessGates", "DetectionGates", "CustomGates", "AgreementGates", "PipelineGates")
_PARTS = {
    "k": ("-k", "size"),
    "k-not": ("-k", "not degradation"),
    "one-test": ("test_gate.py::TestFace::test_size",),
    "deselect": ("--deselect", "test_gate.py::TestFace::test_far"),
    "smoke": ("--kycquant-profile=smoke",),
}


def _clearing_nothing(damage: Callable[[Trial], object]) -> Callable[[Trial], None]:
    """Nothing may be named to ship, or exported."""

    def damaged(trial: Trial) -> None:
        damage(trial)
        trial.clears_nothing = True
        if "--kycquant-profile=smoke" not in trial.arguments:
            trial.arguments.append(f"--kycquant-export={trial.root / 'exported'}")
            trial.may_appear.add("exported")

    return damaged


def _exporting(damage: Callable[[Trial], object], name: str) -> Callable[[Trial], None]:
    """Files of that name are written below their folders, or not at all."""

    def damaged(trial: Trial) -> None:
        damage(trial)
        trial.arguments.append(f"--kycquant-export={trial.root / 'exported'}")
        trial.may_appear |= {f"project/golden/{name}.json", "exported"}

    return damaged
