"""Errors and warnings. Each says in one line where the problem is, what it is, and what to do."""

from __future__ import annotations


class KycquantError(Exception):
    """Base of all errors of the plugin.

    Args:
        where: the file, option or attribute at fault.
        problem: what is wrong with it.
        remedy: what the reader can do about it.
    """

    def __init__(self, where: object, problem: str, remedy: str) -> None:
        self.where = str(where)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{self.where}: {problem}; {remedy}")

    def __reduce__(self) -> tuple[type[KycquantError], tuple[str, str, str]]:
        """Rebuild from the three parts: by default, pickle would pass the joined message."""
        return type(self), (self.where, self.problem, self.remedy)


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


class QuantizationError(KycquantError):
    """A recipe cannot be applied, or its result is not what was requested."""


class BaselineError(KycquantError):
    """The golden FP32 model fails its own limits, so nothing can be compared with it."""


class GoldenError(KycquantError):
    """The golden file is missing, stale, damaged or may not be written."""


class CacheError(KycquantError):
    """The cache folder cannot be read or written."""


class MeasurementError(KycquantError):
    """A quantity could not be measured on this machine."""


class KycquantWarning(UserWarning):
    """Base of all warnings of the plugin."""


class CalibrationWarning(KycquantWarning):
    """The calibration set is usable but smaller or larger than advised."""


class NearDuplicateWarning(KycquantWarning):
    """Images that must be independent differ in nothing but an edit."""


class EnvironmentWarning(KycquantWarning):
    """The golden was recorded in another environment: some figures are not comparable."""


class InconclusiveWarning(KycquantWarning):
    """A gate could not decide on the data it was given."""
