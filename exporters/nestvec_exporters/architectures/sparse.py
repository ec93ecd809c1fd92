"""Sparse encoders: a masked language model's logits as weights of words (SPLADE and its kin).

In sentence-transformers' SparseEncoder layout (Transformer or MLMTransformer, then SpladePooling; also behind
a Router whose queries are read by a SparseStaticEmbedding alone) and in transformers' own
(``*ForMaskedLM``). The latter does not say what it is for: a checkpoint that is called splade is taken for
one, any other is refused until ``--pooling`` says ``splade``, or ``mean`` for a dense encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from torch import nn

from nestvec_exporters.architectures import sentence
from nestvec_exporters.architectures import sentence_transformer as sources
from nestvec_exporters.architectures.sentence_transformer import Source
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_architecture, check_code
from nestvec_exporters.checkpoints.layout import read_config
from nestvec_exporters.checkpoints.max_length import DEFAULT_TOKENS
from nestvec_exporters.checkpoints.prompts import named_prompts
from nestvec_exporters.checkpoints.sparse_layout import Layout, read_layout
from nestvec_exporters.graph.pooling import POOLING
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.triton import INPUTS, OUTPUT
from nestvec_exporters.graph.vocabulary import ACTIVATIONS, WEIGHINGS, Present, builder, weigh
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts, text_rows
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError, nearest
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

QUERY = "query"
"""The expert that reads queries, where another reads documents."""

_SAYS_SO = "splade"


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they do not weigh words."""
    layout = read_layout(checkpoint.folder)
    asked = options.overrides.pooling
    if not layout.kinds and asked in POOLING:
        check_architecture(checkpoint.folder)
        return sentence.load(checkpoint, options)
    if not layout.kinds:
        check_architecture(checkpoint.folder)
    chosen = _chosen(checkpoint, layout, asked)
    model = _opened(checkpoint, layout)
    first: Any = model[0]
    routes = dict(first.sub_modules) if type(first).__name__ == "Router" else {"document": model}
    documents = list(routes.get("document", ()))
    half, source = _half_of(documents, chosen, options)
    queries = list(routes[QUERY]) if QUERY in routes else []
    experts = {QUERY: _queries(queries, source, half)} if queries else {}
    return Loaded(
        kind="sparse",
        dim=source.dim,
        normalised=False,
        halves={"text": half},
        layers=source.layers or 1,
        prompts=named_prompts(model.prompts, model.default_prompt_name),
        experts=experts,
    )


def _chosen(checkpoint: Checkpoint, layout: Layout, asked: str | None) -> str | None:
    """The weighing that is asked for or plain from the checkpoint's name; None is as its modules say."""
    if asked is not None and asked not in WEIGHINGS:
        raise CheckpointUnsupported(
            "a masked language model does not weigh its words like this",
            value=asked,
            next_step=f"Choose {', '.join(WEIGHINGS)}.{nearest(asked, WEIGHINGS)}",
        )
    if asked is not None or layout.kinds:
        return asked
    config = read_config(checkpoint.folder)
    named = f"{checkpoint.source} {config.get('_name_or_path', '')}"
    if _SAYS_SO not in named.lower():
        raise CheckpointUnsupported(
            "the checkpoint is a masked language model, and does not say how it is to embed",
            value=", ".join(map(str, config.get("architectures", ()))),
            next_step="Give --pooling splade for a weight a word, or --pooling mean for one dense vector.",
        )
    return _SAYS_SO


def _opened(checkpoint: Checkpoint, layout: Layout) -> SparseEncoder:
    """The checkpoint as sentence-transformers runs it, in float32. Raises CheckpointUnsupported."""
    for home in layout.transformers:
        check_code(home, home)
    try:
        model: SparseEncoder = SparseEncoder(
            str(checkpoint.folder),
            device="cpu",
            model_kwargs={"attn_implementation": "eager"} if layout.transformers else {},
            trust_remote_code=False,
            local_files_only=True,
        )
        for home in layout.transformers:
            sources.check_complete(_masked_model(model), home)
    except NestvecError:
        raise
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a sparse encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that sentence-transformers' SparseEncoder loads it on its own.",
        ) from error
    model.float().eval()
    return model


def _masked_model(model: SparseEncoder) -> Any:
    """The masked language model among a model's modules."""
    return next(one.auto_model for one in model.modules() if hasattr(one, "auto_model"))


def _half_of(modules: Sequence[Any], chosen: str | None, options: ExportOptions) -> tuple[Half, Source]:
    """The tower of documents, which is that of queries too unless they have their own."""
    kinds = [type(one).__name__ for one in modules]
    model = SparseEncoder(modules=list(modules), device="cpu").eval() if modules else None
    if model is not None and kinds == ["SparseStaticEmbedding"]:
        source = _source(model, "idf", int(modules[0].num_dimensions))
        return _static(modules[0], source, options.max_tokens or _table_tokens(modules[0])), source
    if model is None or kinds[1:] != ["SpladePooling"] or not hasattr(modules[0], "auto_model"):
        raise CheckpointUnsupported(
            "the checkpoint's modules do not give weights of words",
            value=", ".join(kinds) or "none for documents",
            next_step="Choose one of a masked language model followed by SpladePooling.",
        )
    own = ACTIVATIONS[modules[1].activation_function, modules[1].pooling_strategy]
    name = chosen or own
    transformer = modules[0].auto_model
    transformer.config.use_cache = False
    ids = torch.ones((2, 16), dtype=torch.int64)
    module, words = builder(transformer, WEIGHINGS[name])
    source = _source(model, name, words)
    tokens = sources.max_tokens(source, options.max_tokens)
    half = Half(
        tower=Tower(inputs=INPUTS, output=OUTPUT, pooling=name, max_tokens=tokens),
        build=partial(module, transformer, WEIGHINGS[name]),
        example=dict.fromkeys(INPUTS, ids),
        axes={one: {1: "tokens"} for one in INPUTS},
        rows=text_rows,
        reference=partial(_reference if name == own else _reweighed, source),
        probes=probe_texts,
        save=partial(_save, source),
        heads=source.heads,
        hidden=source.hidden,
    )
    return half, source


def _queries(modules: Sequence[Any], documents: Source, half: Half) -> Half:
    """The tower of queries that no model reads."""
    if [type(one).__name__ for one in modules] != ["SparseStaticEmbedding"]:
        raise CheckpointUnsupported(
            "the checkpoint reads queries by modules that cannot be exported",
            value=", ".join(type(one).__name__ for one in modules),
            next_step="Choose one whose queries go through a SparseStaticEmbedding.",
        )
    source = _source(SparseEncoder(modules=list(modules), device="cpu"), "idf", documents.dim)
    same = sources.tokenizer(source).to_str() == sources.tokenizer(documents).to_str()
    if not same or modules[0].num_dimensions > documents.dim:
        raise CheckpointUnsupported(
            "the checkpoint's queries and documents have not one vocabulary",
            value=f"{modules[0].num_dimensions} and {documents.dim} words",
            next_step="Choose one in which they share the tokenizer.",
        )
    return _static(modules[0], source, half.tower.max_tokens)


def _table_tokens(module: Any) -> int:
    """The longest text of a table of weights, which has no positions: its tokenizer's, where set."""
    return min(int(module.tokenizer.model_max_length), DEFAULT_TOKENS)


def _static(module: Any, source: Source, tokens: int) -> Half:
    silent = sources.tokenizer(source).encode("").ids
    return Half(
        tower=Tower(inputs=INPUTS, output=OUTPUT, pooling="idf", max_tokens=tokens),
        # A table that was read from words may end before the vocabulary does.
        build=partial(
            Present, nn.functional.pad(module.weight, (0, source.dim - len(module.weight))), silent
        ),
        example=dict.fromkeys(INPUTS, torch.ones((2, 16), dtype=torch.int64)),
        axes={one: {1: "tokens"} for one in INPUTS},
        rows=text_rows,
        reference=partial(_looked_up, source, len(silent)),
        probes=probe_texts,
        save=partial(_save, source),
    )


def _source(model: SparseEncoder, pooling: str, dim: int) -> Source:
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    return Source(
        model=cast(SentenceTransformer, model),  # of one base, with all that is asked of it here
        pooling=(pooling,),
        dim=dim,
        layers=getattr(config, "num_hidden_layers", 0),
        heads=getattr(config, "num_attention_heads", 0),
        hidden=getattr(config, "hidden_size", 0),
        normalised=False,
        prompts={},
        pools_prompts=True,
    )


def _save(source: Source, folder: Path) -> None:
    sources.tokenizer(source).save(str(folder / TOKENIZER))


def _reference(source: Source, texts: Sequence[str], tokens: int) -> Vectors:
    """The checkpoint's own weights, (n, words) float32, of texts cut at ``tokens``, one at a time."""
    source.model.max_seq_length = tokens
    return _encoded(source.model, texts)


def _looked_up(source: Source, silent: int, texts: Sequence[str], tokens: int) -> Vectors:
    """The same of a table of weights, which cuts texts without the tokens that are added to them."""
    tokenizer: Any = source.model.tokenizer
    before, tokenizer.model_max_length = tokenizer.model_max_length, tokens - silent
    try:
        found = _encoded(source.model, texts)
        return np.pad(found, ((0, 0), (0, source.dim - found.shape[1])))
    finally:
        tokenizer.model_max_length = before


def _encoded(model: Any, texts: Sequence[str]) -> Vectors:
    encode: Callable[..., Any] = model.encode
    found = encode(list(texts), batch_size=1, convert_to_sparse_tensor=False, show_progress_bar=False)
    return np.asarray([one.numpy() for one in found], np.float32)


def _reweighed(source: Source, texts: Sequence[str], tokens: int) -> Vectors:
    """Weights of a row that is not the checkpoint's own: of its own logits, one text at a time."""
    source.model.max_seq_length = tokens
    found = []
    with torch.no_grad():
        for text in texts:
            features = source.model[0](source.model.preprocess([text]))
            logits, mask = features["token_embeddings"], features["attention_mask"]
            found.append(weigh(WEIGHINGS[source.pooling[0]], logits, mask)[0].numpy())
    return np.asarray(found, np.float32)
