"""From a gate file to a record: what ships at each stage, and what both pipelines do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from ..cache import digest_of
from ..data.images import ImageSet, load_images
from ..errors import BaselineError, MeasurementError, QuantizationError
from ..report.records import Gate
from .measure import Coverage, Timing, cover, ratio, summarise, time_runs
from .memory import Job, Peak, measure_peak
from .record import (
    PipelineRecord,
    PipelineRow,
    judge_complete,
    judge_latency,
    judge_memory,
    not_judged,
)
from .stages import Photo, Pipeline, Stage, Stages, Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..evaluation import Bench
    from ..session import KycquantSession
    from ..verdicts import VariantRecord
    from .gates import PipelineSpec, StageSpec

MEMORY_IMAGES = 5  # the largest ones: the peak is theirs


def judge(session: KycquantSession, spec: PipelineSpec, gate: str) -> PipelineRecord:
    """Measure the shipped pipeline beside FP32, once a run, and hold it against its limits.

    Args:
        session: of this process.
        spec: what the gate file says.
        gate: node id of its class.

    Raises:
        KycquantError: a stage cannot be judged, or nothing ships there; images cannot be used; on
            none of them FP32 reaches every stage.
    """
    fp32 = Pipeline("fp32", _stages(session, spec, fp32=True), spec.threads)
    shipped = Pipeline("shipped", _stages(session, spec, fp32=False), spec.threads)
    bench = session.bench(spec.stages[0].gate, spec.stages[0].gate_file)
    images = load_images(session.workbench.resolve(spec.images, "images", spec.gate_file))
    key = [gate, repr(spec), repr(fp32), repr(shipped)]
    name = f"pipeline-{digest_of(key)[:32]}"
    cache = session.workbench.cache
    with cache.lock(name):
        file = session.workbench.run_file(f"{name}.json")
        if file.exists():  # another worker was faster
            return PipelineRecord.from_dict(json.loads(file.read_text(encoding="utf-8")))
        record = _measure(session, spec, gate, fp32, shipped, images)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(record.as_dict(), allow_nan=False), encoding="utf-8")
        partial.replace(file)
        return record
