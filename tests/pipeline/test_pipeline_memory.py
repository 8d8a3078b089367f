"""Peak memory of a pipeline, in a process of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant import PipelineLimits, Verdict
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.errors import MeasurementError
from pytest_kycquant.measure import memory
from pytest_kycquant.measure.memory import Peak
from pytest_kycquant.pipeline.memory import Job
from pytest_kycquant.pipeline.models import Pipeline
from pytest_kycquant.pipeline.record import judge_memory

GATE = """
from pytest_kycquant import PipelineGates

class TestIt(PipelineGates):
    def process(self, stages, photo):
        {line}
"""


@pytest.fixture
def peak(tmp_path: Path, images: ImageSet) -> Callable[[str], Peak]:
    """Run one line in place of a pipeline."""

    def run(line: str) -> Peak:
        file = tmp_path / "only_pytest_knows_this_name.py"
        file.write_text(GATE.format(line=line))
        job = Job(
            Pipeline("fp32", {}), str(file), "some.package.it", "TestIt", (images,), ("process",)
        )
        report = job.run()
        assert report.peak is not None
        return report.peak

    return run


@pytest.fixture
def images() -> ImageSet:
    import numpy as np

    return ImageSet.from_array(np.zeros((2, 4, 4, 3), np.uint8), Path("some.npz"))


def test_peak_is_that_of_the_process_alone(peak: Callable[[str], Peak]) -> None:
    """Memory of this process does not count; memory that the other one has freed does."""
    ballast = bytearray(400_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    small = peak("pass")
    large = peak("x = bytearray(100_000_000); x[::4096] = b'x' * len(x[::4096]); del x")
    assert small.peak_mb < 300
    assert small.peak_mb - small.imports_mb < 20
    assert 90 < large.peak_mb - small.peak_mb < 120
    assert abs(large.imports_mb - small.imports_mb) < 10


def test_failing_process(peak: Callable[[str], Peak]) -> None:
    with pytest.raises(
        MeasurementError,
        match=r"fp32 pipeline in a new process: its process ended with 1 .*raised "
        r"ZeroDivisionError on line 6 of",
    ):
        peak("1 / 0")


def test_killed_process(peak: Callable[[str], Peak]) -> None:
    with pytest.raises(MeasurementError, match="its process ended with -9"):
        peak("import os; os.kill(os.getpid(), 9)")


def test_system_that_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, peak: Callable[[str], Peak]
) -> None:
    assert memory.peak_bytes()
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "no such file")
    assert memory.peak_bytes() is None
    hidden = "from pytest_kycquant.measure import memory; memory._STATUS = memory.Path('none')"
    with pytest.raises(AssertionError):
        peak(hidden)


def test_limits() -> None:
    limits = PipelineLimits(memory_mb=100)
    fp32 = Peak(90, 60)
    assert judge_memory(fp32, Peak(98.9, 60), "", limits).verdict is Verdict.PASS
    assert judge_memory(fp32, Peak(99.1, 60), "", limits).verdict is Verdict.FAIL  # the ratio
    absolute = judge_memory(Peak(99, 60), Peak(100, 60), "", limits)
    assert [check.verdict for check in absolute.checks] == [Verdict.PASS, Verdict.FAIL]
    unknown = judge_memory(None, None, "the process ended", limits)
    assert unknown.verdict is Verdict.INCONCLUSIVE
    assert "the process ended" in unknown.describe()
    assert "More data" not in unknown.describe()
