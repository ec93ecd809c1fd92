"""Messages as transformers' own class of a vision-language checkpoint reads them: chat template, image
processor, tokenizer, and the last token's vector."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from nestvec_exporters.checkpoints.chat_template import message_settings
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.tokenizer import read_tokenizer
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.image_probes import message_probe_sets
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.verify.image_processor import processed, upright_rgb
from nestvec_exporters.verify.library_model import open_model
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.vision.image_tower import read_processor
from nestvec_schemas.preprocessing.collate import Array

_TEMPLATE_FILES = ("chat_template.json", "processor_config.json")


class MessageReference(Reference):
    """The last token's vector at length 1, one message at a time.

    An image is first resized to the one size that the export takes, by Pillow.
    """

    def __init__(self, checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions) -> None:
        folder = checkpoint.folder
        self.model = open_model(transformers.AutoModel, folder)
        self.library = f"transformers {transformers.__version__} ({type(self.model).__name__})"
        self.tokenizer, self.processor = read_tokenizer(folder), read_processor(folder)
        self.template = self.tokenizer.chat_template or _template(folder)
        self.settings = message_settings(folder)
        transform = loaded.towers["text"].spec.image_transform
        self.size = None if transform is None else (transform.width, transform.height)
        self.prompts = {str(name): text for name, text in options.overrides.prompts.items()}
        self.image_token = self.tokenizer.convert_ids_to_tokens(self.model.config.image_token_id)

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Messages of all kinds."""
        return message_probe_sets(tuple(self.prompts), full=full)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors, (dim,) each; a prompt is the instruction before the text."""
        return [self._vector(*_parts(probe.value), prompts.get(probe.prompt or "", "")) for probe in probes]

    def _vector(self, image: Image.Image | None, text: str, instruction: str) -> Array:
        parts = [*([{"type": "image"}] if image else []), {"type": "text", "text": f"{instruction}{text}"}]
        message = self.tokenizer.apply_chat_template(
            self.settings.messages(parts),
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=self.settings.generation_prompt,
        )
        tensors = {} if image is None else self._pixels(image)
        message = message.replace(self.image_token, self.image_token * self._count(tensors))
        begins = self.tokenizer.bos_token is not None and message.startswith(self.tokenizer.bos_token)
        ids = self.tokenizer(message, return_tensors="pt", add_special_tokens=not begins)["input_ids"]
        if image is not None and "mm_token_type_ids" in inspect.signature(self.model.forward).parameters:
            tensors["mm_token_type_ids"] = (ids == self.model.config.image_token_id).int()
        with torch.inference_mode():
            output = self.model(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **tensors
            )
        last: Tensor = nn.functional.normalize(output.last_hidden_state[:, -1].float(), dim=1)
        return np.asarray(last[0].numpy(), np.float32)

    def _pixels(self, image: Image.Image) -> dict[str, Tensor]:
        upright = upright_rgb(image)
        if "image_grid_thw" in self.processor.model_input_names and self.size is not None:
            # Its processor keeps an image's shape.
            upright = upright.resize(self.size, Image.Resampling(self.processor.resample))
        return processed(self.processor, [upright])

    def _count(self, tensors: Mapping[str, Tensor]) -> int:
        """How many tokens stand for an image, as the processors of transformers count them."""
        grid = tensors.get("image_grid_thw")
        if grid is not None:
            return int(grid.prod()) // int(self.processor.merge_size) ** 2
        if not tensors:
            return 1
        config: Any = self.model.config
        height, width = tensors["pixel_values"].shape[-2:]
        patches: int = (height // config.vision_config.patch_size) * (
            width // config.vision_config.patch_size
        )
        return patches + (0 if config.vision_feature_select_strategy == "default" else 1)


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The reference of messages; a layout of one's own, or none in the checkpoint, has none."""
    templated = read_tokenizer(checkpoint.folder).chat_template or _template(checkpoint.folder)
    if options.overrides.layout is not None or not templated:
        return {}
    return {"text": MessageReference(checkpoint, loaded, options)}


def _parts(value: Any) -> tuple[Image.Image | None, str]:
    """A message's image and text."""
    if isinstance(value, str):
        return None, value
    return (value[0], value[1]) if isinstance(value, tuple) else (value, "")


def _template(folder: Path) -> str | None:
    files = CheckpointFiles(folder)
    return next((text for name in _TEMPLATE_FILES if (text := files.json(name).get("chat_template"))), None)
