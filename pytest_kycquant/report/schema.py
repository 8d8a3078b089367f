"""JSON Schemas of the published JSON, made of the dataclasses in `document`.

``python -m pytest_kycquant.report.schema docs`` writes them; that takes the extra ``test``.
pydantic knows how a dataclass looks in JSON, and griffe reads what its docstring says of a field.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from pathlib import Path
from typing import Any

from .document import SCHEMA, Evidence, Report

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLES = {
    Report: "Report of a run of pytest-kycquant",
    Evidence: "Evidence for a model that pytest-kycquant exported",
}
FILES = {"report.schema.json": Report, "evidence.schema.json": Evidence}


def schema_of(document: type) -> dict[str, Any]:
    """The JSON Schema of a published document.

    Args:
        document: `Report` or `Evidence`.
    """
    from pydantic import TypeAdapter

    found = TypeAdapter(document).json_schema(mode="serialization")
    definitions: dict[str, dict[str, Any]] = found.get("$defs", {})
    known = _dataclasses(document, {})
    for name, definition in definitions.items():
        if name in known:
            _describe(definition, known[name])
    _describe(found, document)
    found["properties"]["schema"]["const"] = SCHEMA
    head = {"$schema": _DIALECT, "title": _TITLES[document]}
    return head | {key: value for key, value in found.items() if key != "title"}


def text_of(document: type) -> str:
    """The schema as it is written to its file."""
    return json.dumps(schema_of(document), indent=2, ensure_ascii=False) + "\n"


def _describe(definition: dict[str, Any], kind: type) -> None:
    """Add what the docstring of a dataclass says, and allow no other keys."""
    from griffe import Docstring

    sections = Docstring(kind.__doc__ or "").parse("google", warnings=False)
    said = {section.kind.value: section.value for section in sections}
    definition["description"] = " ".join(said.get("text", "").split())
    for one in said.get("parameters", said.get("attributes", [])):
        definition["properties"][one.name]["description"] = " ".join(one.description.split())
    for field in definition["properties"].values():
        field.pop("title", None)
        field.pop("default", None)  # every key is always written
    definition["required"] = list(definition["properties"])
    definition["additionalProperties"] = False


def _dataclasses(kind: Any, known: dict[str, type]) -> dict[str, type]:
    """All dataclasses that a type holds, by name."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ in known:
            return known
        known[kind.__name__] = kind
        for annotation in typing.get_type_hints(kind).values():
            _dataclasses(annotation, known)
    for part in typing.get_args(kind):
        _dataclasses(part, known)
    return known


if __name__ == "__main__":
    for name, document in FILES.items():
        (Path(sys.argv[1]) / name).write_text(text_of(document), encoding="utf-8")
