"""Late interaction as sentence-transformers runs it: ``MultiVectorEncoder``, loaded anew.

It reads the layouts of sentence-transformers, PyLate and Stanford's ColBERT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import sentence_transformers
from sentence_transformers import MultiVectorEncoder

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.probes.text_probes import text_probe_sets
from nestvec_exporters.verify.library_model import attention_heads, filled_prompts, token_count
from nestvec_exporters.verify.prompted import encode_by_prompt
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.verify.token_limit import limit_tokens
from nestvec_schemas.preprocessing.collate import Array

_ROLES: Final = ("query", "document")


class LateReference(Reference):
    """``MultiVectorEncoder.encode_query`` and ``encode_document``, with the markers that they insert."""

    library = f"sentence-transformers {sentence_transformers.__version__} (MultiVectorEncoder)"

    def __init__(self, checkpoint: Checkpoint, options: ExportOptions) -> None:
        self.model = MultiVectorEncoder(
            str(checkpoint.folder),
            device="cpu",
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
        )
        self.model.float().eval()
        self.prompts = filled_prompts(self.model.prompts)
        first: Any = self.model[0]
        limit_tokens(self.model, first.auto_model, options.max_tokens)
        if options.max_tokens is not None and first.document_length is not None:
            first.document_length = options.max_tokens
        self.max_tokens = first.document_length or self.model.max_seq_length
        self.heads = attention_heads(first.auto_model)

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Texts of all kinds, as queries and as documents."""
        sets = text_probe_sets({}, max_tokens, self._count, full=full)
        return [
            ProbeSet(
                tuple(replace(probe, prompt=role) for role in _ROLES for probe in probes.probes), probes.batch
            )
            for probes in sets
        ]

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """The vectors of tokens, (tokens, dim) each."""

        def vectors(texts: list[Any], name: str | None) -> list[Array]:
            encode: Any = self.model.encode_query if name == "query" else self.model.encode_document
            rows = encode(texts, batch_size=batch, convert_to_numpy=True, show_progress_bar=False)
            return list(rows)

        return encode_by_prompt(probes, vectors)

    def _count(self, text: str) -> int:
        return token_count(self.model.tokenizer, text)


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The reference of the tower; other markers than the checkpoint's own have none."""
    overrides = options.overrides
    if overrides.prompts or overrides.query_prompt_name or overrides.document_prompt_name:
        return {}
    return {"text": LateReference(checkpoint, options)}
