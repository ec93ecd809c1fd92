"""A checkpoint's adapters as peft runs them: beside the weights, not merged into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import peft

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.native.adapters import adapters_in
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.text_encoders.adapter_experts import expert_name
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.verify.references.sentence import SentenceReference
from nestvec_schemas.preprocessing.collate import Array


class AdapterReference(Reference):
    """``SentenceTransformer.encode`` with one adapter active."""

    def __init__(self, base: SentenceReference, adapted: Any, name: str) -> None:
        self.base, self.adapted, self.name = base, adapted, name
        self.library = f"{base.library} with peft {peft.__version__}"
        self.max_tokens, self.heads = base.max_tokens, base.heads

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Real texts: lengths, characters and prompts are the encoder's own, which were compared."""
        return self.base.probe_sets(max_tokens, full=False)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors, (dim,) each."""
        self.adapted.set_adapter(self.name)
        return self.base.encode(probes, batch=batch, prompts=prompts)


def adapter_references(checkpoint: Checkpoint, options: ExportOptions) -> dict[str, Reference]:
    """The reference of each adapter beside the weights, by its expert's name; all of them share one model."""
    adapters = adapters_in(checkpoint.folder)
    base = SentenceReference(checkpoint, options)
    module: Any = base.model[0]
    names = [expert_name(adapter) for adapter in adapters]
    adapted: Any = peft.PeftModel.from_pretrained(
        module.auto_model, str(adapters[0].folder), adapter_name=names[0]
    )
    for name, adapter in zip(names[1:], adapters[1:], strict=True):
        adapted.load_adapter(str(adapter.folder), adapter_name=name)
    module.model = adapted.eval()
    return {name: AdapterReference(base, adapted, name) for name in names}
