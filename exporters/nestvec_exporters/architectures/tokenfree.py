"""Encoders without a vocabulary: CANINE reads code points, ByT5's encoder half bytes.

In transformers' layout, mean pooled. No tokenizer is written: the service makes ids as
``preprocessing.byte_tokens`` does.

What CANINE gives for a text depends on how it is padded: convolutions look two characters beyond the end, and
the last molecule is one more only where padding makes it whole. It was trained on texts padded to 2,048. The
graph pads every batch by ``_PADDING`` characters at least, to whole blocks of its local attention; then more
padding changes nothing, and a text's vector is that of the text padded to 2,048.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.max_length import DEFAULT_MAX_TOKENS
from nestvec_exporters.checkpoints.prompts import folder_prompts
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.graph.pooling import POOLING
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_exporters.graph.trace import PooledEncoder
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.byte_tokens import UNIT_SCHEMES, encode_units
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.towers import TokenScheme, Tower
from nestvec_schemas.vectors import Vectors

_PADDING: Final = 8
"""Characters of padding: two molecules of four characters, one beyond what the last character sees."""

_CANINE_TOKENS: Final = 2048
_BYT5_TOKENS: Final = 1024


class Canine(nn.Module):
    """transformers' CanineModel for batches of any length, called and answering as its other models do.

    Local attention is of blocks, which are rows of a batch here: the model's own loop over them would be
    traced for one length.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.block = int(model.config.local_transformer_stride)
        self.rate = int(model.config.downsampling_rate)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False
    ) -> SimpleNamespace:
        """Characters' vectors, (batch, tokens, dim); ``hidden_states``: by the molecules after each layer."""
        ids, mask = self._padded(input_ids), self._padded(attention_mask)
        characters = self._local(ids, mask)
        molecules = self.model.chars_to_molecules(characters)
        molecule_mask = mask.reshape(mask.shape[0], -1, self.rate).amax(dim=2)
        passed = self.model.encoder(
            molecules,
            attention_mask=_attention_bias(molecule_mask, molecules),
            output_hidden_states=output_hidden_states,
        )
        states = [passed.last_hidden_state, *(passed.hidden_states or ())]
        last, *others = (self._risen(characters, state, mask)[:, : input_ids.shape[1]] for state in states)
        return SimpleNamespace(last_hidden_state=last, hidden_states=others)

    def _padded(self, rows: Tensor) -> Tensor:
        """(batch, t) padded with zeros to whole blocks, by ``_PADDING`` at least."""
        wide = nn.functional.pad(rows, (0, _PADDING + self.block - 1))
        return wide[:, : wide.shape[1] // self.block * self.block]

    def _local(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Each character's vector after the first layer, in which it sees its own block."""
        embedded = self.model.char_embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids))
        blocks = embedded.reshape(-1, self.block, embedded.shape[2])
        block_mask = mask.reshape(-1, 1, self.block).to(embedded.dtype)
        encoded = self.model.initial_char_encoder(
            blocks, attention_mask=block_mask.expand(-1, self.block, -1)
        ).last_hidden_state
        characters: Tensor = encoded.reshape(embedded.shape)
        return characters

    def _risen(self, characters: Tensor, molecules: Tensor, mask: Tensor) -> Tensor:
        """Molecules' vectors back to characters'."""
        moved = torch.cat([molecules[:, 1:], molecules[:, -1:]], dim=1)
        repeated = moved.unsqueeze(2).expand(-1, -1, self.rate, -1).reshape(characters.shape)
        joined = self.model.projection(torch.cat([characters, repeated], dim=2))
        states: Tensor = self.model.final_char_encoder(
            joined, attention_mask=_attention_bias(mask, joined)
        ).last_hidden_state
        return states


def _attention_bias(mask: Tensor, like: Tensor) -> Tensor:
    """(batch, t) of ones and zeros as what is added to attention's scores, (batch, 1, 1, t)."""
    shown = mask[:, None, None, :].to(like.dtype)
    return (1.0 - shown) * torch.finfo(like.dtype).min


@dataclass(frozen=True)
class _Family:
    """What differs between CANINE and ByT5."""

    model: Any
    """The class of transformers."""

    scheme: TokenScheme
    """How texts become ids."""

    default_tokens: int
    """The longest text in tokens, unless another is given."""

    max_tokens: Callable[[Any], int]
    """The longest text in tokens that a config allows."""

    graph: Callable[[Any], Any]
    """The module that is traced, of a model of the class."""

    states: Callable[[Any, Tensor], Tensor]
    """What the class's own code gives for one text's ids, (1, t), as (1, t, dim)."""


class TokenFreeTower(TowerModel):
    """A model that reads bytes or code points, pooled."""

    def __init__(self, family: _Family, model: Any, pooling: Sequence[str], max_tokens: int) -> None:
        self.spec = Tower(
            inputs=INPUTS,
            output=OUTPUT,
            pooling="+".join(pooling),
            max_tokens=max_tokens,
            scheme=family.scheme,
        )
        self.family, self.model = family, model
        self.pools = [POOLING[mode] for mode in pooling]
        self.example = dict.fromkeys(INPUTS, np.ones((2, 16), np.int64))
        self.dynamic_axes = {name: {1: "tokens"} for name in INPUTS}

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The model and its pooling."""
        return PooledEncoder(self.family.graph(self.model), self.pools, nn.Identity(), exits).eval()

    def rows(self, folder: Path, inputs: Sequence[str], max_tokens: int) -> list[Arrays]:
        """Texts to rows of ids."""
        return unit_rows(self.family.scheme, inputs, max_tokens)

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The checkpoint's own vectors, (n, dim) float32, one text at a time."""
        vectors = []
        with torch.no_grad():
            for row in unit_rows(self.family.scheme, inputs, max_tokens):
                ids = torch.from_numpy(row["input_ids"])[None]
                states = self.family.states(self.model, ids)
                mask = torch.ones_like(ids)
                vectors.append(torch.cat([pool(states, mask) for pool in self.pools], dim=1).numpy())
        return np.concatenate(vectors)

    def probes(self) -> Sequence[str]:
        """Real texts."""
        return probe_texts()


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    pooling = sources.pooling_modes(options.overrides.pooling or "mean")
    family = _CANINE if CheckpointFiles(checkpoint.folder).model_type == "canine" else _BYT5
    model = _model(checkpoint.folder, family)
    max_tokens = _max_tokens(options.max_tokens, family, family.max_tokens(model.config))
    tower = TokenFreeTower(family, model, pooling, max_tokens)
    return LoadedCheckpoint(
        kind="dense",
        dim=model.config.hidden_size * len(pooling),
        normalised=False,
        towers={"text": tower},
        layers=model.config.num_hidden_layers,
        prompts=folder_prompts(checkpoint.folder, options.overrides),
    )


def unit_rows(scheme: TokenScheme, texts: Sequence[str], max_tokens: int) -> list[Arrays]:
    """Texts to rows of ids of bytes or code points."""
    return [{"input_ids": encode_units(text, UNIT_SCHEMES[scheme], max_tokens)[0]} for text in texts]


def _max_tokens(requested: int | None, family: _Family, limit: int) -> int:
    special = UNIT_SCHEMES[family.scheme].special
    if requested is not None and not special < requested <= limit:
        raise CheckpointUnsupported(
            "the checkpoint does not take texts of this many tokens",
            value=requested,
            next_step=f"Give --max-tokens from {special + 1} to {limit}.",
        )
    return requested or min(family.default_tokens, limit)


def _model(folder: Path, family: _Family) -> Any:
    """The model, float32. Raises CheckpointUnsupported where weights are missing."""
    model, missing = read_model(family.model, folder)
    check_complete(missing, ignored="pooler.")
    return model


def _positions(config: Any) -> int:
    """Characters that CANINE has positions for: its table of them is as long as those of hashes."""
    return min(int(config.max_position_embeddings), int(config.num_hash_buckets))


def _canine_states(model: Any, ids: Tensor) -> Tensor:
    """Of the text padded far, in transformers' own code."""
    block = model.config.local_transformer_stride
    longest = min(max(_CANINE_TOKENS, ids.shape[1] + 2 * block), _positions(model.config))
    more = longest // block * block - ids.shape[1]
    padded, mask = (nn.functional.pad(tensor, (0, more)) for tensor in (ids, torch.ones_like(ids)))
    states: Tensor = model(input_ids=padded, attention_mask=mask).last_hidden_state
    return states[:, : ids.shape[1]]


def _byt5_states(model: Any, ids: Tensor) -> Tensor:
    states: Tensor = model(input_ids=ids).last_hidden_state
    return states


_CANINE: Final = _Family(
    model=transformers.CanineModel,
    scheme="codepoints",
    default_tokens=_CANINE_TOKENS,
    max_tokens=lambda config: _positions(config) - config.local_transformer_stride - _PADDING,
    graph=Canine,
    states=_canine_states,
)
_BYT5: Final = _Family(
    model=transformers.T5EncoderModel,
    scheme="bytes",
    default_tokens=_BYT5_TOKENS,
    max_tokens=lambda config: DEFAULT_MAX_TOKENS,
    graph=lambda model: model,
    states=_byt5_states,
)
