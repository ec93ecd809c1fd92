"""The activation of a cross-encoder's scores."""

from __future__ import annotations

from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.towers import Activation

CROSS_CONFIG: Final = "config_sentence_transformers.json"

_ACTIVATIONS: dict[str, Activation] = {"Sigmoid": "sigmoid", "Identity": "identity"}


def activation_of(files: CheckpointFiles) -> Activation:
    """What sentence-transformers' CrossEncoder applies to the logit; its default is a sigmoid.

    Declared in its own configuration, or in ``config.json`` by versions 4 and 3. Raises
    CheckpointUnsupported for another function.
    """
    nested: Any = files.config.get("sentence_transformers")
    named = (
        files.json(CROSS_CONFIG).get("activation_fn")
        or (nested.get("activation_fn") if isinstance(nested, dict) else None)
        or files.config.get("sbert_ce_default_activation_function")
        or "torch.nn.modules.activation.Sigmoid"
    )
    package, _, name = str(named).rpartition(".")
    if package.partition(".")[0] != "torch" or name not in _ACTIVATIONS:
        raise CheckpointUnsupported(
            "the cross-encoder's activation is neither a sigmoid nor the identity",
            value=named,
            next_step=f"Choose a checkpoint with one of these of torch.nn: {', '.join(_ACTIVATIONS)}.",
        )
    return _ACTIVATIONS[name]
