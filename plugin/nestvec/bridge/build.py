"""Fit a bridge on a sample and fold it into the new encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from tokenizers import Tokenizer

from nestvec.bridge.vectors import PromptedText, embed_map_inputs, embed_texts, read_tokens
from nestvec_exporters.bridge.fit import (
    MIN_DOCUMENTS,
    BridgeFit,
    BridgeOptions,
    BridgeQueries,
    fit_bridge,
)
from nestvec_exporters.bridge.install import (
    check_bridgeable,
    install_bridge,
    next_exit,
    next_query_exit,
)
from nestvec_exporters.bridge.texts import BridgeTexts, bridge_texts
from nestvec_exporters.bridge.token_learning import TokenTexts
from nestvec_exporters.bridge.token_table import TokenInput, build_token_table, reads_tokens
from nestvec_exporters.progress import Listener
from nestvec_exporters.space_maps.mapping import BridgeMaps, PairedVectors, TokenTable
from nestvec_schemas.bridges.bridge import Bridge, bridge_key, served_name, split_bridged_name
from nestvec_schemas.errors import EngineError, SpecError
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.manifest import ENCODER_NAME, Manifest
from nestvec_schemas.repository import GRAPH, TOKENIZER, find_encoder, read_manifest
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, cosines

_CHECKED_TEXTS: Final = 32

_MIN_COSINE: Final = 0.999
"""Of a served vector and the fitted map of the served plain one: an engine may compute in bf16, and int8
activations depend a little on their batch."""


@dataclass(frozen=True)
class BridgeRequest:
    """Which bridge to fit, and on what."""

    models: Path
    old: str
    new: str
    sample: Sample
    queries: Sample | None = None
    """Real queries."""

    steps: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class BuiltBridge:
    """A bridge as it was installed."""

    name: str
    """As it is served."""

    bridge: Bridge
    fit: BridgeFit


def build_bridge(request: BridgeRequest, listener: Listener | None = None) -> BuiltBridge:
    """Fit the map from the new encoder's space into the old one's, and fold it into the new one's graph.

    Raises EncoderNotFound, NotOffered (encoders that have no bridge), SampleUnusable, SpecError, EngineError
    (what the service gives is not the fitted map), CheckpointError (it cannot be written).
    """
    listener = listener or Listener()
    folders = [find_encoder(request.models, name) for name in (request.old, request.new)]
    old, new = (read_manifest(folder) for folder in folders)
    name = bridge_key(old.name)
    _check_encoders(old, new, name, folders)
    minimum = max(MIN_DOCUMENTS, new.dim // 2)
    texts = bridge_texts(request.sample, request.queries, seed=request.seed, minimum=minimum)
    table = _token_table(folders, old, texts, listener)
    vectors = _embed_by_both(folders, name, table, texts, listener)
    tokens = None if table is None else _token_texts(folders[1], table, texts)
    documents = len(texts.documents)
    listener.stage("fitting the bridge")
    options = BridgeOptions(old.dims, request.steps, request.seed)
    fit = fit_bridge(
        vectors.at(np.arange(documents)),
        BridgeQueries(vectors.at(np.arange(documents, len(vectors))), texts.rows),
        options,
        listener.step,
        tokens,
    )
    bridge = Bridge(
        fingerprint=encoder_fingerprint(old),
        mapped_from=encoder_fingerprint(new),
        exit=next_exit(new, name),
        query_exit=None if fit.maps.own_queries is None else next_query_exit(new, name),
        dim=old.dim,
        dims=old.dims,
        method=fit.method,
        sample=request.sample.name,
        texts=documents,
        compared=fit.compared,
        quality=fit.quality,
        mixed_quality=fit.mixed_quality,
        unstated_quality=fit.unstated_quality,
    )
    listener.stage("comparing what a service gives with the fitted map")
    served = served_name(new.name, name)
    probes = [PromptedText(text, "document") for text in texts.documents[:_CHECKED_TEXTS]]
    probes += [PromptedText(text, "query") for text in texts.queries[:_CHECKED_TEXTS]]
    manifest = install_bridge(folders[1], name, bridge, fit.maps, check_served(served, probes, fit.maps))
    installed = bridge if manifest.bridges is None else manifest.bridges.maps[name]
    return BuiltBridge(served, installed, fit)


def _check_encoders(old: Manifest, new: Manifest, name: str, folders: list[Path]) -> None:
    if old.name == new.name:
        raise SpecError(
            "a bridge is between two encoders",
            value=old.name,
            next_step="Export the new version under another name, such as minilm:2.",
        )
    check_bridgeable(old, folders[0], as_new=False)
    check_bridgeable(new, folders[1], as_new=True)
    check_served_name(new, name, folders[1])


def check_served_name(new: Manifest, name: str, folder: Path) -> None:
    """Raise SpecError if the bridge ``name`` of the encoder in ``folder`` cannot be served by its name."""
    served = served_name(new.name, name)
    if not ENCODER_NAME.fullmatch(served):
        raise SpecError(
            "the name under which the bridge would be served is too long",
            value=served,
            next_step="Export the encoders under shorter names: both together have 60 characters at most.",
        )
    if folder.with_name(served).exists():
        raise SpecError(
            "an encoder already has the name under which the bridge would be served",
            value=served,
            next_step="Export that encoder, or one of these, under another name.",
        )


def _token_table(
    folders: list[Path], old: Manifest, texts: BridgeTexts, listener: Listener
) -> TokenTable | None:
    """The old encoder's vectors of the new one's tokens; None if the new graph cannot read them."""
    old_folder, new_folder = folders
    graph = onnx.load(str(new_folder / GRAPH), load_external_data=False).graph
    if not (new_folder / TOKENIZER).is_file() or not reads_tokens(graph):
        return None

    def embed(tokens: list[TokenInput]) -> Vectors:
        listener.stage(f"embedding the {len(tokens)} tokens of {new_folder.name} by {old.name}")
        prompted = [PromptedText(token, "document") for token in tokens]
        return embed_texts(old_folder, prompted, on_step=listener.step)

    tokenizer = _read_tokenizer(new_folder)
    ids = _read_tokenizer(old_folder) if takes_document_ids(old, old_folder) else None
    return build_token_table(tokenizer, texts.documents, old.dim, embed, ids)


def takes_document_ids(manifest: Manifest, folder: Path) -> bool:
    """Whether a document is to an encoder the ids of its tokens, with nothing before them."""
    plain = not manifest.experts and not manifest.prompts.get("document") and manifest.main_tower.chat is None
    return plain and (folder / TOKENIZER).is_file()


def _read_tokenizer(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _token_texts(folder: Path, table: TokenTable, texts: BridgeTexts) -> TokenTexts:
    rows = read_tokens(folder, _prompted(texts))
    documents = len(texts.documents)
    return TokenTexts(table, rows[:documents], rows[documents:])


def _prompted(texts: BridgeTexts) -> list[PromptedText]:
    """The documents, and the queries behind them."""
    prompted = [PromptedText(text, "document") for text in texts.documents]
    return prompted + [PromptedText(text, "query") for text in texts.queries]


def _embed_by_both(
    folders: list[Path], name: str, tokens: TokenTable | None, texts: BridgeTexts, listener: Listener
) -> PairedVectors:
    prompted = _prompted(texts)
    stages = [f"embedding {len(prompted)} texts by {folder.name}" for folder in folders]
    listener.stage(stages[0])
    old = embed_texts(folders[0], prompted, on_step=listener.step)
    listener.stage(stages[1])
    if tokens is None:
        return PairedVectors(old, embed_texts(folders[1], prompted, on_step=listener.step))
    return PairedVectors(old, *embed_map_inputs(folders[1], name, tokens, prompted, listener.step))


def check_served(served: str, probes: Sequence[PromptedText], maps: BridgeMaps) -> Callable[[Path], None]:
    """What compares a built encoder's served vectors with the maps of its own ones; it raises EngineError."""
    is_query = np.array([[probe.prompt == "query"] for probe in probes])

    def check(built: Path) -> None:
        mapped = embed_texts(built, probes, name=served)
        inputs = _served_inputs(built, served, probes, maps)
        expected = np.where(is_query, maps.queries(inputs), maps.documents(inputs))
        cosine = float(cosines(mapped, expected).min())
        if not cosine >= _MIN_COSINE:
            raise EngineError(
                "the service gives other vectors than the fitted bridge",
                value=f"cosine {cosine:.6f}",
                next_step="Export the new encoder again, in fp32 if it was not, and repeat the command.",
            )

    return check


def _served_inputs(built: Path, served: str, probes: Sequence[PromptedText], maps: BridgeMaps) -> Vectors:
    """What the maps of the bridge ``served`` read of each probe."""
    names = split_bridged_name(served)
    if names is None or maps.tokens is None:
        return embed_texts(built, probes)
    return np.concatenate(embed_map_inputs(built, names[1], maps.tokens, probes), axis=1)
