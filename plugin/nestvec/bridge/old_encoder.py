"""An exported encoder as the one whose stored vectors a new version is trained to search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nestvec.bridge.vectors import PromptedText, embed_texts
from nestvec_exporters.bridge.install import check_bridgeable
from nestvec_exporters.train.linear.compatible import OldEncoder
from nestvec_exporters.training_data import RoleText
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.repository import find_encoder, read_manifest
from nestvec_schemas.vectors import Vectors


def old_encoder(path: Path) -> OldEncoder:
    """The encoder in ``path``, a folder of a model repository, such as ``models/minilm``.

    Raises EncoderNotFound, ManifestCorrupt, and NotOffered for an encoder that does not give one vector for
    a text.
    """
    folder = find_encoder(path.parent, path.name)
    manifest = read_manifest(folder)
    check_bridgeable(manifest, folder, as_new=False)

    def embed(texts: Sequence[RoleText], on_step: Callable[[int, int], None]) -> Vectors:
        return embed_texts(folder, [PromptedText(item.text, item.role) for item in texts], on_step=on_step)

    return OldEncoder(manifest.name, encoder_fingerprint(manifest), manifest.dim, embed)
