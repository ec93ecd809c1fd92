"""Asymmetric encoders, against ``encode_query`` and ``encode_document``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding
from tokenizers import Tokenizer
from torch import nn

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.layouts.router_layout import read_router_layout
from nestvec_exporters.options import Overrides
from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH, TOKENIZER, part_folder
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import cosines

TEXTS = ("heat", "flow of heat, in a plate.", "!?", "a " * 90, "Ünïcode (x); [SEP]")
QUERY_PROMPT = "Represent this: "


def dense(of: int = 32, into: int = 32) -> Dense:
    torch.manual_seed(into)
    return Dense(of, into, activation_function=nn.Identity())


def small(bert: Path) -> list[Any]:
    """A query tower: another length, pooling and head than the documents'."""
    return [Transformer(str(bert), max_seq_length=24), Pooling(32, "mean"), dense(), Normalize()]


def large(deep: Path) -> list[Any]:
    return [Transformer(str(deep), max_seq_length=48), Pooling(32, "cls"), Normalize()]


def static(bert: Path, *head: nn.Module) -> list[Any]:
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    torch.manual_seed(4)
    return [StaticEmbedding(tokenizer, embedding_weights=torch.randn(tokenizer.get_vocab_size(), 32)), *head]


def saved(folder: Path, queries: list[Any], documents: list[Any], *tail: nn.Module, **settings: Any) -> Path:
    router = Router.for_query_document(query_modules=queries, document_modules=documents)
    model = SentenceTransformer(modules=[router, *tail], device="cpu", **settings)
    model.save(str(folder), create_model_card=False)
    return folder


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "asym", verify="quick", **options))


def check(folder: Path, models: Path, manifest: Manifest) -> None:
    """Each route's graph, with its own tokenizer and length, and the library's route."""
    model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    for part, role, encode in (
        ("query", "query", model.encode_query),
        ("", "document", model.encode_document),
    ):
        own = part_folder(models / "asym", part)
        texts = [f"{manifest.prompts.get(role, '')}{text}" for text in TEXTS]
        rows = text_rows(own, texts, manifest.tower_of_part(part).max_tokens)
        outputs = np.stack(compare.run_graph(own / GRAPH, rows))
        assert cosines(np.asarray(encode(list(TEXTS))), outputs).min() > 0.9999


def test_queries_are_an_expert_with_a_length_and_a_tokenizer(bert: Path, deep: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "asym", small(bert), large(deep), prompts={"query": QUERY_PROMPT})
    manifest = exported(folder, tmp_path / "models")
    assert (manifest.kind, manifest.dim, manifest.normalised) == ("dense", 32, True)
    assert manifest.query_expert == "query"
    assert (manifest.main_tower.max_tokens, manifest.tower_of_part("query").max_tokens) == (48, 24)
    assert f"@query/{TOKENIZER}" in manifest.files
    assert manifest.verification.reference is not None
    assert "Router" in manifest.verification.reference
    check(folder, tmp_path / "models", manifest)


@pytest.mark.parametrize("tail", [(), (lambda: dense(32, 16), Normalize)])
def test_a_static_query_tower_beside_a_transformer(
    bert: Path, deep: Path, tmp_path: Path, tail: tuple[Callable[[], nn.Module], ...]
) -> None:
    ends = (make() for make in tail)
    folder = saved(tmp_path / "asym", static(bert, Normalize()), large(deep), *ends)
    check(folder, tmp_path / "models", exported(folder, tmp_path / "models"))


def test_two_static_towers(bert: Path, tmp_path: Path) -> None:
    folder = saved(
        tmp_path / "asym", static(bert, dense()), static(bert, dense(32, 32), Normalize(), dense())
    )
    check(folder, tmp_path / "models", exported(folder, tmp_path / "models"))


def test_a_rotation_turns_both_towers(bert: Path, deep: Path, tmp_path: Path, texts: tuple[str, ...]) -> None:
    folder = saved(tmp_path / "asym", small(bert), large(deep))
    manifest = exported(folder, tmp_path / "models", rotation="pca", sample=Sample("words", texts))
    model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    scores = []
    for part, encode in (("query", model.encode_query), ("", model.encode_document)):
        own = part_folder(tmp_path / "models" / "asym", part)
        rows = text_rows(own, TEXTS, manifest.tower_of_part(part).max_tokens)
        scores.append((np.stack(compare.run_graph(own / GRAPH, rows)), np.asarray(encode(list(TEXTS)))))
    (queries, own_queries), (documents, own_documents) = scores
    np.testing.assert_allclose(queries @ documents.T, own_queries @ own_documents.T, atol=1e-4)


def other_widths(folder: Path, bert: Path, deep: Path) -> Path:
    return saved(folder, [*small(bert)[:2], dense(32, 16)], [*large(deep)[:2], dense(32, 16), Normalize()])


def renamed(folder: Path, bert: Path, deep: Path) -> Path:
    router = Router({"query": small(bert), "passage": large(deep)}, default_route="passage")
    SentenceTransformer(modules=[router], device="cpu").save(str(folder), create_model_card=False)
    return folder


def nested(folder: Path, bert: Path, deep: Path) -> Path:
    saved(folder, small(bert), large(deep))
    path = folder / "router_config.json"
    config = json.loads(path.read_text())
    place = config["structure"]["query"][-1]
    config["types"][place] = "sentence_transformers.models.Router"
    path.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (other_widths, "vectors of one kind: queries 16 dims, not normalised; documents 16 dims, normalised"),
        (renamed, "other routes than of queries and documents: query, passage"),
    ],
)
def test_what_is_refused(
    bert: Path, deep: Path, tmp_path: Path, save: Callable[[Path, Path, Path], Path], message: str
) -> None:
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(save(tmp_path / "asym", bert, deep), tmp_path / "models")


def test_a_router_inside_a_route_is_refused(bert: Path, deep: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match="of its route query that cannot be exported: Router"):
        read_router_layout(nested(tmp_path / "asym", bert, deep))


def test_options_of_one_route_are_refused(bert: Path, deep: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path / "asym", small(bert), large(deep))
    with pytest.raises(CheckpointUnsupported, match=r"weights of their own.*--pooling"):
        exported(folder, tmp_path / "models", overrides=Overrides(pooling="cls"))
