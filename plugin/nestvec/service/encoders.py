"""The encoders that a service holds: manifest and tokenizer, opened from the model repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nestvec.service.tokens import Tokeniser
from nestvec_schemas.errors import EncoderNotFound, nearest
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import TOKENIZER, encoder_names, find_encoder, read_manifest


@dataclass(frozen=True)
class Encoder:
    """One encoder, ready to tokenise."""

    manifest: Manifest
    tokeniser: Tokeniser


def open_encoders(models: Path, names: tuple[str, ...] = ()) -> dict[str, Encoder]:
    """Open the named encoders of a repository, all of them without names.

    Raises EncoderNotFound (also when there is none), ManifestCorrupt, ManifestTooNew.
    """
    chosen = names or encoder_names(models)
    if not chosen:
        raise EncoderNotFound(
            "there is no encoder in the model repository",
            value=str(models),
            next_step="Export one first: nestvec export CHECKPOINT --to MODELS --name NAME.",
        )
    return {name: _open(find_encoder(models, name)) for name in chosen}


def _open(folder: Path) -> Encoder:
    manifest = read_manifest(folder)
    return Encoder(manifest, Tokeniser(folder / TOKENIZER, manifest.towers["text"].max_tokens))


def choose(encoders: Mapping[str, Encoder], name: str | None) -> str:
    """The encoder a request means: the one it names, or the only one. Raises EncoderNotFound."""
    if name is None and len(encoders) == 1:
        return next(iter(encoders))
    there = ", ".join(sorted(encoders))
    if name is None:
        raise EncoderNotFound(
            f"the service holds {len(encoders)} encoders and the request names none",
            next_step=f"Add ?encoder=NAME to the address. There: {there}.",
        )
    if name not in encoders:
        raise EncoderNotFound(
            "the service has no encoder of this name",
            value=name,
            next_step=f"There: {there}.{nearest(name, encoders)}",
        )
    return name
