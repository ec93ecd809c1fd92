"""Settings by which a checkpoint's small files choose code, or files, beyond the checkpoint's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from nestvec_exporters.checkpoints.layout import read_json
from nestvec_schemas.errors import CheckpointUnsupported

_KEYWORD_GROUPS: Final = (
    ("model_kwargs", "model_args"),
    ("processor_kwargs", "tokenizer_args", "tokenizer_kwargs"),
    ("config_kwargs", "config_args"),
)
"""Arguments of ``from_pretrained`` in ``sentence_bert_config.json``, by sentence-transformers' names."""

_CHOOSES_FILES: Final = frozenset(
    {"adapter_kwargs", "adapter_name", "cache_dir", "code_revision", "config", "custom_generate", "gguf_file"}
    | {"force_download", "local_files_only", "mirror", "name_or_path", "offload_folder", "proxies"}
    | {"merges_file", "processor_name_or_path", "pretrained_model_name_or_path", "revision", "state_dict"}
    | {"subfolder", "token", "tokenizer_file", "tokenizer_name_or_path", "use_auth_token", "vocab_file"}
)
_CHOOSES_CODE: Final = frozenset(
    {"allow_all_kernels", "distributed_config", "kernel_config", "quantization_config", "use_kernels"}
    | {"load_in_4bit", "load_in_8bit", "tp_plan", "device_mesh"}
)
_IMPLEMENTATIONS: Final = re.compile(r"_?(?:attn|experts)_implementation(?:_internal)?")
_OWN_WEIGHTS: Final = re.compile(r"[\w.-]+\.safetensors(?:\.index\.json)?")
_LIBRARIES: Final = ("transformers", "sentence_transformers")
_SENTENCE_CONFIG: Final = re.compile(r"sentence_[\w-]+_config\.json")
_MAX_DEPTH: Final = 64


def check_settings(folder: Path) -> None:
    """Raise CheckpointUnsupported if a configuration at any depth of a checkpoint chooses code or files that
    are not the checkpoint's own."""
    if folder.is_file():
        return
    for path in sorted(folder.rglob("*.json")):
        if not path.is_file():
            continue
        if path.name == "config.json" or _SENTENCE_CONFIG.fullmatch(path.name):
            content = read_json(path)
            check = _check_config if path.name == "config.json" else _check_sentence_config
            check(content if isinstance(content, dict) else {}, path)
        elif path.name == "adapter_config.json":
            content = read_json(path)
            _check_adapter(content if isinstance(content, dict) else {}, path)


def _check_config(content: dict[str, Any], path: Path) -> None:
    for name, value in _nested(content):
        if _IMPLEMENTATIONS.fullmatch(name):
            _check_implementation(value, path)
    if content.get("quantization_config"):
        method = content["quantization_config"]
        raise CheckpointUnsupported(
            "the checkpoint's weights are quantised, which needs a library of its own to run",
            value=method.get("quant_method", method) if isinstance(method, dict) else method,
            next_step="Choose the checkpoint that it was made from; --precision int8 quantises that.",
        )
    weights = content.get("transformers_weights")
    if weights and not (isinstance(weights, str) and _OWN_WEIGHTS.fullmatch(weights)):
        raise CheckpointUnsupported(
            "config.json names weights that are not a safetensors file of the checkpoint",
            value=f"transformers_weights: {weights}",
            next_step="Remove the setting, or save the weights as model.safetensors.",
        )


def _check_sentence_config(content: dict[str, Any], path: Path) -> None:
    groups = [content.get(name) for names in _KEYWORD_GROUPS for name in names]
    for group in (content, *groups):
        for name, value in (group if isinstance(group, dict) else {}).items():
            if name in _CHOOSES_CODE and value:
                raise _refused(path, "chooses code that is not the checkpoint's own", f"{name}: {value}")
            if name in _CHOOSES_FILES and not _is_own(value):
                raise _refused(path, "chooses files that are not the checkpoint's own", f"{name}: {value}")
            if _IMPLEMENTATIONS.fullmatch(name):
                _check_implementation(value, path)


def _check_implementation(value: Any, path: Path) -> None:
    """Implementations are names; one with a repository in it is downloaded and run."""
    names = value.values() if isinstance(value, dict) else [value]
    for name in names:
        if isinstance(name, str) and not re.fullmatch(r"[\w|-]+", name):
            raise _refused(path, "names an attention whose code would be downloaded", name)


def _check_adapter(content: dict[str, Any], path: Path) -> None:
    mapping = content.get("auto_mapping")
    library = str(mapping.get("parent_library") or "") if isinstance(mapping, dict) else ""
    if library and library.partition(".")[0] not in _LIBRARIES:
        raise _refused(path, "names a class that is not from transformers", f"parent_library: {library}")
    base = PurePosixPath(str(content.get("base_model_name_or_path") or "").replace("\\", "/"))
    if ".." in base.parts:
        raise _refused(path, "names a base checkpoint outside its folder", base)


def _is_own(value: Any) -> bool:
    """Whether a setting leaves the choice open, or names a file below the checkpoint's folder."""
    if value is None or value is False or value == "":
        return True
    parts = PurePosixPath(str(value).replace("\\", "/"))
    return (
        isinstance(value, str)
        and not parts.is_absolute()
        and len(parts.parts) == 1
        and ".." not in parts.parts
    )


def _nested(content: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(content, dict):
        for name, value in content.items():
            yield str(name), value
            yield from _nested(value, depth + 1)
    elif isinstance(content, list):
        for item in content:
            yield from _nested(item, depth + 1)


def _refused(path: Path, does: str, value: object) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"{path.name} {does}",
        value=value,
        next_step="Remove the setting if the checkpoint does not need it, or choose another checkpoint.",
    )
