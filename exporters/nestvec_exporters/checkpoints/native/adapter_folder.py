"""A folder of one adapter, with or without sentence-transformers' modules beside it."""

from __future__ import annotations

from pathlib import Path

from nestvec_exporters.checkpoints.hub import fetch
from nestvec_exporters.checkpoints.layout import first_folder
from nestvec_exporters.checkpoints.native.adapters import (
    Adapter,
    base_folder,
    base_home,
    check_adapter,
    write_merged_adapter,
)
from nestvec_exporters.checkpoints.untrusted import check_files
from nestvec_schemas.errors import CheckpointUnsupported

_BASE_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")


def write_with_base(folder: Path, target: Path) -> None:
    """Write the adapter's checkpoint merged into the base that it names. Raises CheckpointUnsupported."""
    adapter = Adapter(folder.resolve().name, first_folder(folder))
    check_adapter(adapter)
    named = base_folder(adapter)
    base = Path(named) if Path(named).is_dir() else _fetched(adapter, named)
    check_files(base)
    if not any(base_home(base).glob("*.safetensors")):
        raise CheckpointUnsupported(
            f"the base of the adapter {adapter.name} has no weights in safetensors",
            value=named,
            next_step="Save it with save_pretrained(..., safe_serialization=True).",
        )
    layout = folder if (folder / "modules.json").is_file() else base
    write_merged_adapter(adapter, base, target, layout=layout)


def _fetched(adapter: Adapter, named: str) -> Path:
    if Path(named).is_absolute() or named.startswith("."):
        raise CheckpointUnsupported(
            f"the base checkpoint that the adapter {adapter.name} names does not exist",
            value=named,
            next_step="Correct base_model_name_or_path in its adapter_config.json.",
        )
    return fetch(named, _BASE_FILES)
