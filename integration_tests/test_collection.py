"""``nestvec collection`` on a real Milvus Lite, with the real encoder behind a service it starts itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from integration_tests.fixtures.services import vacant_address

from nestvec.cli import cli
from nestvec.collections import lifecycle
from nestvec.milvus.connection import open_milvus
from nestvec.milvus.lite import count_rows
from nestvec.service.in_process import serve_in_process
from nestvec_schemas.errors import CollectionExists, CollectionNotFound, DimNotOffered, EncoderNotFound
from nestvec_schemas.spec.collection_spec import CollectionSpec
from nestvec_schemas.spec.yaml_file import parse_spec

SPEC = """
collection: papers
service: {service}
fields:
  id:       {{type: VARCHAR, max_length: 36, primary: true}}
  abstract: {{type: VARCHAR, max_length: 8192}}
  year:     {{type: INT32, nullable: true, default: 2000}}
  tenant:   {{type: VARCHAR, max_length: 64, partition_key: true}}
embeddings:
  - {{field: abstract, encoder: minilm, dims: [64]}}
  - {{field: abstract, encoder: minilm, dims: [384], index: HNSW, metric: IP, params: {{M: 16}}}}
"""


@pytest.fixture
def service() -> str:
    return vacant_address()


@pytest.fixture
def spec(service: str) -> CollectionSpec:
    return parse_spec(SPEC.format(service=service), path="spec")


MADE_BY = (
    "fingerprint",
    "precision",
    "recorded",
    "service_fingerprint",
    "service_precision",
    "comparison",
    "guarded",
)
"""What is shown of the encoder of each embedding."""


def nestvec(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)


def test_create_show_list_drop(tmp_path: Path, models: Path, service: str) -> None:
    path, uri = tmp_path / "papers.yaml", tmp_path / "a.db"
    path.write_text(SPEC.format(service=service))
    made = nestvec("collection", "create", path, "--uri", uri, "--models", models)
    assert made.stdout == "Created papers: abstract_64, abstract_384.\n"
    assert service in made.stderr
    with pytest.raises(CollectionExists, match="papers"):
        nestvec("collection", "create", path, "--uri", uri, "--models", models)
    shown = json.loads(nestvec("collection", "show", "papers", "--uri", uri, "--json").stdout)
    assert shown["rows"] == 0
    assert {one["name"]: one["key"] for one in shown["columns"] if one["key"]} == {
        "id": "primary",
        "tenant": "partition",
    }
    made_by = [{key: entry.pop(key) for key in MADE_BY} for entry in shown["embeddings"]]
    assert [(entry["precision"], entry["comparison"]) for entry in made_by] == [("fp32", "no answer")] * 2
    assert all(entry["fingerprint"] and entry["recorded"] and entry["guarded"] for entry in made_by)
    assert shown["embeddings"] == [
        {
            "column": f"abstract_{dim}",
            "source": "abstract",
            "encoder": "minilm",
            "dim": dim,
            "exit": None,
            "expert": None,
            "form": "float",
            "top": None,
            "prompt": None,
            "query_prompt": None,
            "service": service,
            "index": index,
            "metric": metric,
            "bytes_per_row": 4 * dim,
        }
        for dim, index, metric in ((64, "AUTOINDEX", "COSINE"), (384, "HNSW", "IP"))
    ]
    table = nestvec("collection", "show", "papers", "--uri", uri).stdout
    assert "papers (0 rows)" in table
    assert "FLOAT_VECTOR(384)" in table
    assert nestvec("collection", "list", "--uri", uri).stdout == "papers\n"
    with pytest.raises(CollectionNotFound, match="Did you mean 'papers'"):
        nestvec("collection", "drop", "paper", "--uri", uri, "--yes")
    assert nestvec("collection", "drop", "papers", "--uri", uri, "--yes").stdout == "Dropped papers.\n"
    assert json.loads(nestvec("collection", "list", "--uri", uri, "--json").stdout) == []


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("[64]", "[65]", DimNotOffered, "65"),
        ("minilm, dims: [384]", "minilmm, dims: [384]", EncoderNotFound, "Did you mean 'minilm'"),
    ],
)
def test_what_the_service_does_not_offer_leaves_nothing_behind(
    tmp_path: Path, models: Path, service: str, old: str, new: str, error: type[Exception], said: str
) -> None:
    spec = parse_spec(SPEC.format(service=service).replace(old, new), path="spec")
    with open_milvus(str(tmp_path / "a.db")) as client, serve_in_process(spec.services, models):
        with pytest.raises(error, match=said):
            lifecycle.create_collection(client, spec)
        assert lifecycle.collection_names(client) == ()


def test_what_is_created_embeds_what_is_written(tmp_path: Path, models: Path, spec: CollectionSpec) -> None:
    with open_milvus(str(tmp_path / "a.db")) as client, serve_in_process(spec.services, models):
        table = lifecycle.create_collection(client, spec)
        rows = [
            {"id": str(n), "abstract": text, "tenant": "x"} for n, text in enumerate(("heat flow", "cats"))
        ]
        client.upsert(table.name, rows)
        assert count_rows(client, table.name) == 2
        for column in ("abstract_64", "abstract_384"):
            found = client.search(
                table.name, data=["warmth"], anns_field=column, limit=1, output_fields=["year"]
            )
            assert (found[0][0]["id"], found[0][0]["entity"]["year"]) == ("0", 2000)
