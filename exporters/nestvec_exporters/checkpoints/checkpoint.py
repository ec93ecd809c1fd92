"""Which checkpoints can be exported, told from their small files: nothing here loads a weight."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from nestvec_exporters.checkpoints.files import WEIGHTS, WORD_FILES
from nestvec_exporters.checkpoints.hub import fetch
from nestvec_exporters.checkpoints.kinds import SENTENCE, TEXT, Architecture, identify
from nestvec_exporters.checkpoints.layout import (
    Module,
    first_folder,
    home_of,
    read_config,
    read_json,
    read_modules,
)
from nestvec_exporters.checkpoints.timm_config import check_timm, is_timm
from nestvec_schemas.errors import CheckpointNotFound, CheckpointUnsupported, nearest

SMALL = ("*.json", "*.txt", "*.model", "*.jinja", "artifact.metadata")
ADAPTED = "nestvec_adapt.json"
"""What ``nestvec adapt`` leaves in a checkpoint that it made."""

OURS: Final = {
    "efficientnet_lite": "nestvec_exporters.vision.efficientnet_lite",
    "nestvec-pooled-dual": "nestvec_exporters.vision.pooled_dual",
}
"""Architectures that transformers lacks, by type: the module that it learns each from."""

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "*.model")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_WITH_WEIGHTS = ("Transformer", "Dense", "LayerNorm")
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk. ``source`` is what a manifest calls it: its id, or its folder's or file's name.

    ``folder`` is a file where the checkpoint is one: word vectors.
    ``architecture`` is the row of ``architectures.table`` that it fits.
    """

    folder: Path
    source: str
    architecture: str = SENTENCE

    @property
    def trained(self) -> bool:
        """Whether ``nestvec adapt`` made it nested."""
        return (self.folder / ADAPTED).is_file()


def read_checkpoint(given: str) -> Checkpoint:
    """Find a local folder or file or fetch a Hugging Face id, and check that it can be exported.

    Raises CheckpointNotFound and CheckpointUnsupported.
    """
    path = Path(os.path.expanduser(given))  # noqa: PTH111 - pathlib's raises on a user it does not know
    if given and path.is_dir():
        row = identify(path)
        _check(row, path)
        return Checkpoint(path.resolve(), path.resolve().name, row.name)
    if given and path.is_file() and path.suffix in WORD_FILES:
        return Checkpoint(path.resolve(), path.name, identify(path).name)
    if given and path.exists():
        raise CheckpointNotFound(
            f"a checkpoint is a folder, or a file of word vectors ({', '.join(WORD_FILES)}), "
            "and this is another file",
            value=given,
            next_step="Name the folder that holds config.json and the weights; unpack what is packed.",
        )
    if not _HUB_ID.fullmatch(given):
        raise CheckpointNotFound(
            "there is no such folder, and a Hugging Face id is written OWNER/NAME",
            value=given,
            next_step=f"Correct the path.{nearest(path.name, _neighbours(path))}",
        )
    folder = fetch(given, SMALL)
    row = identify(folder)
    if row.name in TEXT:
        check_architecture(folder)
        check_code(folder)
    folder = fetch(given, (*SMALL, *row.weights))
    _check(row, folder)
    return Checkpoint(folder, given, row.name)


def _check(row: Architecture, folder: Path) -> None:
    """Raise CheckpointUnsupported unless the small files are right, and the weights safetensors."""
    if row.name in TEXT:
        check_architecture(folder)
        check_weights(folder)
        return
    if row.lies == "own":
        return
    if row.lies == "transformers":
        check_code(folder, first_folder(folder))
    check_safetensors(first_folder(folder))


def check_architecture(folder: Path) -> None:
    """Raise CheckpointUnsupported or CheckpointNotFound unless the small files identify of a text encoder."""
    modules = read_modules(folder)
    for module in modules:
        if module.kind == "Dense":
            _check_activation(module)
    home = home_of(folder)
    config = read_config(home)
    if not any(_matching(home, _TOKENIZERS)) and not any(_matching(folder, _TOKENIZERS)):
        raise CheckpointUnsupported(
            "the checkpoint has no tokenizer, so it cannot take text",
            value=config.get("model_type", "unknown model type"),
            next_step=f"Put its tokenizer files beside it (one of {', '.join(_TOKENIZERS)}), "
            "or choose a text encoder.",
        )


def check_code(folder: Path, home: Path | None = None) -> None:
    """Raise CheckpointUnsupported unless transformers knows the architecture itself, or learns it from one
    of OURS, which this imports. Takes seconds.

    ``home`` is where its ``config.json`` is, else where ``modules.json`` says.
    """
    from transformers import CONFIG_MAPPING  # noqa: PLC0415 - slow

    known = [*CONFIG_MAPPING.keys(), *OURS]
    config = read_config(home or home_of(folder))
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in OURS:
        import_module(OURS[kind])
        return
    if kind in known:
        return
    if is_timm(config):
        check_timm(config.get("architecture", "no architecture named"))
        return
    if config.get("auto_map"):
        raise CheckpointUnsupported(
            "the checkpoint demands trust_remote_code, and nestvec runs no code of a checkpoint",
            value=kind or "no model_type",
            next_step="Choose a checkpoint whose architecture transformers has itself.",
        )
    raise CheckpointUnsupported(
        "the installed transformers does not know this architecture",
        value=kind or "no model_type in config.json",
        next_step=f"Upgrade transformers, or correct model_type.{nearest(str(kind), known)}",
    )


def check_weights(folder: Path) -> None:
    """Raise CheckpointUnsupported unless every module's weights are whole safetensors files.

    Pickled weights are refused: unpickling runs whatever code the file holds.
    """
    modules = read_modules(folder) or (Module("Transformer", folder),)
    for module in modules:
        if module.kind in _WITH_WEIGHTS:
            check_safetensors(module.folder)


def check_safetensors(folder: Path) -> None:
    """Raise CheckpointUnsupported unless a folder has weights in whole safetensors files."""
    files = sorted(_matching(folder, WEIGHTS))
    if not files:
        pickles = sorted(path.name for path in _matching(folder, _PICKLES))
        raise CheckpointUnsupported(
            "the checkpoint has no weights in safetensors"
            + (", and pickled weights can run code when they are read" if pickles else ""),
            value=", ".join(pickles) or folder.name,
            next_step="Save it with save_pretrained(..., safe_serialization=True), or choose a revision "
            "that has *.safetensors.",
        )
    for path in files:
        _check_safetensors(path)


def _check_activation(module: Module) -> None:
    path = module.folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    activation = config.get("activation_function", "torch.") if isinstance(config, dict) else None
    if not isinstance(activation, str) or not activation.startswith("torch."):
        # sentence-transformers would put Tanh in its place and only log it.
        raise CheckpointUnsupported(
            "a Dense module has an activation that is not torch's",
            value=activation,
            next_step="Choose a checkpoint with an activation of torch.nn.",
        )


def _check_safetensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - only an export needs it

    with path.open("rb") as file:
        start = file.read(len(_LFS))
    if start == _LFS:
        raise CheckpointUnsupported(
            "the weights are a Git LFS pointer, not the weights",
            value=path.name,
            next_step="Run git lfs pull in the checkpoint's folder.",
        )
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise CheckpointUnsupported(
            f"{path.name} is damaged", value=str(error), next_step="Download the checkpoint again."
        ) from error


def _matching(folder: Path, patterns: Iterable[str]) -> set[Path]:
    return {path for pattern in patterns for path in folder.glob(pattern)}


def _neighbours(path: Path) -> list[str]:
    return [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
