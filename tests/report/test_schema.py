"""The JSON Schemas in docs/ are those of the dataclasses, and reports keep them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_kycquant.report import render, schema
from pytest_kycquant.report.document import SCHEMA
from pytest_kycquant.report.json_report import evidence
from pytest_kycquant.report.records import Collected
from tests.report.test_json_report import collected

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", schema.FILES)
def test_docs_hold_the_schema(name: str) -> None:
    """Write it anew with ``python -m pytest_kycquant.report.schema docs``."""
    assert (DOCS / name).read_text(encoding="utf-8") == schema.text_of(schema.FILES[name])


@pytest.mark.parametrize("name", schema.FILES)
def test_every_key_is_described(name: str) -> None:
    found = schema.schema_of(schema.FILES[name])
    objects = {"": found} | {k: v for k, v in found["$defs"].items() if "properties" in v}
    for kind, definition in objects.items():
        assert definition["description"], kind
        for key, field in definition["properties"].items():
            assert field.get("description"), f"{kind}.{key}"
    assert found["properties"]["schema"]["const"] == SCHEMA


def documents() -> dict[str, Any]:
    found = collected()
    (gate,) = found.gates
    return {
        "report.schema.json": json.loads(render("json", found)),
        "evidence.schema.json": json.loads(evidence(found, gate, {"face.onnx": "ab"}, {})),
    }


@pytest.mark.parametrize("name", schema.FILES)
def test_documents_keep_the_schema(name: str) -> None:
    known = json.loads((DOCS / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(known)
    jsonschema.validate(documents()[name], known)


def test_a_run_without_gates_keeps_the_schema() -> None:
    known = json.loads((DOCS / "report.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(render("json", Collected())), known)


@pytest.mark.parametrize("name", schema.FILES)
def test_other_documents_do_not(name: str) -> None:
    known = json.loads((DOCS / name).read_text(encoding="utf-8"))
    wrong = documents()[name] | {"more": 1}
    with pytest.raises(jsonschema.ValidationError, match="more"):
        jsonschema.validate(wrong, known)
    old = documents()[name] | {"schema": 7}
    with pytest.raises(jsonschema.ValidationError, match="8 was expected"):
        jsonschema.validate(old, known)


def test_an_auditor_can_check_the_digest(tmp_path: Path) -> None:
    """The code in docs/compliance.md, on the evidence of an export."""
    text = (DOCS / "compliance.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    path = tmp_path / "face.json"
    path.write_text(json.dumps(documents()["evidence.schema.json"]), encoding="utf-8")
    assert '"exports/face.json"' in code
    code = code.replace('"exports/face.json"', repr(str(path)))
    exec(code, {})
    path.write_text(path.read_text().replace('"FAIL"', '"PASS"'), encoding="utf-8")
    with pytest.raises(AssertionError):
        exec(code, {})
