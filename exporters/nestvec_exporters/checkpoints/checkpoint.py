"""Find a checkpoint, and check that it can be exported. Nothing here loads weights."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from nestvec_exporters.checkpoints.files import WEIGHTS, WORD_FILES, CheckpointFiles, choose_graph
from nestvec_exporters.checkpoints.hub import IGNORED_FILES, fetch, repository_files
from nestvec_exporters.checkpoints.kinds import (
    LATE_INTERACTION,
    READY,
    SENTENCE,
    SENTENCE_TRANSFORMERS_ROWS,
    CheckpointKind,
    check_declared_kind,
    identify,
    identify_weights,
)
from nestvec_exporters.checkpoints.kinds import (
    architecture as architecture_of,
)
from nestvec_exporters.checkpoints.layout import (
    Module,
    first_folder,
    read_config,
    read_json,
    read_modules,
    transformer_folder,
)
from nestvec_exporters.checkpoints.native import native_checkpoint, needs_rewriting
from nestvec_exporters.checkpoints.timm_config import import_timm, is_timm
from nestvec_exporters.checkpoints.untrusted import check_no_code
from nestvec_exporters.checkpoints.untrusted.custom_code import check_custom_code, custom_classes
from nestvec_exporters.options import TrustOptions
from nestvec_exporters.source_options import SourceOptions
from nestvec_schemas.errors import CheckpointNotFound, CheckpointUnsupported, nearest

SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "artifact.metadata", "*_linear.*")
TRAINING_RECORD = "nestvec_adapt.json"
"""The file that marks a checkpoint made by ``nestvec adapt``."""

OWN_ARCHITECTURES: Final = {
    "efficientnet_lite": "nestvec_exporters.vision.efficientnet_lite",
    "nestvec-pooled-dual": "nestvec_exporters.vision.pooled_dual",
}
"""Architectures that transformers lacks, by type, with the modules that register them."""

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "*.model")
_PICKLE_FILES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_KINDS_WITH_WEIGHTS = ("Transformer", "Dense", "LayerNorm")
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    folder: Path
    """Its folder, or its file if it consists of word vectors."""

    source: str
    """What a manifest calls it: its id, or the name of its folder or file."""

    architecture: str = SENTENCE
    """Name of its kind in ``kinds.CHECKPOINT_KINDS``."""

    trust_remote_code: bool = False
    """Whether its own Python code may run."""

    graph: str | None = None
    """The ONNX file that is exported, within its folder; None where its weights are."""

    native_folder: TemporaryDirectory[str] | None = None
    """What ``folder`` lies in where the checkpoint was rewritten for transformers; deleted with it."""

    @property
    def trained(self) -> bool:
        """Whether ``nestvec adapt`` trained it."""
        return (self.folder / TRAINING_RECORD).is_file()


def read_checkpoint(
    name_or_path: str, trust: TrustOptions | None = None, source: SourceOptions | None = None
) -> Checkpoint:
    """Find a local folder or file, or fetch a Hugging Face id, and check that it can be exported.

    ``trust``: whether its own code may run; None never runs it. ``source``: whether its weights or a graph
    are read; None prefers the weights. Raises CheckpointNotFound and CheckpointUnsupported.
    """
    reading = source or SourceOptions()
    trusted = trust is not None and trust.trust_remote_code
    path = Path(os.path.expanduser(name_or_path))  # noqa: PTH111 - pathlib's raises on a user it does not know
    if name_or_path and path.is_dir():
        native = None if trusted or reading.takes_graph else native_checkpoint(path, trust)
        if native is not None:
            return _read_native(native, path.resolve().name, trust, source)
        architecture, graph = _kind_and_graph(path, CheckpointFiles(path).graphs, reading)
        _check_declarations(architecture, path, trust)
        _check(architecture, path, trusted=trusted)
        return Checkpoint(path.resolve(), path.resolve().name, architecture.name, trusted, graph)
    if name_or_path and path.is_file() and path.suffix in WORD_FILES:
        return Checkpoint(path.resolve(), path.name, identify(path).name)
    if name_or_path and path.exists():
        raise CheckpointNotFound(
            f"a checkpoint is a folder, or a file of word vectors ({', '.join(WORD_FILES)}), "
            "and this is another file",
            value=name_or_path,
            next_step="Give the folder with config.json and the weights; unpack an archive first.",
        )
    if not _HUB_ID.fullmatch(name_or_path):
        raise CheckpointNotFound(
            "there is no such folder, and a Hugging Face id has the form OWNER/NAME",
            value=name_or_path,
            next_step=f"Correct the path.{nearest(path.name, _sibling_folders(path))}",
        )
    small_files = (*SMALL_FILES, "*.py") if trusted else SMALL_FILES
    folder = fetch(name_or_path, small_files)
    if not trusted and not reading.takes_graph and needs_rewriting(folder):
        folder = fetch(name_or_path, (*small_files, "*.safetensors"))
        native = native_checkpoint(folder, trust, owner=name_or_path)
        if native is not None:
            return _read_native(native, name_or_path, trust, source)
    architecture, graph = _kind_and_graph(folder, _hub_graphs(name_or_path, folder, reading), reading)
    _check_declarations(architecture, folder, trust)
    if graph is not None:
        folder = _fetch_graph(name_or_path, (*small_files, *architecture.weights), graph)
        return Checkpoint(folder, name_or_path, architecture.name, trusted, graph)
    if architecture.name in SENTENCE_TRANSFORMERS_ROWS:
        check_architecture(folder)
        check_code(folder, trusted=trusted)
    folder = fetch(name_or_path, (*small_files, *architecture.weights))
    _check(architecture, folder, trusted=trusted)
    return Checkpoint(folder, name_or_path, architecture.name, trusted)


def _read_native(
    native: TemporaryDirectory[str], name: str, trust: TrustOptions | None, source: SourceOptions | None
) -> Checkpoint:
    """A checkpoint that was rewritten for classes of transformers."""
    return replace(read_checkpoint(native.name, trust, source), source=name, native_folder=native)


def _kind_and_graph(
    folder: Path, graphs: Sequence[str], reading: SourceOptions
) -> tuple[CheckpointKind, str | None]:
    """The kind of a checkpoint, and the one of its ONNX files that is exported, if one is."""
    if reading.takes_graph:
        return architecture_of(READY), choose_graph(graphs, reading.onnx_file)
    if reading.read_from == "weights":
        return identify_weights(folder), None
    kind = identify(folder)
    on_hub = bool(graphs) and not CheckpointFiles(folder).graphs
    if kind.name == READY or (on_hub and kind.name != "static"):
        return architecture_of(READY), choose_graph(graphs, None)
    return kind, None


def _hub_graphs(name: str, folder: Path, reading: SourceOptions) -> tuple[str, ...]:
    """The ONNX files of a Hugging Face model that are candidates: none where its weights are preferred."""
    names = repository_files(name, folder)
    places = {"", first_folder(folder).relative_to(folder).as_posix()}
    parents = {
        "" if "/" not in file else file.rpartition("/")[0] for file in names if file.endswith(".safetensors")
    }
    if parents & {place.strip(".") for place in places} and not reading.takes_graph:
        return ()
    return tuple(sorted(file for file in names if file.endswith(".onnx")))


def _fetch_graph(name: str, patterns: Sequence[str], graph: str) -> Path:
    """Download a graph, then the files that it has its weights in."""
    from nestvec_exporters.checkpoints.graphs.external_data import external_locations  # noqa: PLC0415 - slow

    ignored = [pattern for pattern in IGNORED_FILES if not pattern.startswith("onnx")]
    folder = fetch(name, (*patterns, graph), ignored=ignored)
    parent = Path(graph).parent
    weights = [(parent / location).as_posix() for location in external_locations(folder / graph)]
    return fetch(name, (*patterns, graph, *weights), ignored=ignored) if weights else folder


def _check_declarations(architecture: CheckpointKind, folder: Path, trust: TrustOptions | None) -> None:
    """Raise CheckpointUnsupported for code of its own that is not trusted, or another kind of model than its
    files."""
    trusted = trust is not None and trust.trust_remote_code
    check_no_code(folder, pylate=architecture.name in (LATE_INTERACTION, READY), trusted=trusted)
    check_custom_code(folder, architecture.name, trust)
    check_declared_kind(folder, architecture)
    if trusted:
        # Code in another repository is loaded from the cache later.
        for repository in {custom.repository for custom in custom_classes(folder)} - {None}:
            fetch(str(repository), ("*.py", "*.json"))


def _check(architecture: CheckpointKind, folder: Path, *, trusted: bool) -> None:
    """Raise CheckpointUnsupported unless the small files are valid and the weights are safetensors."""
    if architecture.name in SENTENCE_TRANSFORMERS_ROWS:
        check_architecture(folder)
        check_weights(folder)
        return
    if architecture.storage == "own":
        return
    if architecture.storage == "transformers":
        check_code(folder, first_folder(folder), trusted=trusted)
    check_safetensors(first_folder(folder))


def check_architecture(folder: Path) -> None:
    """Raise CheckpointUnsupported or CheckpointNotFound unless the small files are a text encoder's."""
    modules = read_modules(folder)
    for module in modules:
        if module.kind == "Dense":
            _check_activation(module)
    home = transformer_folder(folder)
    config = read_config(home)
    if not any(_matching(home, _TOKENIZER_FILES)) and not any(_matching(folder, _TOKENIZER_FILES)):
        raise CheckpointUnsupported(
            "the checkpoint has no tokenizer, so it cannot encode text",
            value=config.get("model_type", "unknown model type"),
            next_step=f"Put its tokenizer files beside it (one of {', '.join(_TOKENIZER_FILES)}), "
            "or choose a text encoder.",
        )


def check_code(folder: Path, home: Path | None = None, *, trusted: bool = False) -> None:
    """Raise CheckpointUnsupported unless transformers knows the architecture, or a module of
    OWN_ARCHITECTURES registers it, which this imports, or its own code is ``trusted``. Takes seconds.

    ``home`` is the folder of its ``config.json``; by default, the one that ``modules.json`` names.
    """
    from transformers import CONFIG_MAPPING  # noqa: PLC0415 - slow

    known_types = [*CONFIG_MAPPING.keys(), *OWN_ARCHITECTURES]
    config = read_config(home or transformer_folder(folder))
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type in OWN_ARCHITECTURES:
        import_module(OWN_ARCHITECTURES[model_type])
        return
    if model_type in known_types:
        return
    if is_timm(config):
        import_timm(config.get("architecture", "no architecture named"))
        return
    if config.get("auto_map"):
        if trusted:
            return
        raise CheckpointUnsupported(
            "the checkpoint requires trust_remote_code, and nestvec does not run a checkpoint's code unless "
            "it is trusted",
            value=model_type or "no model_type",
            next_step="Read its code, then export with --trust-remote-code, or choose a checkpoint with an "
            "architecture of transformers.",
        )
    raise CheckpointUnsupported(
        "the installed transformers does not know this architecture",
        value=model_type or "no model_type in config.json",
        next_step=f"Upgrade transformers, or correct model_type.{nearest(str(model_type), known_types)}",
    )


def check_weights(folder: Path) -> None:
    """Raise CheckpointUnsupported unless every module's weights are intact safetensors files.

    Pickled weights are refused: unpickling can run any code in the file.
    """
    modules = read_modules(folder) or (Module("Transformer", folder),)
    for module in modules:
        if module.kind in _KINDS_WITH_WEIGHTS:
            check_safetensors(module.folder)


def check_safetensors(folder: Path) -> None:
    """Raise CheckpointUnsupported unless a folder has weights in intact safetensors files."""
    files = sorted(_matching(folder, WEIGHTS))
    if not files:
        pickles = sorted(path.name for path in _matching(folder, _PICKLE_FILES))
        raise CheckpointUnsupported(
            "the checkpoint has no weights in safetensors"
            + (", and pickled weights can run code when loaded" if pickles else ""),
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
        # sentence-transformers would replace it by Tanh and only log that.
        raise CheckpointUnsupported(
            "a Dense module has an activation that is not from torch",
            value=activation,
            next_step="Choose a checkpoint with an activation from torch.nn.",
        )


def _check_safetensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - only an export needs it

    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
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


def _sibling_folders(path: Path) -> list[str]:
    return (
        [sibling.name for sibling in path.parent.iterdir() if sibling.is_dir()]
        if path.parent.is_dir()
        else []
    )
