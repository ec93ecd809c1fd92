"""The chart without Helm: its values, their schema, and which of them templates use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from nestvec import __version__
from nestvec_exporters.graph.tensorrt import RELEASE

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "nestvec"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = sorted(path for path in (CHART / "templates").rglob("*") if path.is_file())

ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
REFERENCE = re.compile(r"(?<![\w)\"$.])(\$?)\.([A-Za-z]\w*(?:\.\w+)*)")
DOT = re.compile(r"(?<![\w)\"$.])\.(?!\w)")
FREE_FORM = {
    "config",
    "dashboard.labels",
    "milvus.podLabels",
    "resources",
    "triton.nodeSelector",
    "triton.resources",
}
"""Mappings with keys of the user's own."""


def references(text: str, *, openings: bool = True) -> Iterator[str]:
    """The paths of the values that a template uses, also relative ones inside ``with``.

    ``openings=False`` omits what ``with`` only opens.
    """
    scopes: list[str | None] = [
        ""
    ]  # What the dot is: "" the root, a path of values, or None for anything else.
    for action in ACTION.findall(text):
        if action.startswith("/*"):
            continue
        keyword, _, rest = action.partition(" ")
        bare = re.sub(r'"[^"]*"', '""', rest if keyword in {"if", "with", "range", "else"} else action)
        paths = [path for path in (_path(scopes[-1], *match) for match in REFERENCE.findall(bare)) if path]
        if openings or keyword != "with":
            yield from paths
        if (scope := scopes[-1]) and DOT.search(bare):
            yield scope
        if keyword in {"if", "with", "range", "define"}:
            if keyword == "with":
                scopes.append(paths[0] if re.fullmatch(r"\$?\.[\w.]+", rest) and paths else None)
            elif keyword == "range":
                scopes.append(None)
            else:
                scopes.append("" if keyword == "define" else scopes[-1])
        elif keyword == "end":
            scopes.pop()
    assert scopes == [""], "an action without its end"


def _path(scope: str | None, dollar: str, name: str) -> str | None:
    if dollar or scope == "":
        return name.removeprefix("Values.") if name.startswith("Values.") else None
    return f"{scope}.{name}" if scope else None


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value and path not in FREE_FORM:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path


def properties(path: str) -> dict[str, Any] | None:
    schema: dict[str, Any] | None = SCHEMA
    for part in path.split("."):
        schema = schema.get("properties", {}).get(part) if schema else None
    return schema


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_value_that_a_template_uses_exists(path: Path) -> None:
    for reference in references(path.read_text()):
        value: Any = VALUES
        for part in reference.split("."):
            assert isinstance(value, dict) and part in value, reference
            value = value[part]
        assert properties(reference) is not None, f"{reference} is not in values.schema.json"


def test_every_value_is_used() -> None:
    used = {reference for path in TEMPLATES for reference in references(path.read_text(), openings=False)}
    for leaf in leaves(VALUES):
        parts = leaf.split(".")
        assert any(".".join(parts[:end]) in used for end in range(1, len(parts) + 1)), leaf


def test_the_check_of_references_sees_relative_and_wrong_ones() -> None:
    text = "{{- with .Values.triton }}{{ .replcas }}{{ $.Values.nmae }}{{- if .image.tag }}{{ end }}{{ end }}"
    text += "{{ .Values.b }}"
    assert list(references(text)) == ["triton", "triton.replcas", "nmae", "triton.image.tag", "b"]
    assert list(references("{{ with .Values.a }}{{ .b }}{{ toYaml . }}{{ end }}", openings=False)) == [
        "a.b",
        "a",
    ]
    with pytest.raises(AssertionError, match="without its end"):
        list(references("{{ if .Values.a }}"))


def test_the_schema_describes_every_value_and_takes_the_defaults() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)
    for leaf in leaves(VALUES):
        assert properties(leaf) is not None, leaf
    assert set(SCHEMA["properties"]) - set(VALUES) == {"global"}


@pytest.mark.parametrize("path", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_takes_the_values_of_the_cases(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 3},
        {"triton": {"gpus": 2}},
        {"models": {"source": "git"}},
        {"config": {"host": "127.0.0.1"}},
        {"config": {"api_keys": "/keys"}},
        {"apiKeys": {"values": ["two words"]}},
        {"triton": {"externalUrl": "http://triton:8001"}},
        {"autoscaling": {"mode": "cpu"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"topologySpreadConstraints": [{"maxSkew": 1}]},
        {"extraEnv": [{"name": "OMP_NUM_THREADS", "value": 4}]},
        {"triton": {"extraEnv": [{"value": "4"}]}},
        {"imagePullSecrets": [{"secret": "registry"}]},
        {"nameOverride": "Nestvec_A"},
        {"image": {"tag": "sha256:abc"}},
    ],
    ids=str,
)
def test_the_schema_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


def test_versions_are_those_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert VALUES["triton"]["image"]["tag"] == f"{RELEASE}-py3"
