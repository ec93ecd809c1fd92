"""Late interaction: one projected vector per token, of unit length (ColBERT, Khattab & Zaharia 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from nestvec_exporters.architectures.sentence_transformer import positions
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_safetensors
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.interaction_config import Markers, interaction_of, read_markers
from nestvec_exporters.checkpoints.layout import first_folder, read_json
from nestvec_exporters.checkpoints.max_length import max_text_tokens
from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer
from nestvec_exporters.checkpoints.weights import check_complete, missing_weights
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import marked_probe_texts, probe_texts, text_rows
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.late_interaction import KEEP_INPUT, Interaction, token_arrays
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.towers import Tower

LATE_POOLING = "tokens"
"""What a manifest calls the pooling of a tower that gives every token's vector."""


class TokenVectors(nn.Module):
    """(batch, tokens) int64 ids, mask and KEEP to (batch, tokens, dim): unit vectors, zero where not kept."""

    def __init__(self, transformer: Any, head: nn.Module) -> None:
        super().__init__()
        self.transformer, self.head = transformer, head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, keep: Tensor) -> Tensor:
        """The token vectors of a batch padded on the right."""
        passed = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        vectors = nn.functional.normalize(self.head(passed.last_hidden_state), p=2.0, dim=-1)
        return vectors * keep.unsqueeze(-1).to(vectors.dtype)


class LateInteractionTower(TextTower):
    """A transformer and the projection of its token vectors."""

    def __init__(self, model: LateInteractionModel, max_tokens: int, *, unbatched: bool) -> None:
        tokenizer, interaction = model.tokenizer_with_markers(max_tokens)
        spec = Tower(
            inputs=(*INPUTS, KEEP_INPUT),
            output=OUTPUT,
            pooling=LATE_POOLING,
            max_tokens=max_tokens,
            interaction=interaction,
            alone=unbatched,
        )
        super().__init__(spec, tokenizer)
        self.dynamic_axes = {name: {1: "tokens"} for name in (*spec.inputs, OUTPUT)}
        self.model, self.interaction = model, interaction
        config = model.transformer.config.get_text_config()
        self.heads = getattr(config, "num_attention_heads", 0)
        self.hidden = getattr(config, "hidden_size", 0)

    @property
    def markers(self) -> Markers | None:
        """What marks queries and documents; None where nothing does."""
        return self.model.markers if self.interaction else None

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """Transformer and projection."""
        return TokenVectors(self.model.transformer, self.model.head).eval()

    def rows(self, folder: Path, inputs: Sequence[str], max_tokens: int) -> list[Arrays]:
        """Texts, marked or not, to rows."""
        return token_rows(self.interaction, folder, inputs, max_tokens)

    def reference(self, inputs: Sequence[str], max_tokens: int) -> list[Array]:
        """The checkpoint's own token vectors, each (t, dim) float32, as ColBERT and PyLate make them.

        They tokenize the text without its marker, one token shorter, and insert the marker's id.
        """
        return [self._token_vectors(text, max_tokens) for text in inputs]

    def probes(self) -> Sequence[str]:
        """Real texts as queries and documents, by turns."""
        if self.markers is None:
            return probe_texts()
        return marked_probe_texts(self.markers.query, self.markers.document)

    def _token_vectors(self, text: str, max_tokens: int) -> Array:
        markers, interaction, tokenizer = self.model.markers, self.interaction, self.model.tokenizer
        if markers is None or interaction is None:
            ids = tokenizer(text, truncation=True, max_length=max_tokens)["input_ids"]
            return self._run(ids, len(ids), np.ones(len(ids), bool))
        is_query = text.startswith(markers.query)
        limit = interaction.query_tokens if is_query else max_tokens
        unmarked = text.removeprefix(markers.query if is_query else markers.document)
        ids = tokenizer(unmarked, truncation=True, max_length=limit - 1)["input_ids"]
        ids.insert(1, interaction.query_marker if is_query else interaction.document_marker)
        if not is_query:
            return self._run(ids, len(ids), ~np.isin(ids, interaction.skip))
        length = len(ids)
        if interaction.mask is not None:
            ids += [interaction.mask] * (limit - length)
        return self._run(ids, len(ids) if interaction.attend else length, np.ones(len(ids), bool))

    def _run(self, ids: list[int], attended: int, keep: Array) -> Array:
        """The vectors that are kept, of ids of which the first ``attended`` are attended to."""
        mask = (torch.arange(len(ids)) < attended).long()[None]
        with torch.no_grad():
            states = self.model.transformer(input_ids=torch.tensor([ids]), attention_mask=mask)
            projected = self.model.head(states.last_hidden_state[0])
            vectors = nn.functional.normalize(projected, dim=-1).numpy()
        return np.asarray(vectors[keep], np.float32)


@dataclass(frozen=True)
class LateInteractionModel:
    """A loaded checkpoint, in float32 and evaluation mode."""

    transformer: Any
    head: nn.Sequential
    tokenizer: Any
    markers: Markers | None

    def tokenizer_with_markers(self, max_tokens: int) -> tuple[Tokenizer, Interaction | None]:
        """The tokenizer in its fast form, with the markers, and how queries and documents are read."""
        tokenizer = fast_tokenizer(self.tokenizer)
        if self.markers is None:
            return tokenizer, None
        mask = self.tokenizer.mask_token_id
        fill_token = mask if mask is not None else self.tokenizer.eos_token_id
        return tokenizer, interaction_of(self.markers, tokenizer, fill_token, max_tokens)


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a late-interaction encoder."""
    model = _read_model(checkpoint.folder, options)
    document_tokens = model.markers.document_tokens if model.markers is not None else None
    max_tokens = max_text_tokens(document_tokens, positions(model.transformer), options.max_tokens)
    tower = LateInteractionTower(model, max_tokens, unbatched=options.precision == "int8")
    prompts: dict[PromptName, str] = {}
    if tower.markers is not None:
        prompts = {"query": tower.markers.query, "document": tower.markers.document}
    return LoadedCheckpoint(
        kind="multivector",
        dim=_width(model.head),
        normalised=True,
        towers={"text": tower},
        prompts=prompts,
    )


def token_rows(
    interaction: Interaction | None, folder: Path, texts: Sequence[str], max_tokens: int
) -> list[Arrays]:
    """Texts, marked or not, to rows as the service makes them."""
    return [token_arrays(row["input_ids"], interaction) for row in text_rows(folder, texts, max_tokens)]


def _read_model(folder: Path, options: ExportOptions) -> LateInteractionModel:
    files = CheckpointFiles(folder)
    home = first_folder(folder)
    markers = read_markers(files, options.overrides)
    try:
        transformer = AutoModel.from_pretrained(
            str(home), attn_implementation="eager", local_files_only=True, trust_remote_code=False
        )
        check_complete(missing_weights(transformer, home), ignored="pooler.")
        tokenizer = AutoTokenizer.from_pretrained(str(home), local_files_only=True, trust_remote_code=False)
        head = _head(files)
    except NestvecError:
        raise
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a late-interaction encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that colbert-ai or PyLate loads it on its own.",
        ) from error
    transformer.float().eval()
    return LateInteractionModel(transformer, head.float().eval(), tokenizer, markers)


def _head(files: CheckpointFiles) -> nn.Sequential:
    """The projections behind the transformer: colbert-ir's ``linear.weight``, or PyLate's Dense modules."""
    if files.modules:
        rows = read_json(files.folder / "modules.json")[1:]
        return nn.Sequential(*(_dense(files.folder / str(row.get("path", ""))) for row in rows))
    paths = sorted(files.folder.glob("*.safetensors"))
    projections = {
        name: tensor for path in paths for name, tensor in load_file(path).items() if name == "linear.weight"
    }
    if not projections:
        raise CheckpointUnsupported(
            "the checkpoint has no projection of its token vectors",
            value="linear.weight is in none of its *.safetensors",
            next_step="Choose a checkpoint that colbert-ai or PyLate saved.",
        )
    return nn.Sequential(_linear(projections["linear.weight"], None))


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
    tensors = load_file(folder / "model.safetensors")
    return _linear(tensors["linear.weight"], tensors.get("linear.bias"))


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return layer


def _width(head: nn.Sequential) -> int:
    last = head[-1]
    assert isinstance(last, nn.Linear)  # noqa: S101 - _head makes nothing else
    return last.out_features
