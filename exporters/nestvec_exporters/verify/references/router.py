"""Asymmetric encoders as sentence-transformers runs them: ``encode_query`` and ``encode_document``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sentence_transformers
from sentence_transformers import SentenceTransformer

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.probes.text_probes import text_probe_sets, without_truncated
from nestvec_exporters.verify.library_model import attention_heads
from nestvec_exporters.verify.prompted import encode_by_prompt, prompt_arguments
from nestvec_exporters.verify.reference import Reference
from nestvec_schemas.late_interaction import Role
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.prompt_roles import role_of
from nestvec_schemas.towers import QUERY_EXPERT


class RouteReference(Reference):
    """``SentenceTransformer.encode_document``, or ``encode_query``, of the whole checkpoint."""

    library = f"sentence-transformers {sentence_transformers.__version__} (SentenceTransformer, Router)"

    def __init__(self, model: SentenceTransformer, tower: TowerModel, role: Role) -> None:
        self.model, self.tower, self.role = model, tower, role
        router: Any = model[0]
        first = router.sub_modules[role][0]
        self.tokenizer = first.tokenizer
        transformer = getattr(first, "auto_model", None)
        if transformer is not None:
            first.max_seq_length = tower.spec.max_tokens
            self.heads = attention_heads(transformer)
        self.max_tokens = tower.spec.max_tokens
        # The prompts of the other side are the other route's.
        self.prompts = {
            name: text for name, text in model.prompts.items() if text and role_of(name) in (role, None)
        }

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Texts of all kinds; of a table, which the library never truncates, none that the service does."""
        sets = text_probe_sets(self.prompts, max_tokens, self._count, full=full)
        if self.heads:
            return sets
        return without_truncated(sets, max_tokens, self._count)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors of one route, by the library's own prompts, lengths and padding."""
        encode: Any = self.model.encode_query if self.role == "query" else self.model.encode_document

        def vectors(texts: list[Any], name: str | None) -> Any:
            arguments = prompt_arguments(name, self.prompts, prompts)
            return encode(texts, batch_size=batch, show_progress_bar=False, **arguments)

        return encode_by_prompt(probes, vectors)

    def _count(self, text: str) -> int:
        encoded = self.tokenizer.encode(text)
        return len(getattr(encoded, "ids", encoded))


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The references of documents and of queries: one model, loaded anew."""
    model = SentenceTransformer(
        str(checkpoint.folder), device="cpu", trust_remote_code=False, local_files_only=True
    )
    model.float().eval()
    model.truncate_dim = None
    return {
        "text": RouteReference(model, loaded.main_tower, "document"),
        QUERY_EXPERT: RouteReference(model, loaded.experts[QUERY_EXPERT], "query"),
    }
