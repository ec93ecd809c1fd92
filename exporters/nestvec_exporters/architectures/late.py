"""Late interaction: one projected vector per token, of unit length (ColBERT, Khattab & Zaharia 2020).

sentence-transformers reads all three layouts: its own (Transformer, Dense, MultiVectorMask, Normalize), that
of PyLate, and colbert-ai's ``linear.weight``. A transformer with projections that none of these three saved
is read as it is; with prompts from the export's options, as ColBERT reads queries and documents.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from sentence_transformers import MultiVectorEncoder
from tokenizers import AddedToken, Tokenizer
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.layout import first_folder
from nestvec_exporters.checkpoints.layouts.late_layout import check_late_layout, check_late_modules
from nestvec_exporters.checkpoints.max_length import max_text_tokens
from nestvec_exporters.checkpoints.prompts import CheckpointPrompts, named_prompts
from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer, table_rows, within_table
from nestvec_exporters.checkpoints.weights import check_complete, missing_weights
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, SidedText, TextTower
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts, text_rows
from nestvec_exporters.text_encoders.sentence_model import positions
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.late_interaction import KEEP_INPUT, Interaction, Role, token_arrays
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.prompt_roles import ROLES
from nestvec_schemas.towers import Tower

LATE_POOLING = "tokens"
"""What a manifest calls the pooling of a tower that gives every token's vector."""

_DOCUMENT_PROMPTS: Final = ("document", "passage", "corpus")
"""The names that ``MultiVectorEncoder.encode_document`` looks for, in its order."""

_COLBERT_QUERY, _COLBERT_DOCUMENT = 32, 180


class TokenVectors(nn.Module):
    """(batch, tokens) int64 ids, mask and KEEP to (batch, tokens, dim): unit vectors, zero where not kept."""

    def __init__(self, transformer: Any, head: nn.Module) -> None:
        super().__init__()
        self.transformer, self.head = transformer, head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, keep: Tensor) -> Tensor:
        """The token vectors of a batch padded on the right."""
        passed = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        vectors: Tensor = self.head(passed.last_hidden_state)
        return vectors * keep.unsqueeze(-1).to(vectors.dtype)


class TokenHead(nn.Module):
    """The modules behind a transformer: (batch, tokens, hidden) to (batch, tokens, dim), of length 1."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(modules)

    def forward(self, states: Tensor) -> Tensor:
        """The vectors of a batch's tokens."""
        features = {"token_embeddings": states}
        for step in self.steps:
            features = step(features)
        return features["token_embeddings"]


class LateInteractionTower(TextTower):
    """A transformer and the projection of its token vectors."""

    reads_roles = True

    def __init__(self, source: LateInteractionModel, *, unbatched: bool) -> None:
        spec = Tower(
            inputs=(*INPUTS, KEEP_INPUT),
            output=OUTPUT,
            pooling=LATE_POOLING,
            max_tokens=max(source.document_tokens, source.query_tokens),
            interaction=source.interaction,
            alone=unbatched,
        )
        super().__init__(spec, source.tokenizer)
        self.dynamic_axes = {name: {1: "tokens"} for name in (*spec.inputs, OUTPUT)}
        self.source, self.interaction = source, source.interaction
        config = source.transformer.config.get_text_config()
        self.heads = getattr(config, "num_attention_heads", 0)
        self.hidden = getattr(config, "hidden_size", 0)

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """Transformer and projection."""
        return TokenVectors(self.source.transformer, self.source.head).eval()

    def rows(self, folder: Path, inputs: Sequence[str | SidedText], max_tokens: int) -> list[Arrays]:
        """Texts with their prompts to rows, as their side is read."""
        texts = [value.text if isinstance(value, SidedText) else value for value in inputs]
        roles = [value.role if isinstance(value, SidedText) else None for value in inputs]
        ids = [row["input_ids"] for row in text_rows(folder, texts, max_tokens)]
        return [token_arrays(row, self.interaction, role) for row, role in zip(ids, roles, strict=True)]

    def reference(self, inputs: Sequence[str | SidedText], max_tokens: int) -> list[Array]:
        """The library's own token vectors, each (t, dim) float32, of texts with their prompts."""
        with self.source.limited(max_tokens):
            return [self._token_vectors(value) for value in inputs]

    def probes(self) -> Sequence[str | SidedText]:
        """Real texts, behind the prompts of queries and documents by turns where these are read apart."""
        prompts = self.source.prompts
        if self.interaction is None:
            return probe_texts()
        roles: tuple[Role, ...] = ("query", "document")
        by_turns = [(roles[at % 2], text) for at, text in enumerate(probe_texts())]
        return [SidedText(f"{prompts.get(role, '')}{text}", role) for role, text in by_turns]

    def _token_vectors(self, value: str | SidedText) -> Array:
        text, role = (value.text, value.role) if isinstance(value, SidedText) else (value, None)
        # The text has its prompt already.
        vectors: Any = self.source.model.encode([text], prompt="", task=role, convert_to_numpy=True)
        return np.asarray(vectors[0], np.float32)


@dataclass(frozen=True, kw_only=True)
class LateInteractionModel:
    """A checkpoint as sentence-transformers runs it, in float32 and evaluation mode."""

    model: MultiVectorEncoder
    head: TokenHead
    tokenizer: Tokenizer
    """Its fast tokenizer, with the markers of queries and documents as tokens."""

    prompts: CheckpointPrompts
    document_tokens: int
    query_tokens: int
    interaction: Interaction | None
    """None if queries and documents are read alike."""

    @property
    def transformer(self) -> Any:
        """The transformers model."""
        return self.first.auto_model

    @property
    def first(self) -> Any:
        """The module that tokenizes."""
        return self.model[0]

    @contextmanager
    def limited(self, max_tokens: int) -> Iterator[None]:
        """Let the library truncate as the exported encoder does, for texts of at most ``max_tokens``."""
        first = self.first
        before = first.max_seq_length, first.document_length, first.query_length
        first.max_seq_length = max_tokens
        first.document_length = min(self.document_tokens, max_tokens)
        if first.query_expansion is None:
            first.query_length = min(self.query_tokens, max_tokens)
        try:
            yield
        finally:
            first.max_seq_length, first.document_length, first.query_length = before


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a late-interaction encoder."""
    source = _read_model(checkpoint.folder, options)
    tower = LateInteractionTower(source, unbatched=options.precision == "int8-dynamic")
    return LoadedCheckpoint(
        kind="multivector",
        dim=int(source.model.get_embedding_dimension() or 0),
        normalised=True,
        towers={"text": tower},
        prompts=source.prompts,
    )


def _read_model(folder: Path, options: ExportOptions) -> LateInteractionModel:
    check_late_layout(folder)
    try:
        model = MultiVectorEncoder(
            str(folder),
            device="cpu",
            model_kwargs={"attn_implementation": "eager"},
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
        )
        first: Any = model[0]
        missing = missing_weights(first.auto_model, first_folder(folder))
    except NestvecError:
        raise
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a late-interaction encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that sentence-transformers' MultiVectorEncoder loads it on its own.",
        ) from error
    check_complete(missing, ignored="pooler.")
    model.float().eval()
    check_late_modules(tuple(model))
    _set_prompts(model, options)
    return _describe(model, options)


def _set_prompts(model: MultiVectorEncoder, options: ExportOptions) -> None:
    """Put the prompts of the options in place of the model's own, whose lengths and expansion are ColBERT's
    unless the checkpoint says other ones."""
    texts = options.overrides.prompts
    named = {role: model.prompts.get(options.overrides.prompt_name(role) or "") for role in ROLES}
    model.prompts.update({role: text for role, text in named.items() if text is not None})
    model.prompts.update(texts)
    first: Any = model[0]
    if not texts or first.query_expansion or first.document_length or first.query_length:
        return
    vocabulary = model.tokenizer.get_vocab()
    words = [text for text in texts.values() if text in vocabulary]
    markers = [AddedToken(text, normalized=False, special=True) for text in words]
    model.tokenizer.add_special_tokens({"additional_special_tokens": markers})
    first.document_length = _COLBERT_DOCUMENT
    first.query_expansion = {"strategy": "fixed", "length": _COLBERT_QUERY}
    modules: list[Any] = list(model)
    for module in modules:
        if type(module).__name__ == "MultiVectorMask":
            module.skiplist_words = list(string.punctuation)
            module.resolve_with_tokenizer(model.tokenizer)


def _describe(model: MultiVectorEncoder, options: ExportOptions) -> LateInteractionModel:
    first: Any = model[0]
    requested = options.max_tokens
    limit = max_text_tokens(first.max_seq_length, positions(first.auto_model), requested)
    expansion = first.query_expansion
    documents = min(limit, requested or first.document_length or limit)
    queries = min(limit, first.query_length or limit)
    if expansion is not None and expansion["strategy"] == "fixed":
        queries = expansion["length"]
    elif expansion is not None:
        queries = max(queries, expansion["length"])
    tokenizer = within_table(fast_tokenizer(model.tokenizer), table_rows(getattr(first, "auto_model", None)))
    prompts = _prompts(model, options)
    _check_markers(model, tokenizer)
    return LateInteractionModel(
        model=model,
        head=TokenHead([module for module in model if hasattr(module, "module_input_name")]),
        tokenizer=tokenizer,
        prompts=prompts,
        document_tokens=documents,
        query_tokens=queries,
        interaction=_interaction(model, tokenizer, prompts, (queries, documents)),
    )


def _prompts(model: MultiVectorEncoder, options: ExportOptions) -> CheckpointPrompts:
    """The prompts by name; of queries and documents those that ``encode_query`` and ``encode_document`` put
    before texts, which is nothing where they are empty."""
    named = named_prompts(model.prompts, model.default_prompt_name, options.overrides)
    default = model.prompts.get(model.default_prompt_name or "") or ""
    document = next((name for name in _DOCUMENT_PROMPTS if name in model.prompts), None)
    roles = {
        "query": model.prompts.get("query", default) or "",
        "document": default if document is None else model.prompts[document] or "",
    }
    texts = {name: text for name, text in named.items() if name not in roles}
    return replace(named, texts=texts | {name: text for name, text in roles.items() if text})


def _check_markers(model: MultiVectorEncoder, tokenizer: Tokenizer) -> None:
    """Raise CheckpointUnsupported unless the markers of PyLate and colbert-ai, which insert their ids, are
    one token each."""
    legacy: Any = getattr(model, "_legacy", None)
    for marker in dict(getattr(legacy, "prefixes", None) or {}).values():
        alone, marked = (tokenizer.encode(text).ids for text in ("a", f"{marker}a"))
        if len(marked) != len(alone) + 1 or marked[2:] != alone[1:]:
            raise CheckpointUnsupported(
                "the marker of a query or a document is not one token of the checkpoint's vocabulary",
                value=marker.strip() or "no marker",
                next_step="Choose a checkpoint whose query_prefix and document_prefix its tokenizer has.",
            )


def _interaction(
    model: MultiVectorEncoder, tokenizer: Tokenizer, prompts: CheckpointPrompts, lengths: tuple[int, int]
) -> Interaction | None:
    """How queries and documents are read; None if both are read alike."""
    first: Any = model[0]
    expansion = first.query_expansion
    masks: list[Any] = [module for module in model if type(module).__name__ == "MultiVectorMask"]
    if expansion is not None and not masks and not expansion["attend"]:
        expansion = None  # Its vectors are never scored, and no token attends to it.
    ids = [module._skiplist_ids for module in masks]
    tasks = {task for module in masks for task in module.skiplist_tasks}
    skip = tuple(sorted({int(token) for tensor in ids if tensor is not None for token in tensor}))
    queries, documents = lengths
    same_length = queries == documents
    if expansion is None and not skip and same_length and not prompts:
        return None
    query, document = (_marker(tokenizer, prompts.get(role, "")) for role in ("query", "document"))
    markers_differ = query != document and None not in (query, document)
    return Interaction(
        query_marker=query if markers_differ else None,
        document_marker=document if markers_differ else None,
        query_tokens=queries,
        document_tokens=documents,
        mask=None if expansion is None else _expansion_id(model.tokenizer, expansion["token"]),
        padded_tokens=None if expansion is None else expansion["length"],
        attend=expansion is not None and expansion["attend"],
        skip=skip if "document" in tasks else (),
        skip_queries="query" in tasks,
        end_tokens=_end_tokens(tokenizer),
    )


def _expansion_id(tokenizer: Any, token: str | None) -> int:
    """The id that pads queries, as sentence-transformers chooses it."""
    if token is not None:
        return int(tokenizer.convert_tokens_to_ids(token))
    mask = tokenizer.mask_token_id
    return int(tokenizer.eos_token_id if mask is None else mask)


def _marker(tokenizer: Tokenizer, prompt: str) -> int | None:
    """The id of a prompt that is one token of its own kind, after the first of a text; None for others."""
    alone, marked = (tokenizer.encode(text).ids for text in ("a", f"{prompt}a"))
    added = tokenizer.get_added_tokens_decoder()
    single = len(marked) == len(alone) + 1 and marked[:1] == alone[:1] and marked[2:] == alone[1:]
    return marked[1] if single and marked[1] in added else None


def _end_tokens(tokenizer: Tokenizer) -> int:
    """Special tokens after a text."""
    mask = tokenizer.encode("a").special_tokens_mask
    return next((at for at, special in enumerate(reversed(mask)) if not special), len(mask))
