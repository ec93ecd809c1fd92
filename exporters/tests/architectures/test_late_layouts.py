"""Late interaction in sentence-transformers' own layout, against ``MultiVectorEncoder``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask
from torch import nn

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.graph.tower import SidedText
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.late_interaction import token_arrays
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH

Write = Callable[..., Path]

TOKENS = "token_embeddings"
TEXTS = ("heat", "flow of heat, in a plate.", "!?", "a " * 90, "Ünïcode (x); [MASK]")


def dense(
    into: int = 16, activation: nn.Module | None = None, *, residual: bool = False, of: int = 32
) -> Dense:
    torch.manual_seed(into)
    return Dense(
        of,
        into,
        bias=residual,
        activation_function=activation or nn.Identity(),
        module_input_name=TOKENS,
        use_residual=residual,
    )


def saved(
    backbone: Path,
    folder: Path,
    *head: nn.Module,
    skip: tuple[str, ...] = (".", ","),
    tasks: tuple[str, ...] = ("document",),
    prompts: dict[str, str] | None = None,
    **settings: Any,
) -> Path:
    mask = MultiVectorMask(list(skip), skiplist_tasks=list(tasks))
    modules = [Transformer(str(backbone), **settings), *(head or (dense(),)), mask, Normalize(TOKENS)]
    model = MultiVectorEncoder(modules=modules, device="cpu", prompts=prompts)
    model.save(str(folder), create_model_card=False)
    return folder


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "late", verify="quick", **options))


def check(folder: Path, models: Path, manifest: Manifest) -> None:
    """Each text as a query and as a document, by the exported graph and by the library."""
    from nestvec_exporters.probes.texts import text_rows

    model: Any = MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)
    tower = manifest.towers["text"]
    for role, encode in (("query", model.encode_query), ("document", model.encode_document)):
        texts = [f"{manifest.prompts.get(role, '')}{text}" for text in TEXTS]
        ids = text_rows(models / "late", texts, tower.max_tokens)
        rows = [token_arrays(row["input_ids"], tower.interaction, role) for row in ids]  # type: ignore[arg-type]
        outputs = compare.run_graph(models / "late" / GRAPH, rows)
        expected = encode(list(TEXTS), convert_to_numpy=True)
        assert [len(output) for output in outputs] == [len(vectors) for vectors in expected]
        cosines = (np.concatenate(outputs) * np.concatenate(expected)).sum(axis=1)
        assert cosines.min() > 0.9999


FIXED = {"strategy": "fixed", "length": 12}
MARKED = {"query": "[unused0]", "document": "[unused1]"}


@pytest.mark.parametrize(
    "settings",
    [
        {"query_expansion": FIXED, "document_length": 40, "prompts": MARKED},
        {"query_expansion": {**FIXED, "attend": True}, "prompts": {"query": "query: "}},
        {"query_expansion": {"strategy": "min", "length": 12, "token": "[unused1]"}, "query_length": 30},
        {"query_length": 9, "document_length": 21, "skip": (), "prompts": {"query": "q: ", "passage": "p: "}},
        {"query_expansion": FIXED, "tasks": ("query", "document")},
        {"skip": ()},
    ],
)
def test_queries_and_documents_are_the_librarys(bert: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = saved(bert, tmp_path / "late", **settings)
    manifest = exported(folder, tmp_path / "models")
    assert (manifest.kind, manifest.dim, manifest.normalised) == ("multivector", 16, True)
    assert manifest.verification.reference is not None
    assert manifest.verification.cosine_min > 0.9999
    check(folder, tmp_path / "models", manifest)


@pytest.mark.parametrize(
    "head",
    [
        [lambda: dense(activation=nn.Tanh())],
        [lambda: dense(32, residual=True)],
        [lambda: dense(24, residual=True), lambda: dense(8, nn.GELU(), of=24)],
        [lambda: dense(64), lambda: Normalize(TOKENS), lambda: dense(8, of=64)],
    ],
)
def test_any_projection(bert: Path, tmp_path: Path, head: list[Callable[[], nn.Module]]) -> None:
    folder = saved(bert, tmp_path / "late", *(make() for make in head), query_expansion=FIXED)
    manifest = exported(folder, tmp_path / "models")
    check(folder, tmp_path / "models", manifest)


def test_modernbert(write_checkpoint: Write, tmp_path: Path) -> None:
    backbone = write_checkpoint("ModernBert", local_attention=8, global_attn_every_n_layers=2)
    folder = saved(backbone, tmp_path / "late", query_expansion=FIXED, prompts=MARKED, document_length=50)
    manifest = exported(folder, tmp_path / "models")
    assert manifest.towers["text"].interaction is not None
    check(folder, tmp_path / "models", manifest)


def test_a_prompt_of_words_is_no_marker(bert: Path, tmp_path: Path) -> None:
    folder = saved(bert, tmp_path / "late", prompts={"query": "query: "}, query_expansion=FIXED)
    interaction = exported(folder, tmp_path / "models").towers["text"].interaction
    assert interaction is not None
    assert (interaction.query_marker, interaction.document_marker) == (None, None)


def pooled(bert: Path, folder: Path) -> Path:
    return saved(bert, folder, dense(), HierarchicalTokenPooling(2))


def of_sentences(bert: Path, folder: Path) -> Path:
    other = Dense(32, 16, module_input_name=TOKENS, module_output_name="sentence_embedding")
    return saved(bert, folder, dense(32), other)


def not_normalised(bert: Path, folder: Path) -> Path:
    modules = [Transformer(str(bert)), dense(), MultiVectorMask()]
    MultiVectorEncoder(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (pooled, "HierarchicalTokenPooling"),
        (of_sentences, "module_output_name"),
        (not_normalised, "does not normalise its token vectors"),
    ],
)
def test_what_is_not_read(
    bert: Path, tmp_path: Path, save: Callable[[Path, Path], Path], message: str
) -> None:
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(save(bert, tmp_path / "late"), tmp_path / "models")


def test_a_text_says_its_role_without_a_prompt() -> None:
    assert SidedText("heat", "query") != SidedText("heat", None)
