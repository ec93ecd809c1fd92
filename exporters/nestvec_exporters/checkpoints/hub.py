"""Fetch a checkpoint from Hugging Face, or from the cache if the hub is unreachable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nestvec_schemas.errors import CheckpointNotFound

HUB_TIMEOUT_SECONDS = 10.0

# Copies of the weights in other formats, which can be as large again.
IGNORED_FILES: Final = ("onnx/*", "openvino/*", "original/*", "consolidated*")


def fetch(
    name: str,
    patterns: Sequence[str],
    *,
    cache: Path | None = None,
    ignored: Sequence[str] = IGNORED_FILES,
) -> Path:
    """Download the files of a Hugging Face model that match ``patterns``, and return their folder.

    ``cache`` defaults to Hugging Face's own; files that match ``ignored`` are not downloaded. Raises
    CheckpointNotFound.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow, and only for an id

    failure = _unreachable(name)
    try:
        folder = snapshot_download(
            name,
            cache_dir=cache,
            allow_patterns=list(patterns),
            ignore_patterns=list(ignored),
            local_files_only=failure is not None,
        )
    except Exception as error:
        raise CheckpointNotFound(
            "the checkpoint is not a local folder, it cannot be downloaded, and the cache does not have it",
            value=f"{name} ({_first_line(failure or error)})",
            next_step="Check the spelling and the connection to huggingface.co, or give a local folder.",
        ) from error
    return Path(folder)


def repository_files(name: str, folder: Path) -> tuple[str, ...]:
    """The files of a Hugging Face model; of those in ``folder``, its cache, if the hub is unreachable."""
    from huggingface_hub import HfApi  # noqa: PLC0415

    try:
        siblings = HfApi().model_info(name, timeout=HUB_TIMEOUT_SECONDS).siblings or []
    except Exception:
        return tuple(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return tuple(file.rfilename for file in siblings)


def _unreachable(name: str) -> Exception | None:
    """Why the hub is unreachable, by one request: a download would retry for half a minute.

    Raises CheckpointNotFound if the hub answers that there is no such model.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415

    try:
        HfApi().model_info(name, timeout=HUB_TIMEOUT_SECONDS)
    except RepositoryNotFoundError as error:
        owner = "" if "/" in name else " with its owner (OWNER/NAME)"
        raise CheckpointNotFound(
            "Hugging Face has no such model, or you may not access it",
            value=name,
            next_step=f"Copy the id from its page{owner}; for a private or gated model, set HF_TOKEN.",
        ) from error
    except Exception as error:  # requests' or httpx's own, by the version of huggingface_hub
        return error
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
