"""What a cross-encoder's checkpoint says of its scores."""

from __future__ import annotations

from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.towers import Activation

CROSS_CONFIG: Final = "config_sentence_transformers.json"

_ACTIVATIONS: dict[str, Activation] = {"Sigmoid": "sigmoid", "Identity": "identity"}


def activation_of(small: CheckpointFiles) -> Activation:
    """What sentence-transformers' CrossEncoder makes of the logit: its default is a sigmoid.

    Named in its own config, in ``config.json`` as version 4 wrote it, or as version 3 did.
    Raises CheckpointUnsupported for another function.
    """
    nested: Any = small.config.get("sentence_transformers")
    named = (
        small.json(CROSS_CONFIG).get("activation_fn")
        or (nested.get("activation_fn") if isinstance(nested, dict) else None)
        or small.config.get("sbert_ce_default_activation_function")
        or "torch.nn.modules.activation.Sigmoid"
    )
    package, _, name = str(named).rpartition(".")
    if package.partition(".")[0] != "torch" or name not in _ACTIVATIONS:
        raise CheckpointUnsupported(
            "the cross-encoder makes its scores with another function than a sigmoid or none",
            value=named,
            next_step=f"Choose a checkpoint with one of torch.nn's {', '.join(_ACTIVATIONS)}.",
        )
    return _ACTIVATIONS[name]
