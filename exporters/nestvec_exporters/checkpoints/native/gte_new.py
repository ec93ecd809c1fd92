"""Alibaba's NewModel (gte-multilingual, gte-en-v1.5, arctic-embed-m-v2.0) as transformers' GteModel.

transformers reads its weights, but not its configuration's names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.native.rewrite import write_configuration
from nestvec_schemas.errors import CheckpointUnsupported

MODEL_TYPES: Final = ("new", "gte")
"""Snowflake publishes the same code under the second name, which transformers' own class has."""

_OWN_KEYS: Final = ("pack_qkv", "layer_norm_type", "logn_attention_scale")
_CLASSES: Final = ("NewModel", "GteModel")
_FIXED: Final[Mapping[str, tuple[Any, ...]]] = {
    "layer_norm_type": ("layer_norm", None),
    "logn_attention_scale": (False, None),
    "pack_qkv": (True, None),
    "position_embedding_type": ("rope", None),
}
"""Keys by which that code computes something else, with the values that transformers' class computes."""

_SPEED: Final = ("unpad_inputs", "use_memory_efficient_attention", "logn_attention_clip1")
_DROPPED: Final = ("auto_map", "architectures", "model_type", "rope_theta", "rope_scaling", *_FIXED, *_SPEED)


def is_gte_new(folder: Path) -> bool:
    """Whether a checkpoint is of this class: not one of its heads, and not saved by transformers' own."""
    files = CheckpointFiles(folder)
    return (
        files.model_type in MODEL_TYPES
        and files.head in _CLASSES
        and any(key in files.config for key in _OWN_KEYS)
    )


def write_gte_new(folder: Path, target: Path) -> None:
    """Write the checkpoint for transformers' GteModel. Raises CheckpointUnsupported."""
    write_configuration(folder, target, _native)


def _native(config: dict[str, Any]) -> dict[str, Any]:
    for key, values in _FIXED.items():
        if config.get(key) not in values:
            raise CheckpointUnsupported(
                f"transformers' GteModel does not compute what config.json declares by {key}",
                value=config[key],
                next_step="Choose a checkpoint like Alibaba-NLP/gte-multilingual-base, or export it with "
                "--trust-remote-code.",
            )
    same = {name: value for name, value in config.items() if name not in _DROPPED}
    return {**same, "model_type": "gte", "architectures": ["GteModel"], "rope_parameters": _rope(config)}


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary positions in transformers' names.

    That code's NTK scaling (Su 2023, kexue.fm/archives/9706) multiplies the base by the factor, and divides
    all frequencies by factor^(2 / width of a head).
    """
    theta = float(config.get("rope_theta", 10_000))
    scaling = config.get("rope_scaling")
    if not scaling:
        return {"rope_type": "default", "rope_theta": theta}
    factor = scaling.get("factor")
    plain = set(scaling) <= {"type", "factor", "mixed_b"} and scaling.get("mixed_b") is None
    if scaling.get("type") != "ntk" or not plain or not isinstance(factor, int | float):
        raise CheckpointUnsupported(
            "transformers' GteModel does not scale positions as config.json declares",
            value=scaling,
            next_step="Choose a checkpoint whose rope_scaling is of type ntk with a factor, or has none.",
        )
    head = config["hidden_size"] // config["num_attention_heads"]
    return {"rope_type": "linear", "rope_theta": theta * factor, "factor": factor ** (2 / head)}
