"""Make one quantized file of a model, as a gate with the same images would.

Nothing is judged: whether the file may ship takes gates, which the last lines
of the output name. No file is overwritten without --force.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import output
from .exits import DONE
from .families import FAMILIES

if TYPE_CHECKING:
    from ..quantize.built import ModelFile
    from ..spec.model import Preprocess

_OPTIONS = ("mean", "scale", "channels", "layout", "resize", "fit")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    from ..spec.recipe import RECIPES

    made = [name for name, line in RECIPES.items() if not line.runtimes]
    recipes = [name for name in made if name not in ("fp32", "mixed")]
    parser.add_argument("model", type=Path, metavar="MODEL", help="the FP32 .onnx file")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="100 to 500 typical images, or an .npz"
    )
    parser.add_argument(
        "--recipe",
        default="int8",
        choices=recipes,
        metavar="RECIPE",
        help=f"one of {', '.join(recipes)} (default: int8)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the file to write (default: MODEL.RECIPE.onnx)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="images at a time")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")
    parser.add_argument(
        "--family", choices=list(FAMILIES), help="what the model is, if that is not found"
    )
    group = parser.add_argument_group("how images are prepared, where the usual way is wrong")
    group.add_argument("--size", type=_size, metavar="HxW", help="such as 112x112")
    group.add_argument("--mean", type=_numbers, metavar="M", help="127.5 or 104,117,123")
    group.add_argument("--scale", type=_numbers, metavar="S", help="1/127.5 or .0078")
    group.add_argument("--channels", choices=("RGB", "BGR", "GRAY"))
    group.add_argument("--layout", choices=("NCHW", "NHWC"))
    group.add_argument("--resize", metavar="HOW", help="as in Preprocess: bilinear, ...")
    group.add_argument("--fit", metavar="HOW", help="stretch, letterbox, top-left or crop")


@dataclass(frozen=True)
class Made:
    """What `quantize` made, for ``--json``.

    Args:
        path: the file.
        sha256: its digest.
        size_bytes: its size.
        fp32_bytes: the size of FP32.
        options: all options as finally used, with the reason.
        quantized: operator type -> number of operators that were changed.
        notes: remarks.
        preprocess: the preprocessing of the images; None without images.
        judged: always False.
    """

    path: str
    sha256: str
    size_bytes: int
    fp32_bytes: int
    options: dict[str, Any]
    quantized: dict[str, int]
    notes: tuple[str, ...]
    preprocess: str | None
    judged: bool = False


def run(given: argparse.Namespace) -> int:
    """Make the file."""
    from ..errors import SpecError
    from ..quantize.front_door import quantize
    from .model_facts import look_at
    from .preprocessing import usual

    target = given.out or given.model.with_name(f"{given.model.stem}.{given.recipe}.onnx")
    if target.exists() and not given.force:
        raise SpecError(target, "exists", "name another file in --out, or add --force")
    facts = look_at(given.model, given.family)
    choice, spec = usual(facts), None
    if given.images is not None:
        spec = _changed(given, choice.spec)
    made = quantize(
        given.model,
        given.images,
        given.recipe,
        output=target,
        preprocess=spec,
        threads=given.threads,
        overwrite=given.force,
    )
    from .gate_text import preprocess_source

    words = None if spec is None else preprocess_source(spec)
    found = Made(
        path=str(made.path),
        sha256=made.sha256,
        size_bytes=made.size,
        fp32_bytes=facts.size_bytes,
        options=made.resolved,
        quantized=made.quantized,
        notes=made.notes,
        preprocess=words,
    )
    if given.json:
        output.as_json(found)
    else:
        reason = choice.reason if spec == choice.spec else "as you say"
        _tell(found, made, given.model, reason)
    return DONE


def _changed(given: argparse.Namespace, spec: Preprocess) -> Preprocess:
    changes = {name: getattr(given, name) for name in ("size", *_OPTIONS)}
    return replace(spec, **{name: value for name, value in changes.items() if value is not None})


def _tell(found: Made, made: ModelFile, model: Path, reason: str) -> None:
    ratio = found.size_bytes / found.fp32_bytes
    output.say(f"wrote {found.path}")
    size, before = output.megabytes(found.size_bytes), output.megabytes(found.fp32_bytes)
    output.fact("size", f"{size}, {ratio:.2f} of FP32 ({before})")
    counts = ", ".join(f"{count} {kind}" for kind, count in found.quantized.items())
    output.fact("changed", counts)
    if found.preprocess is None:
        output.fact("images", "none: graphs were verified on noise")
    else:
        output.fact("preprocessing", f"{found.preprocess}: {reason}")
    shown = {k: v for k, v in found.options.items() if v not in (None, "") and k != "reason"}
    output.fact("options", ", ".join(f"{name}={value}" for name, value in shown.items()))
    if why := found.options.get("reason"):
        output.fact("reason", str(why))
    if made.exposure.saturable:
        output.fact(
            "saturation",
            f"{made.exposure.saturable} of {made.exposure.operators} operators can saturate on "
            "CPUs without VNNI",
        )
    for note in found.notes:
        output.fact("note", note)
    output.fact("sha256", found.sha256)
    output.say()
    output.say("Nothing was judged: this file may be silently wrong. To gate it:")
    output.command(f"kycquant init {model} IMAGES")
    output.say(
        "writes a gate that makes and judges the same recipe. For this very file, write in its "
        f'precisions: Prequantized("{found.path}").'
    )


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 112x112")
    return int(height), int(width)


def _numbers(text: str) -> float | tuple[float, ...]:
    """One number or one for each channel; 1/255 is a number, too."""
    try:
        values = []
        for part in text.split(","):
            over, slash, under = part.partition("/")
            values.append(float(over) / float(under) if slash else float(over))
    except (ValueError, ZeroDivisionError):
        problem = f"{text!r} is not a number, or numbers with commas, such as 127.5 or 1/255"
        raise argparse.ArgumentTypeError(problem) from None
    return values[0] if len(values) == 1 else tuple(values)
