"""Errors and warnings. Each says in one line where the problem is, what it is, and what to do."""

from __future__ import annotations

_LONGEST = 600  # characters of a part of a message


def printable(text: str) -> str:
    """Escape what a terminal would act on, line ends included: names come from files of others."""
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)


def _part(text: object) -> str:
    """A part of a message: printable, and without the middle of what nobody would read."""
    shown = printable(str(text))
    if len(shown) <= _LONGEST:
        return shown
    half = (_LONGEST - 5) // 2
    return f"{shown[:half]} ... {shown[-half:]}"


class KycquantError(Exception):
    """Base of all errors of the plugin. Its message is printable and not long.

    Args:
        where: the file, option or attribute at fault.
        problem: what is wrong with it.
        remedy: what the reader can do about it.
    """

    def __init__(self, where: object, problem: str, remedy: str) -> None:
        self.where = _part(where)
        self.problem = _part(problem)
        self.remedy = _part(remedy)
        super().__init__(f"{self.where}: {self.problem}; {self.remedy}")

    def __reduce__(self) -> tuple[type[KycquantError], tuple[str, str, str]]:
        """Rebuild from the three parts: by default, pickle would pass the joined message."""
        return type(self), (self.where, self.problem, self.remedy)


def one_line(error: BaseException) -> str:
    """Shorten the message of a library's exception to its first 200 characters, on one line."""
    text = str(error.problem if isinstance(error, KycquantError) else error)
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


class SpecError(KycquantError):
    """A gate class, marker or recipe describes something impossible."""


class SettingsError(KycquantError):
    """An option or ini value is invalid."""


class ModelError(KycquantError):
    """A model file cannot be gated: it is damaged, not ONNX, or has an unexpected signature."""


class DataError(KycquantError):
    """Images or labels cannot be used as they are."""


class LeakageError(DataError):
    """The same content is used for two purposes that must be disjoint."""


class MetricError(KycquantError):
    """A user-defined metric raises an error, or returns something that cannot be judged."""


class PipelineError(KycquantError):
    """The method `process` of a pipeline raises an error."""


class QuantizationError(KycquantError):
    """A recipe cannot be applied, or its result is not what was requested."""


class BaselineError(KycquantError):
    """The golden FP32 model fails its own limits, so nothing can be compared with it."""


class GoldenError(KycquantError):
    """The golden file is missing, stale, damaged or may not be written."""


class MissingGoldenError(GoldenError):
    """There is no golden file yet."""


class ReportError(KycquantError):
    """A report of an earlier run cannot be read."""


class CacheError(KycquantError):
    """The cache folder cannot be read or written."""


class RuntimeUnavailableError(KycquantError):
    """A runtime is not installed, too old, or cannot do here what it is asked for."""


class MeasurementError(KycquantError):
    """A quantity could not be measured on this machine."""


class KycquantWarning(UserWarning):
    """Base of all warnings of the plugin. Its message is printable."""

    def __init__(self, message: str) -> None:
        # The report of a gate has lines of its own; everything else was escaped within them.
        super().__init__("\n".join(map(printable, message.split("\n"))))


class CalibrationWarning(KycquantWarning):
    """The calibration set is usable but smaller or larger than advised."""


class LandmarksWarning(KycquantWarning):
    """Landmarks are usable, but some do not look like those of the face in their image."""


class NearDuplicateWarning(KycquantWarning):
    """Images that must be independent differ in nothing but an edit."""


class EnvironmentWarning(KycquantWarning):
    """The golden was recorded in another environment: some figures are not comparable."""


class InconclusiveWarning(KycquantWarning):
    """A gate could not decide on the data it was given."""


class GateCollectionWarning(KycquantWarning):
    """A gate exists that pytest does not collect, so it gates nothing."""
