"""What is wrong with a checkpoint that a library cannot load, where the library's own words do not say it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.layout import first_folder

_MISMATCHED: Final = "ignore_mismatched_sizes"
_HIDES_TOKENIZER: Final = "Unrecognized processing class"
_MAX_BYTES: Final = 1 << 20
_MAX_SHOWN: Final = 3


def cause_of(error: BaseException, folder: Path) -> str:
    """The cause in one line, with the name of the file, key or weight that is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if _MISMATCHED in text:
        return ", ".join(_mismatched_weights(first_folder(folder))[:_MAX_SHOWN]) or text
    if isinstance(error, UnicodeDecodeError | json.JSONDecodeError):
        return f"{_unreadable_file(folder) or 'a file'} is not JSON in UTF-8: {text}"
    if _HIDES_TOKENIZER in text:
        return f"its tokenizer: {_tokenizer_error(first_folder(folder)) or text}"
    if isinstance(error, KeyError) and error.args:
        return _place_of(error.args[0], folder) or f"{error.args[0]!r} is missing or unknown"
    if text.endswith(":") and len(lines) > 1:
        return f"{text} {lines[1]}"
    return text


def _mismatched_weights(folder: Path) -> list[str]:
    """The weights of a transformers model whose shapes are not those that its configuration makes."""
    import torch  # noqa: PLC0415 - slow
    from safetensors import safe_open  # noqa: PLC0415 - slow
    from transformers import AutoConfig, AutoModel  # noqa: PLC0415 - slow

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model: Any = AutoModel.from_config(config, trust_remote_code=False)
        declared = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
        prefix = f"{getattr(model, 'base_model_prefix', '')}."
        mismatched = []
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 - no mapping
                    shape = tuple(file.get_slice(name).get_shape())
                    own = declared.get(name, declared.get(name.removeprefix(prefix), shape))
                    if own != shape:
                        mismatched.append(f"{path.name}:{name} is {_size(shape)}, not {_size(own)}")
    except Exception:  # whatever a library raises, the first error is shown
        return []
    return mismatched


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _small_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*.json")):
        if path.is_file() and path.stat().st_size <= _MAX_BYTES:
            yield path.relative_to(folder).as_posix(), path


def _unreadable_file(folder: Path) -> str | None:
    for name, path in _small_files(folder):
        try:
            json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError):
            return name
    return None


def _tokenizer_error(folder: Path) -> str | None:
    """What transformers says of the tokenizer alone: sentence-transformers' processors hide it."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - slow

    try:
        AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a library raises anything on a damaged file
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None


def _place_of(value: object, folder: Path) -> str | None:
    """The file and key whose value a library does not know."""
    for name, path in _small_files(folder):
        try:
            content = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError):
            continue
        key = next((key for key, own in _leaves(content) if isinstance(value, str) and own == value), None)
        if key is not None and path.name.endswith("config.json"):
            return f"{name}:{key} = {value!r} is not known to the library"
    return None


def _leaves(content: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(content, dict):
        for name, inner in content.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, content
