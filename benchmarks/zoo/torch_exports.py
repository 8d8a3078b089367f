"""Small models as torch itself exports them, by both of its exporters; none if it is not there."""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from .case import CLOSE, Case, drifting
from .exports import IMAGES, PREPROCESS, SIZE


class _Export(NamedTuple):
    """One way to call ``torch.onnx.export``."""

    label: str
    dynamo: bool
    opset: int
    given: Mapping[str, Any] = MappingProxyType({})
    training: bool = False


_WAYS = (
    _Export("torchscript, opset 9", False, 9),
    _Export("torchscript, opset 11", False, 11),
    _Export("torchscript, opset 13", False, 13),
    _Export("torchscript, opset 17", False, 17),
    _Export("torchscript, not folded", False, 17, {"do_constant_folding": False}),
    _Export("torchscript, for training", False, 17, {"do_constant_folding": False}, True),
    _Export(
        "torchscript, initializers are inputs", False, 9, {"keep_initializers_as_inputs": True}
    ),
    _Export(
        "torchscript, symbols", False, 17, {"dynamic_axes": {"input": {0: "n", 2: "h", 3: "w"}}}
    ),
    _Export("dynamo, opset 18", True, 18),
    _Export("dynamo, opset 20", True, 20),
    _Export("dynamo, opset 23", True, 23),
    _Export("dynamo, not optimized", True, 18, {"optimize": False}),
)
_LOWEST = {"transformer": 14}  # opset from which on torch exports its attention


def torch_exports(folder: Path) -> list[Case]:
    """Export the models into a folder.

    Args:
        folder: where the files go.

    Returns:
        A case for each model and way; none, and a line on the standard error, without torch.
    """
    missing = [name for name in ("torch", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"no exports of torch: {' and '.join(missing)} not installed", file=sys.stderr)
        return []
    import torch

    from .torch_networks import NETWORKS

    cases = []
    for kind, network in NETWORKS.items():
        torch.manual_seed(0)
        model = network()
        _settle(model)
        for number, way in enumerate(_WAYS):
            path = folder / f"{kind}{number:02}.onnx"
            if way.opset < _LOWEST.get(kind, 0):
                continue
            name = f"{kind}: {way.label}"
            try:
                _export(model, way, path)
            except Exception as error:  # torch cannot write every network in every way
                reason = str(error).strip().splitlines()[0][:90]
                print(f"{name} cannot be exported: {reason}", file=sys.stderr)
                continue
            cases.append(Case(name, path, drifting(path), PREPROCESS, CLOSE, IMAGES, 100))
    return cases


def _settle(model: Any) -> None:
    """Give BatchNorm the statistics of some inputs, as training does."""
    import torch

    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.rand(8, 3, SIZE, SIZE) * 2 - 1)
    model.eval()


def _export(model: Any, way: _Export, path: Path) -> None:
    import torch

    given = dict(way.given)
    if way.training:
        given["training"] = torch.onnx.TrainingMode.PRESERVE
    # Both exporters announce what will change in torch.
    logging.getLogger("torch.onnx").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, SIZE, SIZE),),
            str(path),
            input_names=["input"],
            opset_version=way.opset,
            dynamo=way.dynamo,
            verbose=False,
            **given,
        )
