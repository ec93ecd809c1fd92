"""jina-embeddings-v5: Qwen3 or EuroBERT with an adapter for each task, one of which is always active.

The adapter for retrieval is merged into the weights; the others become adapters of the merged weights, which
take retrieval's away again and add their own.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.native.adapters import (
    Adapter,
    adapters_in,
    check_adapter,
    declared_adapters,
    merge_adapter,
)
from nestvec_exporters.checkpoints.native.rewrite import write_configuration
from nestvec_schemas.errors import CheckpointUnsupported

MODEL_TYPE: Final = "jina_embeddings_v5"
MAIN_TASK: Final = "retrieval"
_DROPPED: Final = ("auto_map", "task_names", "model_type", "architectures")
_FAMILIES: Final = {True: ("qwen3", "Qwen3Model"), False: ("eurobert", "EuroBertModel")}
"""By whether queries are normalised in the attention, which Qwen3's are."""


def is_jina_v5(folder: Path) -> bool:
    """Whether a checkpoint is of this type, with its adapters in a folder for each task."""
    return CheckpointFiles(folder).model_type == MODEL_TYPE and bool(adapters_in(folder))


def write_jina_v5(folder: Path, target: Path) -> None:
    """Write the checkpoint for transformers' own class. Raises CheckpointUnsupported."""
    adapters = {adapter.name: adapter for adapter in adapters_in(folder)}
    missing = [task for task in declared_adapters(folder) if task not in adapters]
    if missing or MAIN_TASK not in adapters:
        raise CheckpointUnsupported(
            "the checkpoint lacks adapters of its tasks",
            value=", ".join(missing) or MAIN_TASK,
            next_step="Download the checkpoint again.",
        )
    for adapter in adapters.values():
        check_adapter(adapter)
    model_type, class_name = _FAMILIES[_has_query_norms(folder)]

    def native(config: dict[str, Any]) -> dict[str, Any]:
        fields = {name: value for name, value in config.items() if name not in _DROPPED}
        return {**fields, "model_type": model_type, "architectures": [class_name]}

    with TemporaryDirectory(prefix="nestvec-base-") as plain:
        write_configuration(folder, Path(plain), native)
        _write_differences(Path(plain), adapters, target)
        _write_merged(Path(plain), adapters[MAIN_TASK], target)


def _write_merged(plain: Path, main: Adapter, target: Path) -> None:
    skipped = shutil.ignore_patterns("*.safetensors*", "adapters")
    shutil.copytree(plain, target, ignore=skipped, dirs_exist_ok=True)
    for path in plain.rglob("*.safetensors"):  # of modules after the transformer
        place = path.relative_to(plain)
        if len(place.parts) > 1 and place.parts[0] != "adapters":
            shutil.copyfile(path, target / place)
    config = (target / "config.json").read_bytes()
    merge_adapter(_base(plain), main).save_pretrained(target)
    (target / "config.json").write_bytes(config)


def _write_differences(plain: Path, adapters: dict[str, Adapter], target: Path) -> None:
    """Write each other adapter as what it adds to the main one: both concatenated, the main one negated."""
    from peft import PeftModel  # noqa: PLC0415 - slow

    model: Any = PeftModel.from_pretrained(
        _base(plain), str(adapters[MAIN_TASK].folder), adapter_name=MAIN_TASK, local_files_only=True
    )
    for name, adapter in adapters.items():
        if name == MAIN_TASK:
            continue
        model.load_adapter(str(adapter.folder), adapter_name=name, local_files_only=True)
        combined = f"{name}-difference"
        model.add_weighted_adapter([name, MAIN_TASK], [1.0, -1.0], combined, combination_type="cat")
        model.save_pretrained(target / "saved", selected_adapters=[combined], save_embedding_layers=False)
        shutil.move(target / "saved" / combined, target / "adapters" / name)
    shutil.rmtree(target / "saved", ignore_errors=True)


def _base(plain: Path) -> Any:
    from transformers import AutoModel  # noqa: PLC0415 - slow

    return AutoModel.from_pretrained(
        str(plain), dtype="float32", local_files_only=True, trust_remote_code=False
    ).eval()


def _has_query_norms(folder: Path) -> bool:
    from safetensors import safe_open  # noqa: PLC0415 - only an export needs it

    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            names |= set(file.keys())
    return any(".q_norm." in name for name in names)
