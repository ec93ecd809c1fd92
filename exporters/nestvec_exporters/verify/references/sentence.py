"""Text encoders as sentence-transformers runs them: ``SentenceTransformer``, loaded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sentence_transformers
from sentence_transformers import SentenceTransformer

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.max_length import max_text_tokens
from nestvec_exporters.checkpoints.native.adapters import adapters_in
from nestvec_exporters.checkpoints.native.published_configs import published_settings
from nestvec_exporters.checkpoints.untrusted.custom_code import apply_native_settings, native_settings
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.probes.text_probes import text_probe_sets
from nestvec_exporters.text_encoders.sentence_model import positions, without_messages
from nestvec_exporters.verify.library_model import attention_heads, filled_prompts, token_count
from nestvec_exporters.verify.prompted import encode_by_prompt, prompt_arguments
from nestvec_exporters.verify.reference import Reference
from nestvec_schemas.preprocessing.collate import Array


class SentenceReference(Reference):
    """``SentenceTransformer.encode``, with the pooling that the export's options ask for."""

    library = f"sentence-transformers {sentence_transformers.__version__} (SentenceTransformer)"

    def __init__(self, checkpoint: Checkpoint, options: ExportOptions) -> None:
        self.model = SentenceTransformer(
            str(checkpoint.folder),
            device="cpu",
            config_kwargs={} if options.trust_remote_code else published_settings(checkpoint.folder),
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
        )
        if is_translated(checkpoint, options):
            self.library += ", over the checkpoint as nestvec rewrote it for transformers"
        self.model.float().eval()
        self.model.truncate_dim = None
        without_messages(self.model)
        self.model.max_seq_length = self._longest(options.max_tokens)
        self.max_tokens = self.model.max_seq_length
        self.prompts = filled_prompts(self.model.prompts)
        first: Any = self.model[0]
        config: Any = getattr(getattr(first, "auto_model", None), "config", None)
        self.heads = attention_heads(getattr(first, "auto_model", None))
        if options.overrides.pooling is not None:
            pooling: Any = self.model[1]
            self.model[1] = type(pooling)(
                pooling.embedding_dimension,
                pooling_mode=tuple(options.overrides.pooling.split("+")),
                include_prompt=pooling.include_prompt,
            )
        if not options.trust_remote_code and config is not None:
            apply_native_settings(config, checkpoint.folder)
        if options.overrides.bidirectional:
            config.get_text_config().is_causal = False

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Texts of all kinds."""
        return text_probe_sets(self.prompts, max_tokens, self._count, full=full)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors by the library's own prompts, lengths and padding."""

        def vectors(texts: list[Any], name: str | None) -> Any:
            arguments = prompt_arguments(name, self.prompts, prompts)
            return self.model.encode(
                texts,
                batch_size=batch,
                show_progress_bar=False,
                prompt_name=arguments["prompt_name"],
                prompt=arguments["prompt"],
            )

        return encode_by_prompt(probes, vectors)

    def _longest(self, requested: int | None) -> int | None:
        """The library's own limit, up to its table of positions and to what an export takes by default;
        or what was requested. Without any limit, the length that the export states."""
        if requested is not None:
            return requested
        transformer = getattr(self.model[0], "auto_model", None)
        room = None if transformer is None else positions(transformer)
        return max_text_tokens(self.model.max_seq_length, room, None)

    def _count(self, text: str) -> int:
        return token_count(self.model.tokenizer, text)


def is_translated(checkpoint: Checkpoint, options: ExportOptions) -> bool:
    """Whether the library does not read the checkpoint's files as they are, but what nestvec made of them for
    transformers' classes: then it cannot tell that the translation is right."""
    folder = checkpoint.folder
    return checkpoint.native_folder is not None or (
        not options.trust_remote_code and bool(published_settings(folder) or native_settings(folder))
    )


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The references of the text tower and of adapters beside its weights."""
    text: dict[str, Reference] = {"text": SentenceReference(checkpoint, options)}
    if not adapters_in(checkpoint.folder):
        return text
    from nestvec_exporters.verify.references.adapters import adapter_references  # noqa: PLC0415 - peft is slow

    return {**text, **adapter_references(checkpoint, options)}
