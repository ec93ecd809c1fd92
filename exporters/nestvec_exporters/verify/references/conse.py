"""Images in a text encoder's space: by transformers' classifier and the reference of the texts (ConSE), or by
the reference of the encoder of texts and images whose images they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import transformers
from torch import Tensor

from nestvec_exporters.checkpoints.checkpoint import OWN_ARCHITECTURES, read_checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.conse import LIKELIEST, TEMPLATE
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.probe import Probe
from nestvec_exporters.verify.library_model import open_model
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.verify.references.tower import TowerReference
from nestvec_exporters.verify.references.vision import ImageReference
from nestvec_exporters.vision.image_tower import read_processor

_DOCUMENT = "document"


def open_image_reference(loaded: LoadedCheckpoint, texts: Reference, options: ExportOptions) -> Reference:
    """The reference of the images; none for classes that transformers lacks."""
    image = read_checkpoint(str(options.overrides.image_checkpoint))
    if image.architecture == "dual":
        from nestvec_exporters.verify.references import dual  # noqa: PLC0415 - only where it is one

        return dual.open_references(image, loaded, options)["image"]
    if CheckpointFiles(image.folder).model_type in OWN_ARCHITECTURES or not texts.independent:
        return TowerReference(loaded, "image")
    model = open_model(transformers.AutoModelForImageClassification, image.folder)
    prompts = {str(name): text for name, text in loaded.prompts.items()}
    prompt = _DOCUMENT if prompts.get(_DOCUMENT) else None
    names = [str(model.config.id2label[number]).strip() for number in range(model.config.num_labels)]
    probes = [Probe(TEMPLATE.format(name), prompt=prompt) for name in names]
    classes = torch.stack([torch.from_numpy(row) for row in texts.encode(probes, batch=32, prompts=prompts)])
    classes = classes / classes.norm(dim=1, keepdim=True)

    def vectors(tensors: Mapping[str, Tensor]) -> Tensor:
        chances = model(pixel_values=tensors["pixel_values"].float()).logits.softmax(dim=1)
        best = chances.topk(min(LIKELIEST, len(names)), dim=1)
        likeliest = torch.zeros_like(chances).scatter(1, best.indices, best.values)
        images: Tensor = likeliest @ classes
        return images

    library = f"transformers {transformers.__version__} ({type(model).__name__})"
    spec = loaded.towers["image"].spec
    return ImageReference(library, read_processor(image.folder), vectors, spec, normalised=True)
