"""Sparse encoders as sentence-transformers runs them: ``SparseEncoder``, loaded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import sentence_transformers
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import SpladePooling

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.graph.vocabulary import ACTIVATIONS
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.probes.text_probes import text_probe_sets, without_truncated
from nestvec_exporters.verify.library_model import attention_heads, filled_prompts, token_count
from nestvec_exporters.verify.prompted import encode_by_prompt, prompt_arguments
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.verify.token_limit import limit_tokens
from nestvec_schemas.preprocessing.collate import Array

_DOCUMENT: Final = "document"
_QUERY: Final = "query"


class SparseReference(Reference):
    """``SparseEncoder.encode_document``, or ``encode_query`` where ``task`` is ``query``."""

    library = f"sentence-transformers {sentence_transformers.__version__} (SparseEncoder)"

    def __init__(
        self, checkpoint: Checkpoint, options: ExportOptions, dim: int, task: str = _DOCUMENT
    ) -> None:
        self.model = SparseEncoder(
            str(checkpoint.folder),
            device="cpu",
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
        )
        self.model.float().eval()
        self.dim, self.task = dim, task
        weighting = options.overrides.pooling
        if weighting is not None:
            activation, strategy = next(key for key, name in ACTIVATIONS.items() if name == weighting)
            weigh: Any = SpladePooling
            pooling = weigh(pooling_strategy=strategy, activation_function=activation)
            self.model[1] = pooling
        self.prompts = filled_prompts(self.model.prompts)
        transformers_model: Any = self.model.transformers_model
        if transformers_model is not None and task == _DOCUMENT:
            limit_tokens(self.model, transformers_model, options.max_tokens)
            self.heads = attention_heads(transformers_model)
        self.max_tokens = self.model.max_seq_length

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Texts of all kinds; of queries without a model, none that is truncated.

        The library truncates these before it adds special tokens, which it then leaves out.
        """
        sets = text_probe_sets(self.prompts, max_tokens, self._count, full=full)
        if self.task == _DOCUMENT:
            return sets
        return without_truncated(sets, max_tokens, self._count)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Weights of words, (vocabulary,) each."""
        encode: Any = self.model.encode_document if self.task == _DOCUMENT else self.model.encode_query

        def weights(texts: list[Any], name: str | None) -> Array:
            rows = encode(
                texts,
                batch_size=batch,
                convert_to_sparse_tensor=False,
                show_progress_bar=False,
                **prompt_arguments(name, self.prompts, prompts),
            )
            dense = rows.numpy()
            # A table of weights can end before the vocabulary does.
            return np.pad(dense, ((0, 0), (0, self.dim - dense.shape[1])))

        return encode_by_prompt(probes, weights)

    def _count(self, text: str) -> int:
        return token_count(self.model.tokenizer, text)


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The reference of the tower, and of queries where they have their own."""
    weighting = options.overrides.pooling
    if loaded.kind == "dense":
        from nestvec_exporters.verify.references.sentence import SentenceReference  # noqa: PLC0415 - slow

        return {"text": SentenceReference(checkpoint, options)}
    if weighting is not None and weighting not in ACTIVATIONS.values():
        return {}
    references: dict[str, Reference] = {"text": SparseReference(checkpoint, options, loaded.dim)}
    if _QUERY in loaded.experts:
        references[_QUERY] = SparseReference(checkpoint, options, loaded.dim, _QUERY)
    return references
