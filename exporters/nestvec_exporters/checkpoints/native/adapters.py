"""PEFT adapters: small sets of weights beside a base checkpoint, merged into it by peft itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import first_folder, read_json
from nestvec_exporters.checkpoints.loading_causes import cause_of
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_schemas.errors import CheckpointUnsupported

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"

ADAPTER_TYPES: Final = ("LORA", "LOHA", "LOKR", "IA3")
"""Kinds of adapters that are part of a weight matrix once they are merged."""

_ADAPTER_FOLDERS: Final = ("*", "adapters/*")
"""Where a checkpoint keeps several adapters: a folder for each, as peft saves them, or below one of them."""

_TASK_CLASSES: Final = {
    "FEATURE_EXTRACTION": "AutoModel",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "CAUSAL_LM": "AutoModelForCausalLM",
}
"""The class that an adapter of a task was trained in."""

_CLASSIFIERS: Final = ("score.weight", "classifier.weight", "classifier.out_proj.weight")
"""Ends of the names of a classifier's last weights."""

_WEIGHT_FILES: Final = (
    "*.safetensors",
    "*.bin",
    "*.index.json",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.h5",
    "*.msgpack",
)
_TOKENIZER_FILES: Final = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model")
_MAX_SHOWN: Final = 3


@dataclass(frozen=True)
class Adapter:
    """An adapter on disk."""

    name: str
    """What a request calls it."""

    folder: Path
    """The folder of its ``adapter_config.json``."""

    @property
    def config(self) -> dict[str, Any]:
        """Its ``adapter_config.json``."""
        return CheckpointFiles(self.folder).json(ADAPTER_CONFIG)

    @property
    def base(self) -> str:
        """The base checkpoint that it names: a folder or a Hugging Face id; empty if it names none."""
        return str(self.config.get("base_model_name_or_path") or "")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds one adapter: transformers then reads the base that it names."""
    return (first_folder(folder) / ADAPTER_CONFIG).is_file()


def adapters_in(folder: Path) -> tuple[Adapter, ...]:
    """The adapters in folders below a checkpoint, by the names of their folders; empty if there are none."""
    places = sorted(
        {path.parent for part in _ADAPTER_FOLDERS for path in folder.glob(f"{part}/{ADAPTER_CONFIG}")}
    )
    return tuple(Adapter(place.name, place) for place in places)


def check_adapter(adapter: Adapter) -> None:
    """Raise CheckpointUnsupported unless the adapter can be merged and its weights are safetensors."""
    kind = adapter.config.get("peft_type")
    if kind not in ADAPTER_TYPES or adapter.config.get("alora_invocation_tokens"):
        raise CheckpointUnsupported(
            f"the adapter {adapter.name} is of a kind that cannot be merged into its base",
            value="activated LoRA" if kind in ADAPTER_TYPES else kind,
            next_step=f"Choose an adapter of one of these kinds: {', '.join(ADAPTER_TYPES)}.",
        )
    if not (adapter.folder / ADAPTER_WEIGHTS).is_file():
        raise CheckpointUnsupported(
            f"the adapter {adapter.name} has no weights in safetensors",
            value=", ".join(sorted(path.name for path in adapter.folder.glob("adapter_model.*")))
            or adapter.folder.name,
            next_step="Save it again with save_pretrained(..., safe_serialization=True).",
        )


def base_folder(adapter: Adapter) -> str:
    """The base checkpoint of an adapter: the folder that it names, or the Hugging Face id.

    A folder is named absolutely, or relative to the adapter's folder. Raises CheckpointUnsupported if the
    adapter names none.
    """
    named = adapter.base
    if not named:
        raise CheckpointUnsupported(
            f"the adapter {adapter.name} does not name its base checkpoint",
            value=f"{ADAPTER_CONFIG} without base_model_name_or_path",
            next_step="Write the folder of its base there.",
        )
    if not Path(named).is_absolute() and (adapter.folder / named).is_dir():
        return str((adapter.folder / named).resolve())
    return named


def merge_adapter(model: Any, adapter: Adapter) -> Any:
    """The model of transformers with the adapter merged into its weights; the model itself is used up.

    Raises CheckpointUnsupported unless every weight of the adapter belongs to the model, and none is missing.
    """
    from peft import PeftConfig, get_peft_model  # noqa: PLC0415 - slow

    check_adapter(adapter)
    try:
        config = PeftConfig.from_pretrained(str(adapter.folder), local_files_only=True)
        config.inference_mode = True
        wrapped: Any = get_peft_model(model, config)
        result = wrapped.load_adapter(str(adapter.folder), "default", local_files_only=True)
        merged = wrapped.merge_and_unload(safe_merge=True)
    except Exception as error:
        raise _not_merged(adapter, cause_of(error, adapter.folder)) from error
    strange = [*result.unexpected_keys, *result.missing_keys]
    if strange:
        more = f" and {len(strange) - _MAX_SHOWN} more" if len(strange) > _MAX_SHOWN else ""
        raise _not_merged(adapter, ", ".join(strange[:_MAX_SHOWN]) + more)
    return merged.eval()


def write_merged_adapter(adapter: Adapter, base: Path, target: Path, *, layout: Path | None = None) -> Path:
    """Write a checkpoint with the adapter merged into ``base`` to ``target``, in float32; return its path.

    ``layout`` is the folder whose modules, prompts and settings the checkpoint gets: by default the
    adapter's, if it has a ``modules.json``, otherwise the base's. The tokenizer is the adapter's, if it has
    one. Raises CheckpointUnsupported.
    """
    own_layout = (adapter.folder / "modules.json").is_file()
    layout = layout or (adapter.folder if own_layout else base)
    home = target / first_folder(layout).relative_to(layout)
    _copy_layout(layout, target, base)
    home.mkdir(parents=True, exist_ok=True)
    _copy(base_home(base), home, ("config.json", *_TOKENIZER_FILES))
    _copy(adapter.folder, home, _TOKENIZER_FILES)
    with quiet(), _plain(base_home(base)) as plain:
        merge_adapter(_load(adapter, plain), adapter).save_pretrained(home)
    return target


@contextmanager
def _plain(home: Path) -> Iterator[Path]:
    """A base's transformer without adapters beside it, which transformers would load along with it."""
    if not (home / ADAPTER_CONFIG).is_file():
        yield home
        return
    with TemporaryDirectory(prefix="nestvec-base-") as folder:
        for path in home.iterdir():
            if path.is_file() and not path.name.startswith("adapter_"):
                Path(folder, path.name).symlink_to(path.resolve())
        yield Path(folder)


def base_home(base: Path) -> Path:
    """The folder of a base checkpoint's transformer."""
    return first_folder(base)


def _load(adapter: Adapter, home: Path) -> Any:
    """The base model in the class that the adapter was trained in."""
    import transformers  # noqa: PLC0415 - slow

    task = _TASK_CLASSES.get(str(adapter.config.get("task_type")), "AutoModel")
    labels = _labels(adapter) if task == "AutoModelForSequenceClassification" else None
    try:
        model = getattr(transformers, task).from_pretrained(
            str(home),
            dtype="float32",
            local_files_only=True,
            trust_remote_code=False,
            **({} if labels is None else {"num_labels": labels}),
        )
    except Exception as error:
        raise _not_merged(adapter, cause_of(error, adapter.folder)) from error
    return model.float().eval()


def _labels(adapter: Adapter) -> int | None:
    """The number of labels of the classifier that an adapter brings; None if it brings none."""
    from safetensors import safe_open  # noqa: PLC0415 - only an export needs it

    with safe_open(adapter.folder / ADAPTER_WEIGHTS, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            if name.endswith(_CLASSIFIERS):
                return int(file.get_slice(name).get_shape()[0])
    return None


def _copy_layout(layout: Path, target: Path, base: Path) -> None:
    """Copy everything but the transformer's weights, adapters, graphs, and a base inside."""
    home = first_folder(layout)

    def skipped(folder: str, names: list[str]) -> set[str]:
        place = Path(folder)
        leave = {
            name
            for name in names
            if (place / name / ADAPTER_CONFIG).is_file()
            or name in ("adapters", "onnx")
            or (place / name).resolve() == base.resolve()
        }
        if place.resolve() == home.resolve():
            leave |= {path.name for part in (*_WEIGHT_FILES, "adapter_*") for path in place.glob(part)}
        return leave

    shutil.copytree(layout, target, ignore=skipped, dirs_exist_ok=True)


def _copy(source: Path, target: Path, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for path in source.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, target / path.name)


def declared_adapters(folder: Path) -> tuple[str, ...]:
    """The names in a checkpoint's ``task_names``, in its order; empty if it declares none."""
    names = (
        read_json(folder / "config.json").get("task_names") if (folder / "config.json").is_file() else None
    )
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _not_merged(adapter: Adapter, value: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"the adapter {adapter.name} cannot be merged into its base",
        value=value,
        next_step="Check that peft loads it onto its base, and that base_model_name_or_path in its "
        f"{ADAPTER_CONFIG} is the right one.",
    )
