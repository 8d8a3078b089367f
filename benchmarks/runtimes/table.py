"""The figures of a report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from .gating import Judged, Variant

_RATES = ("far", "frr", "apcer", "bpcer", "recall", "map", "agreement")
_HEADERS = {"map": "mAP50"}
_LONGEST = 160  # characters of a reason


@dataclass(frozen=True)
class Line:
    """One row to fill.

    Args:
        runtime: first cell.
        precision: second cell.
        label: label of the variant in the report.
        missing: why it was not judged; "" if it was.
    """

    runtime: str
    precision: str
    label: str
    missing: str = ""


def table(
    lines: Sequence[Line],
    judged: Judged,
    headers: tuple[str, str] = ("runtime", "precision"),
    reference: tuple[str, str] = ("onnxruntime", "fp32"),
) -> str:
    """FP32 and the variants; those that were not judged follow below, each with the reason."""
    found = [(line, judged.variants[line.label]) for line in lines if line.label in judged.variants]
    fp32 = judged.variants.get("fp32")
    if fp32 is not None:
        found.insert(0, (Line(*reference, "fp32"), fp32))
    if not found:
        return "\n".join(reasons(lines, judged))
    rates = [name for name in _RATES if any(name in each["gates"] for _, each in found)]
    shown = list(dict.fromkeys(header for _, each in found for header in each["shown"]))
    cells = [
        [
            *(line.runtime, line.precision, f"{each['size_ratio']:.2f}", latency(each)),
            *(each["shown"].get(header, "") for header in shown),
            *(rate(each, name) for name in rates),
            verdict(each),
        ]
        for line, each in found
    ]
    titles = [*headers, "size", "latency", *shown]
    titles += [*(_HEADERS.get(name, name.upper()) for name in rates), "verdict"]
    text = tabulate(cells, headers=titles, tablefmt="github", disable_numparse=True)
    return "\n".join([text, *reasons(lines, judged)])


def reasons(lines: Iterable[Line], judged: Judged) -> list[str]:
    """Lines about what was not judged."""
    general = judged.problems.get("", "")
    texts = {
        f"{line.runtime} {line.precision}": line.missing
        or judged.problems.get(line.label, general or "not in the report")
        for line in lines
        if line.label not in judged.variants
    }
    by_reason: dict[str, list[str]] = {}
    for name, text in texts.items():
        by_reason.setdefault(text, []).append(name)
    said = [f"- not judged: {', '.join(names)}: {cut(text)}" for text, names in by_reason.items()]
    return ["", *said] if said else []


def cut(text: str) -> str:
    """A reason that fits on a line."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def latency(variant: Variant) -> str:
    """The paired ratio to onnxruntime FP32 with its interval; "" if it was not measured."""
    gate = variant["gates"].get("latency")
    if gate is None:
        return ""
    first = gate["checks"][0]
    return f"{first['value']:.2f} [{first['lower']:.2f}, {first['upper']:.2f}]"


def rate(variant: Variant, name: str) -> str:
    """The worst figure of a gate with its bounds, among those in the unit of the first."""
    gate = variant["gates"].get(name)
    if gate is None:
        return ""
    first = gate["checks"][0]
    alike = [c for c in gate["checks"] if c["unit"] == first["unit"] and c["value"] is not None]
    if not alike:
        return ""
    worst = (max if first["direction"] == "below" else min)(alike, key=lambda c: c["value"])
    percent = first["unit"] in ("rate", "share")
    values = [worst[key] for key in ("value", "lower", "upper")]
    digits = 3 if percent and (first["limit"] or 1.0) < 0.01 else 2
    scale, digits = (100, digits) if percent else (1, 3)
    texts = ["?" if each is None else f"{scale * each:.{digits}f}" for each in values]
    return f"{texts[0]}{' %' * percent} [{texts[1]}, {texts[2]}]"


def verdict(variant: Mapping[str, Any]) -> str:
    """The verdict, with the gates that did not pass."""
    gates = [
        name
        for name, gate in variant["gates"].items()
        if gate["verdict"] == variant["verdict"] != "PASS"
    ]
    return " ".join([variant["verdict"], ", ".join(gates)]).strip()
