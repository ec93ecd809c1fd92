"""A field's registration names the encoder that it was made with, through every provider of Milvus: an
encoder of the same name with other weights is refused, and no vector of it is stored or searched with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from integration_tests.fixtures.milvus_go import GoError, GoMilvus, Transport
from integration_tests.fixtures.services import vacant_address
from integration_tests.fixtures.tiny_checkpoints import write_tiny
from pymilvus import DataType, MilvusClient, MilvusException

import nestvec
from nestvec.milvus.catalog import read_table
from nestvec.milvus.registration import EmbeddingOptions
from nestvec.service.operation.declared_options import DeclaredOptions
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.options import Overrides
from nestvec_schemas.embedding_config import EmbeddingConfig

TEXTS = ["The flow of heat behind a shock wave.", "Bread rises."]

REFUSED = (
    r"tiny(:2)? is another encoder than the one that the field was created with.*"
    r"fingerprint \w{16} \(exported [-\dT:]+Z\), not"
)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two repositories with an encoder ``tiny``, of one architecture and other weights; the second has the
    first's encoder as well, and calls its own ``tiny:2``."""
    work = tmp_path_factory.mktemp("versions")
    for seed, repository, name in ((0, "old", "tiny"), (1, "new", "tiny"), (1, "old", "tiny:2")):
        checkpoint = work / f"checkpoint{seed}"
        if not checkpoint.exists():
            write_tiny("decoder", checkpoint, seed)
        overrides = Overrides(pooling="lasttoken")
        export(ExportOptions(str(checkpoint), work / repository, name, verify="quick", overrides=overrides))
    return work / "old", work / "new"


@contextmanager
def serving(models: Path, address: str, alias: str = "tiny") -> Iterator[None]:
    embedder = open_embedder(
        models, (), ServiceSettings(), declared=lambda: DeclaredOptions({"current": alias})
    )
    with serve_in_thread(embedder, bind("127.0.0.1", int(address.rpartition(":")[2]))):
        yield


def create(client: Any, service: str, encoder: str, form: str = "float", provider: Any = None) -> None:
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("body", DataType.VARCHAR, max_length=512)
    config = EmbeddingConfig(encoder, form=form)  # type: ignore[arg-type]
    options = EmbeddingOptions(name="vector", provider=provider, key=nestvec.ServiceKey("key", "nestvec"))
    nestvec.add_embedding(
        schema, "body", encoder=config, dims=[32], service=service, client=client, options=options
    )
    index = {} if isinstance(client, GoMilvus) else {"index_params": nestvec.index_params(schema)}
    client.create_collection("papers", schema=schema, **index)


def rows(start: int = 0) -> list[dict[str, Any]]:
    return [{"id": start + place, "body": text} for place, text in enumerate(TEXTS)]


def search(client: MilvusClient) -> list[Any]:
    (hits,) = client.search("papers", data=[TEXTS[0]], anns_field="vector", limit=2)
    return [hit["id"] for hit in hits]


@pytest.mark.parametrize("encoder", ["tiny", "current"])
def test_milvus_lite_is_refused_by_an_encoder_of_other_weights(
    client: MilvusClient, versions: tuple[Path, Path], encoder: str
) -> None:
    old, new = versions
    address = vacant_address()
    with serving(old, address):
        create(client, address, encoder)
        client.insert("papers", rows())
        assert search(client) == [0, 1]
        embedding = read_table(client, "papers").embedding("vector")
        assert embedding is not None
        assert (embedding.config.encoder, embedding.encoder_name) == (encoder, encoder)
        assert embedding.config.fingerprint is not None
    # The name stands for other weights: in another repository, or because the alias was switched.
    models, alias = (new, "tiny") if encoder == "tiny" else (old, "tiny:2")
    with serving(models, address, alias):
        with pytest.raises(MilvusException, match=REFUSED):
            client.insert("papers", rows(2))
        with pytest.raises(MilvusException, match=REFUSED):
            search(client)
    with serving(old, address):
        client.insert("papers", rows(2))
        assert sorted(row["id"] for row in client.query("papers", filter="id >= 0")) == [0, 1, 2, 3]
        assert search(client)[0] in (0, 2)


@pytest.mark.parametrize(
    ("provider", "path"),
    [("cohere", "/v2/embed"), ("voyageai", "/v1/embeddings?output_dtype=int8"), ("tei", "")],
)
@pytest.mark.parametrize("version", ["v2.6.8", "v2.6.11", "v3.0.0"])
def test_milvus_is_refused_by_an_encoder_of_other_weights(
    versions: tuple[Path, Path], provider: str, path: str, version: str
) -> None:
    if (provider, version) == ("voyageai", "v2.6.8"):
        pytest.skip("the provider fills INT8_VECTOR from 2.6.10 on")
    address = vacant_address()
    transport = Transport(sleep=lambda seconds: None)
    milvus = GoMilvus(version, {provider: address + path}, {"nestvec": "key"}, transport)
    with serving(versions[0], address):
        create(milvus, address, "tiny", "float" if provider == "tei" else "int8", provider)
        milvus.insert("papers", rows())
        assert len(milvus.embed_queries("papers", "vector", [TEXTS[0]])[0]) == 32
    with serving(versions[1], address):
        with pytest.raises(GoError, match=f"404 Not Found.*{REFUSED}"):
            milvus.insert("papers", rows(2))
        with pytest.raises(GoError, match=f"404 Not Found.*{REFUSED}"):
            milvus.embed_queries("papers", "vector", [TEXTS[0]])
    assert len(milvus.rows["papers"]) == 2
