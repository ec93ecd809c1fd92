"""Texts and images in one space, as transformers' own class gives them: ``get_text_features`` and
``get_image_features``, at length 1."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
import transformers
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import OWN_ARCHITECTURES, Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.tokenizer import read_tokenizer
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.probes.text_probes import text_probe_sets
from nestvec_exporters.text_encoders.sentence_model import positions
from nestvec_exporters.verify.library_model import open_model
from nestvec_exporters.verify.prompted import encode_by_prompt
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.verify.references.dual_sentence import sentence_references
from nestvec_exporters.verify.references.vision import ImageReference
from nestvec_exporters.vision.image_tower import read_processor
from nestvec_schemas.preprocessing.collate import Array

_BLIP_RETRIEVAL: Final = "BlipForImageTextRetrieval"

_PADDED: Final = frozenset({"siglip", "siglip2"})
"""Types whose processors pad every text to the longest, and whose padding is read like words."""

_PROCESSOR_TOKENS: Final[Mapping[str, int]] = {"align": 64}
"""The longest text that a processor of transformers keeps, where the model has positions for more."""

_UNLIMITED: Final = 1 << 24


class DualTextReference(Reference):
    """``get_text_features`` at length 1, of texts as the checkpoint's own tokenizer reads them."""

    def __init__(self, library: str, model: Any, checkpoint: Checkpoint, options: ExportOptions) -> None:
        self.library, self.model = library, model
        self.tokenizer = read_tokenizer(checkpoint.folder)
        self.type = CheckpointFiles(checkpoint.folder).model_type
        self.prompts = {str(name): text for name, text in options.overrides.prompts.items()}
        self.positions = positions(model)
        own = [self.positions, _PROCESSOR_TOKENS.get(self.type), self.tokenizer.model_max_length]
        limits = [int(limit) for limit in own if limit is not None and limit < _UNLIMITED]
        self.max_tokens = options.max_tokens or min(limits, default=None)
        self.heads = getattr(model.config.text_config, "num_attention_heads", 0) or 0

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Texts of all kinds."""
        return text_probe_sets(self.prompts, max_tokens, self._count, full=full)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors, (dim,) each."""

        def vectors(texts: list[Any], name: str | None) -> list[Array]:
            prompt = prompts.get(name or "", "")
            chunks = [texts[start : start + batch] for start in range(0, len(texts), batch)]
            return [row for chunk in chunks for row in self._vectors([f"{prompt}{text}" for text in chunk])]

        return encode_by_prompt(probes, vectors)

    def _vectors(self, texts: list[str]) -> Array:
        read = self.tokenizer(texts, truncation=True, max_length=self.max_tokens)
        padded = self.type in _PADDED
        tensors = self.tokenizer.pad(
            read,
            padding="max_length" if padded else True,
            max_length=self.positions if padded else None,
            return_tensors="pt",
        )
        ids = tensors["input_ids"]
        with torch.inference_mode():
            vectors = _text_features(self.model, ids, None if padded else tensors.get("attention_mask"))
        rows: Array = nn.functional.normalize(vectors.float(), dim=1).numpy()
        return rows

    def _count(self, text: str) -> int:
        return len(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The references of both towers; none for classes that transformers lacks."""
    files = CheckpointFiles(checkpoint.folder)
    if files.modules:
        return sentence_references(checkpoint, loaded, options)
    if files.model_type in OWN_ARCHITECTURES:
        return {}
    kind: Any = (
        transformers.BlipForImageTextRetrieval if files.head == _BLIP_RETRIEVAL else transformers.AutoModel
    )
    model = open_model(kind, checkpoint.folder)
    library = f"transformers {transformers.__version__} ({type(model).__name__})"

    def image_vectors(tensors: Mapping[str, Tensor]) -> Tensor:
        return _image_features(model, tensors)

    return {
        "text": DualTextReference(library, model, checkpoint, options),
        "image": ImageReference(
            library,
            read_processor(checkpoint.folder),
            image_vectors,
            loaded.towers["image"].spec,
            normalised=True,
        ),
    }


def _text_features(model: Any, ids: Tensor, mask: Tensor | None) -> Tensor:
    if type(model).__name__ == _BLIP_RETRIEVAL:
        states = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        features: Tensor = model.text_proj(states[:, 0])
        return features
    return _features(model.get_text_features(input_ids=ids, attention_mask=mask))


def _image_features(model: Any, tensors: Mapping[str, Tensor]) -> Tensor:
    values = tensors["pixel_values"].float()
    if type(model).__name__ == _BLIP_RETRIEVAL:
        features: Tensor = model.vision_proj(model.vision_model(pixel_values=values).last_hidden_state[:, 0])
        return features
    parameters = inspect.signature(model.get_image_features).parameters
    others = {name: value for name, value in tensors.items() if name in parameters and name != "pixel_values"}
    return _features(model.get_image_features(pixel_values=values, **others))


def _features(output: Any) -> Tensor:
    """Transformers 5 answers with all that it computed, 4 with the vectors."""
    features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return features
