"""An encoder's fingerprint: the same for the same vectors, whatever the encoder is called.

It travels with a field's endpoint and is recorded with the collection, so that vectors of two encoders do not
mix in one field unnoticed when another encoder is exported under the name of the first.

Weights of another precision, fp16 or int8 beside fp32, are a variant: their vectors are those of the same
space, a little rounded, and the fingerprint is the same where the export computed it from the graph before it
was rounded. The variant's own fingerprint is that of its files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from weakref import finalize

from nestvec_schemas.bridges.view import selected_bridge, without_bridges
from nestvec_schemas.errors import EncoderNotFound, ManifestCorrupt
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.towers import FingerprintRecord, Tower

FINGERPRINT_LENGTH: Final = 16
"""Hexadecimal digits: 64 bits."""

_NOT_OF_VECTORS: Final = ("config.pbtxt", ".md", ".txt")
"""Ends of the names of files that no vector depends on: Triton's batches, notes. A vocabulary may be in a
.txt, but then tokenizer.json, which is read, has it too."""


GRAPH_FILES: Final = re.compile(r"(@[^/]+/)?1/.*")
"""The files that hold a graph and its weights, in one precision."""

_NOT_OF_SPACE: Final = {"alone"}
"""What a tower says that follows from the precision alone."""


@dataclass(frozen=True)
class EncoderFingerprints:
    """What identifies an encoder."""

    space: str
    """The fingerprint: that of the vectors, whatever the precision of the weights."""

    variant: str
    """That of the files, which has the precision in it. Fields were registered with it before precisions were
    variants."""


_fingerprints: dict[int, EncoderFingerprints] = {}
"""By the id of a manifest, for as long as it exists: requests compare theirs with it."""


def encoder_fingerprint(manifest: Manifest) -> str:
    """The fingerprint of an exported encoder, 16 hexadecimal digits; computed once for each manifest.

    It depends on the graphs, the weights and the tokenizers by their checksums, on what the service does to
    an input before the graph (lengths, pixels, prompts) and to its output after it; not on the name, the
    ladder of dims, the precision, or what was measured.
    """
    return fingerprints_of(manifest).space


def fingerprints_of(manifest: Manifest) -> EncoderFingerprints:
    """The fingerprint of an encoder, and that of this variant of it."""
    fingerprints = _fingerprints.get(id(manifest))
    if fingerprints is None:
        fingerprints = _fingerprints[id(manifest)] = _compute(manifest)
        finalize(manifest, _fingerprints.pop, id(manifest), None).atexit = False
    return fingerprints


def record_fingerprint(manifest: Manifest, graphs: Mapping[str, str], date: str) -> FingerprintRecord:
    """What an export records of a manifest that is complete otherwise.

    ``graphs`` are SHA-256 of what each part's graph was before it took its precision; ``date`` is UTC.
    """
    record = FingerprintRecord(fingerprint="", variant="", date=date, graphs=dict(graphs))
    computed = _compute(manifest.model_copy(update={"fingerprint": record}))
    return record.model_copy(update={"fingerprint": computed.space, "variant": computed.variant})


def check_record(manifest: Manifest, path: str) -> None:
    """Raise ManifestCorrupt if the manifest in ``path`` is not the one that its export recorded."""
    record = manifest.fingerprint
    if record is None:
        return
    computed = fingerprints_of(manifest)
    if (record.fingerprint, record.variant) != (computed.space, computed.variant):
        raise ManifestCorrupt(
            f"{path} was changed after the export in what vectors depend on",
            value=f"fingerprint {computed.variant}, not {record.variant} as of {record.date}",
            next_step="Restore the file, or export the encoder again.",
        )


def _compute(manifest: Manifest) -> EncoderFingerprints:
    bridge = selected_bridge(manifest)
    if bridge is not None:
        # Mapped vectors are in the other encoder's space; the variant says by way of which encoder.
        by = {"fingerprint": bridge.fingerprint, "mapped_from": bridge.mapped_from}
        return EncoderFingerprints(bridge.fingerprint, _digest(by))
    manifest = without_bridges(manifest)
    files = {
        path: checksum
        for path, checksum in sorted(manifest.files.items())
        if not path.endswith(_NOT_OF_VECTORS)
    }
    content = {
        "kind": manifest.kind,
        "dim": manifest.dim,
        "normalised": manifest.normalised,
        "towers": _reading(manifest.towers),
        "expert_towers": _reading(manifest.expert_towers),
        "prompts": manifest.prompts,
        "default_prompt": manifest.default_prompt,
        "files": files,
    }
    variant = _digest(content)
    if manifest.fingerprint is None:
        return EncoderFingerprints(variant, variant)
    space = {
        "towers": _reading(manifest.towers, _NOT_OF_SPACE),
        "expert_towers": _reading(manifest.expert_towers, _NOT_OF_SPACE),
        "files": {path: checksum for path, checksum in files.items() if not GRAPH_FILES.fullmatch(path)},
        "graphs": manifest.fingerprint.graphs,
    }
    return EncoderFingerprints(_digest(content | space), variant)


def _digest(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def _reading(towers: Mapping[Any, Tower], excluded: set[str] | None = None) -> dict[str, Any]:
    """How towers read their inputs, without defaults: a setting that a later version adds changes nothing."""
    return {
        name: tower.model_dump(mode="json", exclude_defaults=True, exclude=excluded)
        for name, tower in towers.items()
    }


def check_fingerprint(manifest: Manifest, recorded: str | None) -> None:
    """Raise EncoderNotFound if ``recorded``, where a field has one, is another encoder's fingerprint."""
    if recorded is None:
        return
    present = fingerprints_of(manifest)
    if recorded in (present.space, present.variant):
        return
    date = "" if manifest.fingerprint is None else f" (exported {manifest.fingerprint.date})"
    # Without the record, an encoder has the fingerprint of its files, even if they are the field's encoder.
    again = " If its export was by a version that recorded no fingerprint, export the checkpoint again."
    raise EncoderNotFound(
        f"{manifest.name} is another encoder than the one that the field was created with, and their "
        "vectors must not mix",
        value=f"fingerprint {present.space}{date}, not {recorded}",
        next_step="Serve the encoder of before under this name, or the other one under a name of its own, "
        f"and embed with it: nestvec collection embed.{again if manifest.fingerprint is None else ''}",
    )
