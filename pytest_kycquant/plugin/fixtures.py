"""Fixtures: `pytest --fixtures` prints these docstrings. The work is done elsewhere.

Every suite loads this module, so each fixture imports what it needs when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

from ..errors import SpecError

if TYPE_CHECKING:
    from ..bench.golden import Golden
    from ..bench.variant import Variant
    from ..spec.recipe import Recipe
    from .candidate import Candidate
    from .gate_run import GateRun
    from .pipeline_gates import KycPipeline


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden FP32 baseline of the model under test.

    It is read from ``golden/<model>.json`` and compared with what FP32 does today. Attributes:
    ``threshold`` (accept if score >= threshold, or distance <= threshold; None for a custom task),
    ``rates`` by name, such as ``rates["FAR"]`` (errors, trials, value, lower, upper), ``figures``
    for everything that is not a rate, ``size`` in bytes, ``latency_ms`` (for reference) and
    ``environment``.

    A missing or stale baseline is an error that prints the command to record it::

        pytest tests/gates/test_arcface.py --kycquant-update-golden
    """
    with _noted(request):
        return _gate_run(request).golden


@pytest.fixture
def candidate(request: pytest.FixtureRequest) -> Candidate:
    """The variant under test, one test item for each of the gate's ``precisions``.

    It has been quantized (or taken from the cache), run on the evaluation data and compared with
    all limits. If it does not pass but a fallback does, ``candidate`` *is* the fallback and
    ``candidate.fell_back`` is true. Attributes: ``path``, ``size`` in bytes, ``variant``,
    ``precision`` and ``gates`` (results by name). The method ``check(gate)`` asserts one gate::

        def test_much_smaller(self, candidate, golden):
            assert candidate.size < 0.6 * golden.size
    """
    with _noted(request):
        run = _gate_run(request)  # without a model there is no parameter: this error comes first
        if not hasattr(request, "param"):
            raise SpecError(
                request.node.nodeid,
                "asks for `candidate` while running, which is too late to run once per precision",
                "name `candidate` as an argument of the test",
            )
        return run.candidate(request.param)


@pytest.fixture
def quantize(request: pytest.FixtureRequest) -> Callable[[str | Recipe], Variant]:
    """Make a variant by hand: ``quantize("fp16")`` or ``quantize(Recipe("int8", ...))``.

    It returns a variant with ``path``, ``size`` in bytes, ``sha256``, ``resolved`` (every option as
    finally used) and ``quantized`` (number of changed operators by type). The variant is built once
    and kept in the cache; no gate is applied to it::

        def test_first_layer_matters(self, quantize):
            mixed = quantize(Recipe("mixed", keep_fp32=("first",)))
            assert mixed.quantized["Conv"] == 49
    """
    from ..spec.recipe import as_recipe

    with _noted(request):
        judge = _gate_run(request).judge
    return lambda precision: judge.variants.variant(as_recipe(precision))


@pytest.fixture
def kyc_pipeline(request: pytest.FixtureRequest) -> KycPipeline:
    """The shipped pipeline compared with FP32, for the tests of a `PipelineGates` class.

    It has been run on all images, timed alternately with FP32 and opened in a separate process.
    Attributes: ``gates`` (results by name), ``variants`` (what ships at each stage) and ``record``
    (every figure). The method ``check(gate)`` asserts one gate::

        def test_detector_is_quantized(self, kyc_pipeline):
            assert kyc_pipeline.variants["detector"] != "fp32"
    """
    from .gate_run import kyc_pipeline_of

    with _noted(request):
        return kyc_pipeline_of(request.node)


def _noted(request: pytest.FixtureRequest) -> AbstractContextManager[None]:
    from .gate_run import noted

    return noted(request.node)


def _gate_run(request: pytest.FixtureRequest) -> GateRun:
    from .gate_run import GateRun

    return GateRun.of(request.node)
