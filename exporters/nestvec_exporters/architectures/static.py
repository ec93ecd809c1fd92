"""Static encoders: a table of vectors and their mean, as one graph of gathers and a product."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_safetensors
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import read_json
from nestvec_exporters.checkpoints.prompts import folder_prompts
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import PROBE_COUNT, probe_texts
from nestvec_exporters.static.static_modules import STATIC, StaticModulesTower
from nestvec_exporters.static.table import NO_ROW, EmbeddingTable
from nestvec_exporters.static.table_folders import TABLE_MODULES
from nestvec_exporters.static.table_layouts import read_embedding_table
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.manifest import Precision
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

_PROBE_WORDS: Final = 12
"""Words in a probe that is made of the table's own tokens."""


class StaticTower(TextTower):
    """A table of vectors and how they become a text's."""

    in_precision = True

    def __init__(self, table: EmbeddingTable, max_tokens: int, precision: Precision) -> None:
        spec = Tower(inputs=INPUTS, output=OUTPUT, pooling=table.pooling, max_tokens=max_tokens)
        super().__init__(spec, table.tokenizer)
        self.table, self.precision = table, precision

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The table in the precision of the export, and its pooling."""
        pooling = SensePooling if self.table.has_senses else MeanPooling
        return pooling(self.table, self.precision).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """What the table's own library computes, (n, d) float32, in numpy."""
        table = self.table
        vectors = np.zeros((len(inputs), table.vectors.shape[1]), np.float32)
        for number, text in enumerate(inputs):
            ids = [token for token in table.reference_ids(text)[:max_tokens] if token != table.lookup.unknown]
            if not ids:
                continue
            token_vectors = _token_vectors(table, ids)
            if table.lookup.weights is not None:
                token_vectors = token_vectors * table.lookup.weights[ids][:, None]
            mean = token_vectors.mean(axis=0)
            vectors[number] = mean / max(float(np.linalg.norm(mean)), 1e-12) if table.normalised else mean
        return vectors

    def probes(self) -> Sequence[str]:
        """Real texts, where the table has words of them, and texts of its own tokens."""
        tokens = sorted(self.table.tokenizer.get_vocab())
        generator = random.Random(0)  # noqa: S311 - a sample, not a secret
        generated = [" ".join(generator.choices(tokens, k=_PROBE_WORDS)) for _ in range(PROBE_COUNT)]
        return [text for text in (*probe_texts(), *generated) if self._has_words(text)]

    def _has_words(self, text: str) -> bool:
        return any(token != self.table.lookup.unknown for token in self.table.reference_ids(text))


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Read the table. Raises CheckpointUnsupported, and EncoderError for a pooling that it does not have."""
    folder = checkpoint.folder
    modules = list(CheckpointFiles(folder).modules) if folder.is_dir() else []
    if (
        modules[:1] == [STATIC]
        and modules not in TABLE_MODULES
        and options.overrides.pooling in (None, "mean")
    ):
        return _load_modules(checkpoint, options)
    table = read_embedding_table(checkpoint.folder, options.overrides.pooling)
    tower = StaticTower(table, options.max_tokens or table.max_tokens, options.precision)
    return LoadedCheckpoint(
        kind="dense",
        dim=int(table.vectors.shape[1]),
        normalised=table.normalised,
        towers={"text": tower},
        prompts=folder_prompts(checkpoint.folder, options.overrides),
        trained=table.trained,
        dims=table.dims or None,
    )


def _load_modules(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """A table with modules behind it, as sentence-transformers loads them."""
    for row in read_json(checkpoint.folder / "modules.json"):
        if str(row["type"]).rpartition(".")[2] in (STATIC, "Dense", "LayerNorm"):
            check_safetensors(checkpoint.folder / str(row.get("path", "")))
    try:
        model = SentenceTransformer(
            str(checkpoint.folder), device="cpu", trust_remote_code=False, local_files_only=True
        )
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a static encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that sentence-transformers loads it on its own.",
        ) from error
    model.float().eval()
    tower = StaticModulesTower(model, options.max_tokens)
    return LoadedCheckpoint(
        kind="dense",
        dim=tower.dim,
        normalised=tower.normalised,
        towers={"text": tower},
        prompts=folder_prompts(checkpoint.folder, options.overrides),
    )


class TablePooling(nn.Module):
    """A table in the export's precision. In int8 each row has a scale: its largest number / 127."""

    table: Tensor
    counted: Tensor
    weights: Tensor

    def __init__(self, table: EmbeddingTable, precision: Precision) -> None:
        super().__init__()
        self.normalised = table.normalised
        stored, scales = _stored(table.vectors, precision)
        self.register_buffer("table", stored)
        self.scales = scales
        rows = (
            torch.arange(table.id_count) if table.lookup.rows is None else torch.from_numpy(table.lookup.rows)
        )
        self.rows = rows
        counted = torch.ones(table.id_count)
        if table.lookup.unknown is not None:
            counted[table.lookup.unknown] = 0
        weights = (
            counted if table.lookup.weights is None else counted * torch.from_numpy(table.lookup.weights)
        )
        self.register_buffer("counted", counted)
        self.register_buffer("weights", weights)

    def pooled(self, weights: Tensor, vectors: Tensor, counted: Tensor) -> Tensor:
        """Σ weight · vector / Σ counted: (n, t), (n, t, d), (n, t) to (n, d)."""
        total = (weights.unsqueeze(1) @ vectors).squeeze(1)
        mean = total / counted.sum(dim=1, keepdim=True).clamp(min=1)
        return nn.functional.normalize(mean, p=2.0, dim=1) if self.normalised else mean


class MeanPooling(TablePooling):
    """The mean over tokens, a row each: (n, t) int64 ids and mask to (n, d) float32."""

    def __init__(self, table: EmbeddingTable, precision: Precision) -> None:
        super().__init__(table, precision)
        self.mapped = table.lookup.rows is not None
        if self.scales is not None:
            # A row's scale is a factor like any weight: nothing of (n, t, d) is multiplied by it.
            self.weights = self.weights * self.scales[self.rows]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The vectors of a batch padded on the right."""
        mask = attention_mask.to(self.weights.dtype)
        rows = self.rows[input_ids] if self.mapped else input_ids
        counted = self.counted[input_ids] * mask
        return self.pooled(self.weights[input_ids] * mask, self.table[rows].float(), counted)


class SensePooling(TablePooling):
    """The mean over tokens, each in the sense that is nearest to the text's mean over all senses.

    Huang et al. 2012, "Improving Word Representations via Global Context and Multiple Word Prototypes";
    nearest by cosine, as Neelakantan et al. 2014 choose. Of two equally near, the first.
    """

    def __init__(self, table: EmbeddingTable, precision: Precision) -> None:
        super().__init__(table, precision)
        self.there = (self.rows != NO_ROW).float()
        self.rows = self.rows.clamp(min=0)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The vectors of a batch padded on the right."""
        mask = attention_mask.to(self.weights.dtype)
        counted = self.counted[input_ids] * mask
        rows, there = self.rows[input_ids], self.there[input_ids].unsqueeze(-1)
        senses = self.table[rows].float() * there
        if self.scales is not None:
            senses = senses * self.scales[rows].unsqueeze(-1)
        every = senses.sum(dim=2) / there.sum(dim=2)
        context = (counted.unsqueeze(1) @ every).squeeze(1)
        near = (nn.functional.normalize(senses, dim=-1) * context[:, None, None]).sum(dim=-1)
        best = (near - 1e30 * (1 - there.squeeze(-1))).argmax(dim=-1)
        chosen = (torch.arange(senses.shape[2]) == best.unsqueeze(-1)).to(senses.dtype)
        vectors = (senses * chosen.unsqueeze(-1)).sum(dim=2)
        return self.pooled(self.weights[input_ids] * mask, vectors, counted)


def _stored(vectors: np.ndarray, precision: Precision) -> tuple[Tensor, Tensor | None]:
    """The table as it is stored, and the rows' scales where it is in int8."""
    if precision == "int4-weights":
        raise EncoderError(
            "a table of vectors is stored in int8 at the least",
            value=precision,
            next_step="Export it with --precision int8.",
        )
    if not precision.startswith("int8"):
        kind = np.float16 if precision == "fp16" else np.float32
        return torch.from_numpy(np.ascontiguousarray(vectors, kind)), None
    largest = np.abs(vectors.astype(np.float32)).max(axis=1)
    scales = np.where(largest > 0, largest, 1).astype(np.float32) / 127
    return torch.from_numpy(np.rint(vectors / scales[:, None]).astype(np.int8)), torch.from_numpy(scales)


def _token_vectors(table: EmbeddingTable, ids: Sequence[int]) -> Vectors:
    """The vector of each id, of several senses the one that the text's mean is nearest to."""
    if table.lookup.rows is None:
        return table.vectors[list(ids)].astype(np.float32)
    if not table.has_senses:
        return table.vectors[table.lookup.rows[list(ids)]].astype(np.float32)
    senses = [table.vectors[[row for row in table.lookup.rows[token] if row != NO_ROW]] for token in ids]
    context = np.mean([own.mean(axis=0) for own in senses], axis=0)
    lengths = [np.maximum(np.linalg.norm(own, axis=1), 1e-12) for own in senses]
    return np.stack(
        [own[int(np.argmax(own @ context / length))] for own, length in zip(senses, lengths, strict=True)]
    )
