"""Every prompt of a checkpoint by name, against sentence-transformers: dense, static, sparse, late, ready."""

from __future__ import annotations

import shutil
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import transformers
from integration_tests.fixtures.services import Serve
from pymilvus import DataType, MilvusClient
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.models import Normalize, Pooling, StaticEmbedding, Transformer
from sentence_transformers.sparse_encoder.models import MLMTransformer, SpladePooling
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

import nestvec
from nestvec.dbapi import connect
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_schemas.errors import StoreRefused
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.vectors import Vectors, cosines

TEXTS = [*sample_texts(12), "x", "ask: told in a text that starts like a prompt"]
PROMPTS = {
    "search_query": "ask: ",
    "passage": "told: ",
    "Clustering": "group these by subject: ",
    "STS": "alike? ",
    "plain": "",
}
DEFAULT = "STS"
KINDS = ("dense", "omitted", "static", "dense-ready", "omitted-ready")


def _tokenizer() -> Any:
    characters = sorted(set(string.printable) - set(string.whitespace) - set(string.ascii_uppercase))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{word}" for word in characters)]
    vocab = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=1000))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **special)


def _bert(folder: Path, kind: str = "BertModel") -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(
        vocab_size=200, max_position_embeddings=128, initializer_range=0.3, pad_token_id=0, **sizes
    )
    getattr(transformers, kind)(config).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def _saved(model: Any, folder: Path) -> Path:
    model.save(str(folder), create_model_card=False)
    return folder


def _sentence(modules: Sequence[Any], folder: Path) -> Path:
    model = SentenceTransformer(
        modules=list(modules), prompts=PROMPTS, default_prompt_name=DEFAULT, device="cpu"
    )
    return _saved(model, folder)


class _TokenVectors(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def _ready(weights: Path, folder: Path) -> Path:
    """The same checkpoint with a graph in place of its weights."""
    shutil.copytree(weights, folder)
    model = transformers.AutoModel.from_pretrained(weights, attn_implementation="eager").eval()
    names = ("input_ids", "attention_mask")
    ids = torch.ones((2, 5), dtype=torch.int64)
    (folder / "onnx").mkdir()
    with quiet(), torch.no_grad():
        torch.onnx.export(
            _TokenVectors(model),
            (ids, ids),
            str(folder / "onnx" / "model.onnx"),
            dynamo=False,
            opset_version=17,
            input_names=list(names),
            output_names=["last_hidden_state"],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in (*names, "last_hidden_state")},
        )
    (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of each kind with the same prompts and default."""
    root = tmp_path_factory.mktemp("checkpoints")
    bert = _bert(root / "bert")
    masked = _bert(root / "masked", "BertForMaskedLM")
    sparse = SparseEncoder(
        modules=[MLMTransformer(str(masked)), SpladePooling()],
        prompts=PROMPTS,
        default_prompt_name=DEFAULT,
        device="cpu",
    )
    late = MultiVectorEncoder(
        str(bert), prompts={**PROMPTS, "query": "ask: ", "document": "told: "}, device="cpu"
    )
    dense = _sentence([Transformer(str(bert)), Pooling(32)], root / "dense")
    hiding = [Transformer(str(bert)), Pooling(32, include_prompt=False)]
    omitted = _sentence(hiding, root / "omitted")
    static = [StaticEmbedding(_tokenizer().backend_tokenizer, embedding_dim=24), Normalize()]
    return {
        "dense": dense,
        "omitted": omitted,
        "static": _sentence(static, root / "static"),
        "dense-ready": _ready(dense, root / "dense-ready"),
        "omitted-ready": _ready(omitted, root / "omitted-ready"),
        "sparse": _saved(sparse, root / "sparse"),
        "late": _saved(late, root / "late"),
    }


@pytest.fixture(scope="module")
def repository(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "models"
    for name, checkpoint in checkpoints.items():
        export(ExportOptions(str(checkpoint), folder, name, verify="quick"))
    return folder


@pytest.fixture(scope="module")
def service(repository: Path, serve: Serve) -> str:
    return serve(repository)


def _post(service: str, path: str, **body: object) -> Any:
    answer = httpx.post(f"{service}{path}", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _embedded(service: str, encoder: str, query: str = "", **body: object) -> Vectors:
    return np.array(_post(service, f"/embed?encoder={encoder}{query}", inputs=TEXTS, **body), np.float32)


def _library(checkpoint: Path) -> Callable[..., Vectors]:
    model = SentenceTransformer(str(checkpoint), device="cpu")
    return lambda **prompt: np.asarray(model.encode(TEXTS, batch_size=1, **prompt), np.float32)


def _weights_of(kind: str, checkpoints: dict[str, Path]) -> Path:
    return checkpoints[kind.removesuffix("-ready")]


@pytest.mark.parametrize("kind", KINDS)
def test_each_prompt_gives_the_librarys_vectors(
    kind: str, service: str, checkpoints: dict[str, Path], repository: Path
) -> None:
    encode = _library(_weights_of(kind, checkpoints))
    assert set(read_manifest(repository / kind).prompts) == {*PROMPTS, "query", "document"}
    vectors = {}
    for name in PROMPTS:
        vectors[name] = _embedded(service, kind, prompt_name=name)
        assert cosines(vectors[name], encode(prompt_name=name)).min() > 0.9999, name
        np.testing.assert_array_equal(_embedded(service, kind, f"&prompt={name}"), vectors[name])
    assert cosines(vectors["Clustering"], vectors["STS"]).min() < 0.999
    np.testing.assert_array_equal(_embedded(service, kind, prompt_name="query"), vectors["search_query"])
    np.testing.assert_array_equal(_embedded(service, kind, prompt_name="document"), vectors["passage"])


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_name_the_default_prompt_applies_once(
    kind: str, service: str, checkpoints: dict[str, Path]
) -> None:
    encode = _library(_weights_of(kind, checkpoints))
    unnamed = _embedded(service, kind)
    # The last text starts with a prompt: as if Milvus had put it there, it gets no other.
    assert cosines(unnamed[:-1], encode()[:-1]).min() > 0.9999
    assert cosines(unnamed, encode(prompt="")).min() < 0.999
    assert cosines(_embedded(service, kind, prompt_name="")[:-1], encode(prompt="")[:-1]).min() > 0.9999
    answer = _post(service, "/v1/embeddings", model=kind, input=TEXTS)
    np.testing.assert_array_equal(np.float32([row["embedding"] for row in answer["data"]]), unnamed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_that_milvus_has_put_before_the_text_is_that_prompt(
    kind: str, service: str, checkpoints: dict[str, Path]
) -> None:
    """Milvus's tei provider sends prompt and text as one string, and no name."""
    for name, prompt in PROMPTS.items():
        if not prompt:  # the last text would be taken for one with a prompt
            continue
        texts = [f"{prompt}{text}" for text in TEXTS]
        sent = _post(service, f"/embed?encoder={kind}&prompt=", inputs=texts)
        expected = _embedded(service, kind, prompt_name=name)
        assert cosines(np.array(sent, np.float32), expected).min() > 0.9999, name


def test_sparse_weights_with_each_prompt(service: str, checkpoints: dict[str, Path]) -> None:
    model = SparseEncoder(str(checkpoints["sparse"]), device="cpu")
    for body, prompt in (*(({"prompt_name": name}, {"prompt_name": name}) for name in PROMPTS), ({}, {})):
        expected = model.encode(TEXTS[:-1], batch_size=1, convert_to_sparse_tensor=False, **prompt).numpy()
        rows = _post(service, "/embed_sparse?encoder=sparse", inputs=TEXTS[:-1], **body)
        weights = np.zeros_like(expected)
        for number, row in enumerate(rows):
            weights[number, [entry["index"] for entry in row]] = [entry["value"] for entry in row]
        assert cosines(weights, expected).min() > 0.9999, body


def test_token_vectors_with_each_prompt(service: str, checkpoints: dict[str, Path]) -> None:
    model = MultiVectorEncoder(str(checkpoints["late"]), device="cpu")
    library = {"query": model.encode_query, "document": model.encode_document}
    for name in ("query", "document", "Clustering", "STS"):
        rows = _post(service, "/embed_all?encoder=late", inputs=TEXTS[:4], prompt_name=name)
        if name in library:
            expected = library[name](TEXTS[:4], batch_size=1, convert_to_numpy=True)
        else:
            expected = model.encode(TEXTS[:4], prompt_name=name, batch_size=1, convert_to_numpy=True)
        for row, tokens in zip(rows, expected, strict=True):
            assert cosines(np.float32(row), np.asarray(tokens, np.float32)).min() > 0.9999, name


def test_info_lists_every_prompt(service: str) -> None:
    encoders = _post_info(service)
    for kind in (*KINDS, "sparse"):
        assert encoders[kind]["default_prompt"] == DEFAULT
        assert encoders[kind]["prompts"] == {**PROMPTS, "query": "ask: ", "document": "told: "}


def _post_info(service: str) -> Any:
    return httpx.get(f"{service}/info", trust_env=False).json()["encoders"]


def test_a_collection_whose_function_names_a_prompt(
    service: str, client: MilvusClient, checkpoints: dict[str, Path]
) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("body", DataType.VARCHAR, max_length=8192)
    config = nestvec.EmbeddingConfig("dense", prompt="Clustering")
    nestvec.add_embedding(schema, "body", encoder=config, dims=[32], service=service, client=client)
    client.create_collection("texts", schema=schema, index_params=nestvec.index_params(schema))
    client.insert("texts", [{"id": number, "body": text} for number, text in enumerate(TEXTS)])
    rows = client.query("texts", filter="id >= 0", output_fields=["id", "body_32_Clustering"])
    stored = [row["body_32_Clustering"] for row in sorted(rows, key=lambda row: row["id"])]
    expected = _library(checkpoints["dense"])(prompt_name="Clustering")
    assert cosines(np.array(stored, np.float32), expected).min() > 0.9999
    results = client.search("texts", data=TEXTS[3:6], anns_field="body_32_Clustering", limit=1)
    assert [hits[0]["id"] for hits in results] == [3, 4, 5]
    assert all(hits[0]["distance"] > 0.9999 for hits in results)
    different = nestvec.EmbeddingConfig("dense", prompt="Clustering", query_prompt="STS")
    with pytest.raises(StoreRefused, match="their prompts differ: Clustering and STS"):
        nestvec.add_embedding(schema, "body", encoder=different, dims=[32], service=service, client=client)


def test_prompts_in_sql(service: str, tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    with connect(str(tmp_path / "sql.db"), service=service) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "CREATE TABLE texts (id BIGINT PRIMARY KEY, body TEXT NOT NULL, v VECTOR(32) GENERATED ALWAYS AS "
            "(EMBED(body, 'dense', prompt => 'Clustering')) STORED, s SPARSEVEC GENERATED ALWAYS AS "
            "(EMBED(body, 'sparse', prompt => 'passage', query_prompt => 'STS')) STORED)"
        )
        cursor.executemany("INSERT INTO texts (id, body) VALUES ($1, $2)", list(enumerate(TEXTS)))
        cursor.execute("SELECT id, v FROM texts ORDER BY v <=> EMBED($1) LIMIT 1", [TEXTS[4]])
        ((number, vector),) = cursor.fetchall()
        encode = _library(checkpoints["dense"])
        assert number == 4
        assert cosines(np.float32([vector]), encode(prompt_name="Clustering")[[4]])[0] > 0.9999
        cursor.execute(
            "SELECT id, 1 - (v <=> EMBED($1, prompt => 'STS')) AS score FROM texts ORDER BY v <=> "
            "EMBED($1, prompt => 'STS') LIMIT 20",
            [TEXTS[4]],
        )
        scores = dict(cursor.fetchall())
        query = encode(prompt_name="STS")[[4]].repeat(len(TEXTS), axis=0)
        expected = cosines(encode(prompt_name="Clustering"), query)
        np.testing.assert_allclose([scores[number] for number in range(len(TEXTS))], expected, atol=1e-4)
        cursor.execute(
            "SELECT id, s <#> EMBED($1) AS score FROM texts ORDER BY s <#> EMBED($1) LIMIT 20", [TEXTS[2]]
        )
        sparse = SparseEncoder(str(checkpoints["sparse"]), device="cpu")
        wanted = [
            sparse.encode(TEXTS, prompt_name=name, batch_size=1, convert_to_sparse_tensor=False).numpy()
            for name in ("passage", "STS")
        ]
        scores = dict(cursor.fetchall())
        for number, score in scores.items():
            assert abs(score) == pytest.approx(float(wanted[0][number] @ wanted[1][2]), rel=1e-3)
