"""pytest-kycquant decides whether a quantized identity-verification model may ship.

Names are resolved when they are first used. The plugin therefore costs a suite without gates
nothing, and everything except the gate classes works without pytest.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bench.beforehand import outlook as outlook
    from .plugin.candidate import Candidate
    from .plugin.gates import (
        AgreementGates,
        CustomGates,
        DetectionGates,
        FaceGates,
        LivenessGates,
    )
    from .plugin.pipeline_gates import PipelineGates
    from .quantize.front_door import quantize as quantize
    from .spec import presets
    from .spec.box import Box
    from .spec.custom import CustomTask
    from .spec.limits import (
        CustomLimits,
        DetectionLimits,
        FaceLimits,
        LivenessLimits,
        PipelineLimits,
    )
    from .spec.model import KycModel, Preprocess
    from .spec.prequantized import Prequantized
    from .spec.recipe import Recipe
    from .spec.runtime import Runtime
    from .spec.tasks import FaceVerification, LivenessDetection, ObjectDetection
    from .verdicts import Verdict

# onnxruntime 1.29 and later reports its use to its maker, from the moment that it is imported.
# Neither that nor its file in the user's home belongs in a test of models that handle faces.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "AgreementGates",
    "Box",
    "Candidate",
    "CustomGates",
    "CustomLimits",
    "CustomTask",
    "DetectionGates",
    "DetectionLimits",
    "FaceGates",
    "FaceLimits",
    "FaceVerification",
    "KycModel",
    "LivenessDetection",
    "LivenessGates",
    "LivenessLimits",
    "ObjectDetection",
    "PipelineGates",
    "PipelineLimits",
    "Preprocess",
    "Prequantized",
    "Recipe",
    "Runtime",
    "Verdict",
    "presets",
]

# The imports above, for use at run time.
_HOMES = {
    "AgreementGates": "plugin.gates",
    "Box": "spec.box",
    "Candidate": "plugin.candidate",
    "CustomGates": "plugin.gates",
    "CustomLimits": "spec.limits",
    "CustomTask": "spec.custom",
    "DetectionGates": "plugin.gates",
    "DetectionLimits": "spec.limits",
    "FaceGates": "plugin.gates",
    "FaceLimits": "spec.limits",
    "FaceVerification": "spec.tasks",
    "KycModel": "spec.model",
    "LivenessDetection": "spec.tasks",
    "LivenessGates": "plugin.gates",
    "LivenessLimits": "spec.limits",
    "ObjectDetection": "spec.tasks",
    "PipelineGates": "plugin.pipeline_gates",
    "PipelineLimits": "spec.limits",
    "Preprocess": "spec.model",
    "Prequantized": "spec.prequantized",
    "Recipe": "spec.recipe",
    "Runtime": "spec.runtime",
    "Verdict": "verdicts",
    "presets": "spec.presets",
    "outlook": "bench.beforehand",
    "quantize": "quantize",
}


if not TYPE_CHECKING:  # type checkers would accept every name of this package

    def __getattr__(name: str) -> object:
        """Import a public name (PEP 562).

        Raises:
            AttributeError: the package has no such name.
        """
        from importlib import import_module

        __tracebackhide__ = True
        if name in _HOMES:
            module = import_module(f".{_HOMES[name]}", __name__)
            # Not stored here: if modules are dropped and imported again, the new one is found.
            return module if module.__name__.endswith(f".{name}") else getattr(module, name)
        problem = f"module {__name__!r} has no attribute {name!r}"
        if not name.startswith("_"):
            from difflib import get_close_matches

            if close := get_close_matches(name, _HOMES, n=1):
                problem += f"; did you mean {close[0]!r}?"
        raise AttributeError(problem)


def __dir__() -> list[str]:
    """List the public names in addition to those of every module."""
    return sorted({*globals(), *__all__})
