"""Static encoders: as sentence-transformers runs them, or in numpy from the files, read anew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentence_transformers
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.probes.text_probes import text_probe_sets, without_truncated
from nestvec_exporters.verify.library_model import filled_prompts
from nestvec_exporters.verify.prompted import encode_by_prompt, prompt_arguments
from nestvec_exporters.verify.reference import Reference
from nestvec_schemas.preprocessing.collate import Array


class StaticReference(Reference):
    """``SentenceTransformer.encode`` of a StaticEmbedding, which truncates nothing."""

    library = f"sentence-transformers {sentence_transformers.__version__} (StaticEmbedding)"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.model = SentenceTransformer(
            str(checkpoint.folder), device="cpu", trust_remote_code=False, local_files_only=True
        )
        self.model.float().eval()
        self.model.truncate_dim = None
        self.prompts = filled_prompts(self.model.prompts)

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Texts of all kinds that the service does not truncate either."""
        sets = text_probe_sets(self.prompts, max_tokens, self._count, full=full)
        return without_truncated(sets, max_tokens, self._count)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors, (dim,) each, by the library's own prompts."""

        def vectors(texts: list[Any], name: str | None) -> Array:
            encode: Any = self.model.encode
            prompted = prompt_arguments(name, self.prompts, prompts)
            rows: Array = encode(texts, batch_size=batch, show_progress_bar=False, **prompted)
            return rows

        return encode_by_prompt(probes, vectors)

    def _count(self, text: str) -> int:
        tokenizer: Any = self.model.tokenizer
        return len(tokenizer.encode(text, add_special_tokens=False).ids)


class TableReference(Reference):
    """The mean of the rows of a text's tokens, as Model2Vec and WordLlama compute it.

    Model2Vec leaves unknown tokens out, weights the others and maps them to rows.
    """

    def __init__(self, name: str, table: Path, tokenizer: Path, config: Mapping[str, Any]) -> None:
        self.library = f"numpy {np.__version__} ({name}: {table.name} and {tokenizer.name} read anew)"
        tensors = load_file(table)
        self.rows = next(tensors[key] for key in ("embeddings", "embedding.weight") if key in tensors)
        self.weights, self.mapping = tensors.get("weights"), tensors.get("mapping")
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.unknown = _unknown(tokenizer) if name == "Model2Vec" else None
        self.unit = bool(config.get("normalize"))

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Texts of all kinds that neither truncates."""
        return without_truncated(
            text_probe_sets({}, max_tokens, self._count, full=full), max_tokens, self._count
        )

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors, (dim,) each."""

        def vectors(texts: list[Any], name: str | None) -> list[Array]:
            return [self._mean(f"{prompts.get(name or '', '')}{text}") for text in texts]

        return encode_by_prompt(probes, vectors)

    def _mean(self, text: str) -> Array:
        ids = [token for token in self._ids(text) if token != self.unknown]
        total = np.zeros(self.rows.shape[1], np.float64)
        for token in ids:
            row = self.rows[token if self.mapping is None else int(self.mapping[token])].astype(np.float64)
            total += row * (1.0 if self.weights is None else float(self.weights[token]))
        mean = total / max(1, len(ids))
        length = float(np.linalg.norm(mean))
        return np.asarray(mean / length if self.unit and length else mean, np.float32)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _count(self, text: str) -> int:
        return len(self._ids(text))


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The reference of the text tower; word vectors have none, since no library says how words are split."""
    folder, files = checkpoint.folder, CheckpointFiles(checkpoint.folder)
    if folder.is_file():
        return {}
    if files.model_type == "model2vec":
        table, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
        return {"text": TableReference("Model2Vec", table, tokenizer, files.config)}
    if files.modules:
        return {"text": StaticReference(checkpoint)}
    tables = {path: int(path.stem.rpartition("_")[2]) for path in folder.glob("weights/*_*.safetensors")}
    if not tables:
        return {}
    table = max(tables, key=lambda path: tables[path])
    tokenizer = folder / "tokenizers" / f"{table.stem.rpartition('_')[0]}_tokenizer_config.json"
    return {"text": TableReference("WordLlama", table, tokenizer, {})}


def _unknown(path: Path) -> int | None:
    """The id of the token for unknown words in a tokenizer.json."""
    model = json.loads(path.read_text("utf-8"))["model"]
    if model.get("unk_token") is None:
        unigram: int | None = model.get("unk_id")
        return unigram
    return next((int(number) for word, number in model["vocab"].items() if word == model["unk_token"]), None)
