"""Cross-encoders as sentence-transformers runs them: ``CrossEncoder.predict``, without its activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import sentence_transformers
from sentence_transformers import CrossEncoder
from torch import nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.pair_probes import pair_probe_sets
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.verify.library_model import attention_heads, token_count
from nestvec_exporters.verify.prompted import encode_by_prompt
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.verify.token_limit import limit_tokens
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import Activation

_ACTIVATIONS: Final[Mapping[type, Activation]] = {nn.Sigmoid: "sigmoid", nn.Identity: "identity"}


class CrossReference(Reference):
    """``CrossEncoder.predict``: its raw scores. Raises VerificationFailed for another activation."""

    library = f"sentence-transformers {sentence_transformers.__version__} (CrossEncoder)"

    def __init__(self, checkpoint: Checkpoint, options: ExportOptions, activation: Activation | None) -> None:
        self.model = CrossEncoder(
            str(checkpoint.folder),
            device="cpu",
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
        )
        self.model.float().eval()
        limit_tokens(self.model, self.model.model, options.max_tokens)
        self.max_tokens = self.model.max_seq_length
        config: Any = getattr(self.model.model, "config", None)
        self.heads = attention_heads(self.model.model)
        # transformers cannot tell the last token of a padded text without a padding token.
        unpadded = config is not None and config.get_text_config().pad_token_id is None
        self.batches = not (unpadded and hasattr(self.model.model, "score"))
        own: Any = self.model.activation_fn
        if _ACTIVATIONS.get(type(own)) != activation:
            raise VerificationFailed(
                f"the export would apply another activation to the scores than {self.library}",
                value=f"{activation} against {type(own).__name__}",
                next_step="Report it, with the checkpoint's config.json; nothing was written.",
            )

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Queries with documents."""
        return pair_probe_sets(max_tokens, self._count, full=full)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Raw scores, (1,) each."""

        def predict(pairs: list[Any], name: str | None) -> Array:
            scores = self.model.predict(
                [list(pair) for pair in pairs],
                batch_size=batch if self.batches else 1,
                prompt=None if name is None else prompts.get(name),
                activation_fn=nn.Identity(),
                show_progress_bar=False,
            )
            return np.asarray(scores, np.float32).reshape(-1, 1)

        return encode_by_prompt(probes, predict)

    def _count(self, text: str) -> int:
        return token_count(self.model.tokenizer, text)


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The reference of the tower."""
    return {"text": CrossReference(checkpoint, options, loaded.main_tower.spec.activation)}
