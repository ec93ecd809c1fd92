"""Language models as encoders and rerankers of 2026: exported, served, and queried in Milvus Lite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import transformers
from integration_tests.fixtures.services import Serve
from pymilvus import DataType, MilvusClient
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer
from tiny_tokenizers import bert_tokenizer

import nestvec
from nestvec.service.verification import open_served
from nestvec_exporters import ExportOptions, export
from nestvec_schemas.vectors import cosines

TOKENS = 128
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SHAPE = {"vocab_size": 300, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": TOKENS}
IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "initializer_range": 0.3}
QUERY = "heat flow in shock waves"
TEXTS = ["x", "shock waves in a long tube of air", "Bread is baked of flour, water and salt.", "heat " * 200]
TEMPLATE = """\
<|im_start|>system
Judge whether the Document answers the Query.<|im_end|>
<|im_start|>user
{%- for message in messages if message.role == "system" %} {{ message.content }}{% endfor %}
<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}
<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}<|im_end|>
<|im_start|>assistant
"""


def write_model(folder: Path, kind: str, head: str = "Model", **fields: Any) -> Path:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **SHAPE, **IDS, **fields})
    getattr(transformers, f"{kind}{head}")(config).save_pretrained(folder)
    bert_tokenizer(folder)
    return folder


def gemma(folder: Path) -> None:
    """EmbeddingGemma: attention to both sides in windows, two projections, a prompt for each task."""
    plain = write_model(
        folder / "plain",
        "Gemma3Text",
        num_hidden_layers=6,
        sliding_window=16,
        use_bidirectional_attention=True,
    )
    identity = torch.nn.Identity()
    modules = [
        Transformer(str(plain), max_seq_length=TOKENS),
        Pooling(32, pooling_mode="mean"),
        Dense(32, 96, bias=False, activation_function=identity),
        Dense(96, 32, bias=False, activation_function=identity),
        Normalize(),
    ]
    prompts = {
        "query": "task: search result | query: ",
        "document": "title: none | text: ",
        "Clustering": "task: clustering | query: ",
    }
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder / "gemma"))


def reranker(folder: Path) -> None:
    """Qwen3-Reranker: a language model that answers yes or no to a chat template."""
    plain = write_model(folder / "language", "Qwen3", "ForCausalLM")
    read = {"method": "forward", "method_output_name": "logits"}
    transformer = Transformer(
        str(plain),
        transformer_task="text-generation",
        modality_config={"text": read, "message": {**read, "format": "flat"}},
        module_output_name="causal_logits",
        max_seq_length=TOKENS,
    )
    transformer.tokenizer.chat_template = TEMPLATE
    CrossEncoder(
        modules=[transformer, LogitScore(20, 21)],
        prompts={"web": "Find passages."},
        default_prompt_name="web",
        device="cpu",
    ).save(str(folder / "reranker"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language-models")
    gemma(folder)
    reranker(folder)
    return folder


@pytest.fixture(scope="module")
def service(checkpoints: Path, serve: Serve) -> str:
    models = checkpoints / "models"
    for name in ("gemma", "reranker"):
        manifest = export(
            ExportOptions(str(checkpoints / name), models, name, verify="quick"), open_served=open_served
        )
        assert manifest.verification.served
        assert manifest.verification.cosine_min > 0.9999
    return serve(models)


def post(service: str, path: str, **body: object) -> Any:
    answer = httpx.post(f"{service}{path}", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("name", ["query", "document", "Clustering", None])
def test_served_vectors_are_the_librarys(name: str | None, service: str, checkpoints: Path) -> None:
    own = SentenceTransformer(str(checkpoints / "gemma"), device="cpu")
    expected = own.encode(TEXTS, prompt_name=name) if name else own.encode(TEXTS)
    more = {"prompt_name": name} if name else {}
    served = post(service, "/embed?encoder=gemma", inputs=TEXTS, truncate=True, **more)
    assert cosines(np.asarray(served, np.float32), expected).min() > 0.9999


def test_served_scores_are_the_librarys(service: str, checkpoints: Path) -> None:
    own = CrossEncoder(str(checkpoints / "reranker"), device="cpu")
    expected = own.predict([(QUERY, text) for text in TEXTS])
    answer = post(service, "/rerank?encoder=reranker", query=QUERY, texts=TEXTS, truncate=True)
    served = {result["index"]: result["score"] for result in answer}
    assert [served[at] for at in range(len(TEXTS))] == pytest.approx(expected.tolist(), abs=1e-4)


def test_milvus_lite_finds_what_the_library_finds(service: str, checkpoints: Path, tmp_path: Path) -> None:
    client = MilvusClient(str(tmp_path / "gemma.db"))
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("doc", DataType.VARCHAR, max_length=2000)
    nestvec.add_embedding(schema, "doc", encoder="gemma", dims=(32,), service=service, client=client)
    index = client.prepare_index_params()
    index.add_index("doc_32", index_type="FLAT", metric_type="COSINE")
    client.create_collection("docs", schema=schema, index_params=index)
    client.insert("docs", [{"id": at, "doc": text} for at, text in enumerate(TEXTS[:3])])
    client.load_collection("docs")
    (hits,) = client.search("docs", data=[QUERY], anns_field="doc_32", limit=3)
    own = SentenceTransformer(str(checkpoints / "gemma"), device="cpu")
    scores = own.encode_document(TEXTS[:3]) @ own.encode_query(QUERY)
    assert [hit["id"] for hit in hits] == np.argsort(-scores).tolist()
    client.close()
