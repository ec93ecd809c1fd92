"""Late interaction: a projected vector a token, of unit length (ColBERT, Khattab & Zaharia 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from nestvec_exporters.architectures.sentence_transformer import check_complete, fast_tokenizer, positions
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_safetensors
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.interaction_config import Markers, interaction_of, read_markers
from nestvec_exporters.checkpoints.layout import first_folder, read_json
from nestvec_exporters.checkpoints.max_length import limited
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.triton import INPUTS, OUTPUT
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts, text_rows
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.late_interaction import KEEP, Interaction, token_arrays
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower

POOLING = "tokens"
"""What a manifest calls the pooling of a tower that gives every token's vector."""


class TokenVectors(nn.Module):
    """(batch, tokens) int64 ids, mask and KEEP to (batch, tokens, dim): unit vectors, zero where not kept."""

    def __init__(self, transformer: Any, head: nn.Module, exits: Sequence[int] = ()) -> None:
        super().__init__()
        self.transformer, self.head = transformer, head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, keep: Tensor) -> Tensor:
        """The token vectors of a batch padded on the right."""
        passed = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        vectors = nn.functional.normalize(self.head(passed.last_hidden_state), p=2.0, dim=-1)
        return vectors * keep.unsqueeze(-1).to(vectors.dtype)


@dataclass(frozen=True)
class Source:
    """A loaded checkpoint, in float32 and evaluation mode."""

    transformer: Any
    head: nn.Sequential
    whole: Any
    markers: Markers | None
    max_tokens: int

    @cached_property
    def read(self) -> tuple[Tokenizer, Interaction | None]:
        """The tokenizer in its fast form, with the markers, and how queries and documents are read."""
        tokenizer = fast_tokenizer(self.whole)
        if self.markers is None:
            return tokenizer, None
        mask = self.whole.mask_token_id
        filling = mask if mask is not None else self.whole.eos_token_id
        return tokenizer, interaction_of(self.markers, tokenizer, filling, self.max_tokens)


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they do not make such an encoder."""
    source = _source(checkpoint.folder, options)
    tokenizer, interaction = source.read
    config = source.transformer.config.get_text_config()
    inputs = (*INPUTS, KEEP)
    tower = Tower(
        inputs=inputs,
        output=OUTPUT,
        pooling=POOLING,
        max_tokens=source.max_tokens,
        interaction=interaction,
        alone=options.precision == "int8",
    )
    half = Half(
        tower=tower,
        build=partial(TokenVectors, source.transformer, source.head),
        example=dict.fromkeys(inputs, torch.ones((2, 16), dtype=torch.int64)),
        axes={name: {1: "tokens"} for name in (*inputs, OUTPUT)},
        rows=partial(token_rows, interaction),
        reference=partial(_reference, source),
        probes=partial(marked, source.markers if interaction else None),
        save=lambda folder: tokenizer.save(str(folder / TOKENIZER)),
        heads=getattr(config, "num_attention_heads", 0),
        hidden=getattr(config, "hidden_size", 0),
    )
    prompts: dict[PromptName, str] = {}
    if source.markers is not None and interaction is not None:
        prompts = {"query": source.markers.query, "document": source.markers.document}
    return Loaded(
        kind="multivector",
        dim=_width(source.head),
        normalised=True,
        halves={"text": half},
        prompts=prompts,
    )


def token_rows(
    interaction: Interaction | None, folder: Path, texts: Sequence[str], tokens: int
) -> list[Arrays]:
    """Texts, marked or not, to rows as the service makes them."""
    return [token_arrays(row["input_ids"], interaction) for row in text_rows(folder, texts, tokens)]


def marked(markers: Markers | None) -> tuple[str, ...]:
    """Real texts as queries and documents, by turns."""
    texts = probe_texts()
    if markers is None:
        return texts
    return tuple(f"{markers.document if at % 2 else markers.query}{text}" for at, text in enumerate(texts))


def _source(folder: Path, options: ExportOptions) -> Source:
    small = CheckpointFiles(folder)
    home = first_folder(folder)
    markers = read_markers(small, options.overrides)
    try:
        transformer = AutoModel.from_pretrained(
            str(home), attn_implementation="eager", local_files_only=True, trust_remote_code=False
        )
        check_complete(transformer, home)
        whole = AutoTokenizer.from_pretrained(str(home), local_files_only=True, trust_remote_code=False)
        head = _head(small)
    except NestvecError:
        raise
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a late-interaction encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that colbert-ai or PyLate loads it on its own.",
        ) from error
    transformer.float().eval()
    stated = markers.document_tokens if markers is not None else None
    tokens = limited(stated, positions(transformer), options.max_tokens)
    return Source(transformer, head.float().eval(), whole, markers, tokens)


def _head(small: CheckpointFiles) -> nn.Sequential:
    """The projections behind the transformer: colbert-ir's ``linear.weight``, or PyLate's Dense modules."""
    if small.modules:
        rows = read_json(small.folder / "modules.json")[1:]
        return nn.Sequential(*(_dense(small.folder / str(row.get("path", ""))) for row in rows))
    files = sorted(small.folder.glob("*.safetensors"))
    found = {name: one for path in files for name, one in load_file(path).items() if name == "linear.weight"}
    if not found:
        raise CheckpointUnsupported(
            "the checkpoint has no projection of its token vectors",
            value="linear.weight is in none of its *.safetensors",
            next_step="Choose a checkpoint that colbert-ai or PyLate saved.",
        )
    return nn.Sequential(_linear(found["linear.weight"], None))


def _dense(folder: Path) -> nn.Module:
    config = read_json(folder / "config.json")
    activation = str(config.get("activation_function", "torch.nn.modules.linear.Identity"))
    if config.get("use_residual") or activation.rpartition(".")[2] != "Identity":
        raise CheckpointUnsupported(
            "a projection of the checkpoint's token vectors is not a plain matrix",
            value="use_residual" if config.get("use_residual") else activation,
            next_step="Choose a checkpoint whose Dense modules are linear, without residuals.",
        )
    check_safetensors(folder)
    found = load_file(folder / "model.safetensors")
    return _linear(found["linear.weight"], found.get("linear.bias"))


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    made.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return made


def _width(head: nn.Sequential) -> int:
    last = head[-1]
    assert isinstance(last, nn.Linear)  # noqa: S101 - _head makes nothing else
    return last.out_features


def _reference(source: Source, texts: Sequence[str], tokens: int) -> list[Array]:
    """The checkpoint's own token vectors, each (t, dim) float32, as ColBERT and PyLate make them.

    Their own way: the text without its marker is tokenised one token shorter, and the marker's id inserted.
    """
    return [_vectors(source, text, tokens) for text in texts]


def _vectors(source: Source, text: str, tokens: int) -> Array:
    markers, interaction = source.markers, source.read[1]
    if markers is None or interaction is None:
        ids = source.whole(text, truncation=True, max_length=tokens)["input_ids"]
        return _passed(source, ids, len(ids), np.ones(len(ids), bool))
    query = text.startswith(markers.query)
    most = interaction.query_tokens if query else tokens
    own = text.removeprefix(markers.query if query else markers.document)
    ids = source.whole(own, truncation=True, max_length=most - 1)["input_ids"]
    ids.insert(1, interaction.query_marker if query else interaction.document_marker)
    if not query:
        return _passed(source, ids, len(ids), ~np.isin(ids, interaction.skip))
    length = len(ids)
    if interaction.mask is not None:
        ids += [interaction.mask] * (most - length)
    return _passed(source, ids, len(ids) if interaction.attend else length, np.ones(len(ids), bool))


def _passed(source: Source, ids: list[int], seen: int, kept: Array) -> Array:
    given = torch.tensor([ids])
    mask = (torch.arange(len(ids)) < seen).long()[None]
    with torch.no_grad():
        hidden = source.transformer(input_ids=given, attention_mask=mask).last_hidden_state
        vectors = nn.functional.normalize(source.head(hidden)[0], dim=-1).numpy()
    found: Array = np.asarray(vectors[kept], np.float32)
    return found
