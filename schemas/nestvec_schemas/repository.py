"""The model repository: one folder per encoder, in the layout that Triton loads, with the manifest.

models/
└── minilm/
    ├── encoder.json       the manifest
    ├── config.pbtxt       Triton's
    ├── tokenizer.json
    ├── rotation.npy       if the encoder is rotated
    └── 1/model.onnx

Triton has one graph per model. So each further graph of an encoder, its part (an image tower beside the text
tower, an expert), is in a folder of its own, ``NAME@PART``:

models/
├── clip/                  manifest, tokenizer, the text tower
└── clip@image/            config.pbtxt and 1/model.onnx

Two versions of an encoder are two encoders, ``minilm:1`` and ``minilm:2``, each in a folder of this name with
a manifest of its own. Triton's numeric version folders are not used for this: all versions below one
``config.pbtxt`` have the same inputs and dims, and there is one place for a tokenizer.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from nestvec_schemas.errors import EncoderNotFound, ManifestCorrupt, nearest
from nestvec_schemas.fingerprint import GRAPH_FILES, check_record
from nestvec_schemas.manifest import Manifest, parse_manifest

MANIFEST = "encoder.json"
CONFIG = "config.pbtxt"
TOKENIZER = "tokenizer.json"
GRAPH = "1/model.onnx"
FONT = "font.ttf"
"""The font of an encoder that reads images of text, where it has one; OpenType fonts have the same name."""
ROTATION = "rotation.npy"
"""The orthogonal matrix R, (dim, dim) float32, that the graph multiplies its plain vectors by: v R."""

PART_SEPARATOR = "@"
"""Separates an encoder's name from its part's; no encoder's own name contains it."""

_MAX_MANIFEST_BYTES = 1 << 20


def part_name(encoder: str, part: str) -> str:
    """The name of an encoder's part for Triton: its folder's name."""
    return f"{encoder}{PART_SEPARATOR}{part}" if part else encoder


def part_folder(folder: Path, part: str) -> Path:
    """The folder of a part, beside the encoder's own."""
    return folder.with_name(part_name(folder.name, part))


def file_path(folder: Path, name: str) -> Path:
    """The path of a file that a manifest lists."""
    if not name.startswith(PART_SEPARATOR):
        return folder / name
    part, _, relative_path = name[len(PART_SEPARATOR) :].partition("/")
    return part_folder(folder, part) / relative_path


def read_manifest(folder: Path) -> Manifest:
    """The manifest in an encoder's folder. Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise EncoderNotFound(
            f"{folder} does not contain an encoder",
            value=error.strerror or str(error),
            next_step="Export one: nestvec export CHECKPOINT --to MODELS --name NAME.",
        ) from error
    if len(data) > _MAX_MANIFEST_BYTES:
        raise ManifestCorrupt(
            f"{path} is larger than 1 MiB", value=len(data), next_step="Export the encoder again."
        )
    manifest = parse_manifest(data, path=str(path))
    check_record(manifest, str(path))
    if manifest.name != folder.name:
        raise ManifestCorrupt(
            f"the encoder in {path} has a different name from its folder",
            value=manifest.name,
            next_step=f"Rename the folder to {manifest.name}, or export the encoder again.",
        )
    return manifest


def encoder_names(models: Path) -> tuple[str, ...]:
    """The names of the encoders in a repository, sorted; empty if the folder is absent."""
    if not models.is_dir():
        return ()
    return tuple(sorted(path.parent.name for path in models.glob(f"*/{MANIFEST}")))


def find_encoder(models: Path, name: str) -> Path:
    """The folder of one encoder. Raises EncoderNotFound with the nearest name."""
    names = encoder_names(models)
    if name not in names:
        available = f"Available: {', '.join(names) or 'none'}."
        raise EncoderNotFound(
            f"there is no encoder of this name in {models}",
            value=name,
            next_step=f"{available}{nearest(name, names)} Export one with nestvec export, "
            "or name another folder with --models.",
        )
    return models / name


def verify_files(folder: Path, manifest: Manifest, *, graphs_elsewhere: bool = False) -> None:
    """Compare every listed file with its SHA-256. Raises ManifestCorrupt, naming the file.

    With ``graphs_elsewhere``, graphs may be absent: another server has them.
    """
    for name, expected in manifest.files.items():
        path = file_path(folder, name)
        if graphs_elsewhere and GRAPH_FILES.fullmatch(name) and not path.exists():
            continue
        try:
            checksum = sha256(path)
        except OSError as error:
            raise ManifestCorrupt(
                f"{folder / name} cannot be read",
                value=error.strerror or str(error),
                next_step="Export the encoder again.",
            ) from error
        if checksum != expected:
            raise ManifestCorrupt(
                f"{folder / name} is not the file that was exported",
                value=f"SHA-256 {checksum}",
                next_step="Export the encoder again.",
            )


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
