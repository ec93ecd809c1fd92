"""An encoder's fingerprint: the same for the same vectors, whatever the encoder is called.

It travels with a field's endpoint, so that vectors of two encoders do not mix in one field unnoticed when
another encoder is exported under the name of the first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final
from weakref import finalize

from nestvec_schemas.errors import EncoderNotFound
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.towers import Tower

FINGERPRINT_LENGTH: Final = 16
"""Hexadecimal digits: 64 bits."""

_NOT_OF_VECTORS: Final = ("config.pbtxt", ".md", ".txt")
"""Ends of the names of files that no vector depends on: Triton's batches, notes. A vocabulary may be in a
.txt, but then tokenizer.json, which is read, has it too."""


_fingerprints: dict[int, str] = {}
"""By the id of a manifest, for as long as it exists: requests compare theirs with it."""


def encoder_fingerprint(manifest: Manifest) -> str:
    """The fingerprint of an exported encoder, 16 hexadecimal digits; computed once for each manifest.

    It depends on the graphs, the weights and the tokenizers by their checksums, on what the service does to
    an input before the graph (lengths, pixels, prompts) and to its output after it; not on the name, the
    ladder of dims, or what was measured.
    """
    fingerprint = _fingerprints.get(id(manifest))
    if fingerprint is None:
        fingerprint = _fingerprints[id(manifest)] = _compute(manifest)
        finalize(manifest, _fingerprints.pop, id(manifest), None).atexit = False
    return fingerprint


def _compute(manifest: Manifest) -> str:
    content = {
        "kind": manifest.kind,
        "dim": manifest.dim,
        "normalised": manifest.normalised,
        "towers": _reading(manifest.towers),
        "expert_towers": _reading(manifest.expert_towers),
        "prompts": manifest.prompts,
        "default_prompt": manifest.default_prompt,
        "files": {
            path: checksum
            for path, checksum in sorted(manifest.files.items())
            if not path.endswith(_NOT_OF_VECTORS)
        },
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def _reading(towers: Mapping[Any, Tower]) -> dict[str, Any]:
    """How towers read their inputs, without defaults: a setting that a later version adds changes nothing."""
    return {name: tower.model_dump(mode="json", exclude_defaults=True) for name, tower in towers.items()}


def check_fingerprint(manifest: Manifest, recorded: str | None) -> None:
    """Raise EncoderNotFound if ``recorded``, where a field has one, is another encoder's fingerprint."""
    if recorded is None:
        return
    present = encoder_fingerprint(manifest)
    if recorded != present:
        raise EncoderNotFound(
            f"{manifest.name} is another encoder than the one that the field was created with, and their "
            "vectors must not mix",
            value=f"fingerprint {present}, not {recorded}",
            next_step="Serve the encoder of before under this name, or create the collection again.",
        )
