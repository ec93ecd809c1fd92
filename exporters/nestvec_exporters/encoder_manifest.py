"""What the manifest of an exported encoder says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import onnx

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.prompts import as_checkpoint_prompts
from nestvec_exporters.component import Component
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.nesting.fit import NestingFit
from nestvec_exporters.nesting.ladder import Ladders
from nestvec_exporters.options import ExportOptions
from nestvec_schemas.fingerprint import record_fingerprint
from nestvec_schemas.manifest import Manifest, Nesting, Verification
from nestvec_schemas.repository import CONFIG, MANIFEST, PART_SEPARATOR, part_folder, sha256
from nestvec_schemas.towers import EXIT_INPUT

_RECORDED = ("nestvec", "torch", "transformers", "sentence-transformers", "onnxruntime")


def file_checksums(folder: Path, components: list[Component]) -> dict[str, str]:
    """The SHA-256 of each file of the encoder and its parts, by its name in the manifest."""
    checksums = {}
    for part in ("", *(component.part for component in components if component.part)):
        place = part_folder(folder, part)
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            relative = path.relative_to(place).as_posix()
            if relative == CONFIG:  # an operator may tune it
                continue
            checksums[f"{PART_SEPARATOR}{part}/{relative}" if part else relative] = sha256(path)
    return checksums


def graph_checksums(
    components: Sequence[Component],
    traced: Sequence[Path],
    fitted: NestingFit | None,
    ladders: Ladders,
) -> dict[str, str]:
    """Per part, the SHA-256 of its graph before it takes the export's precision, and of what is fitted
    for it. ``traced`` are the graphs as ``write_component`` takes them."""
    checksums = {}
    for component, graph in zip(components, traced, strict=True):
        digest = hashlib.sha256(sha256(graph).encode())
        for path in external_files(graph):
            digest.update(f"{path.name} {sha256(path)}".encode())
        if fitted is not None:
            matrices = {str(layer): matrix for layer, matrix in sorted(fitted.exit_maps.items())}
            if fitted.rotation is not None:
                matrices["rotation"] = fitted.rotation
            for name, matrix in matrices.items():
                digest.update(f"{name} {matrix.shape}".encode())
                digest.update(np.ascontiguousarray(matrix, np.float32).tobytes())
        if ladders.shallow:
            digest.update(f"exits {ladders.layers}".encode())
        checksums[component.part] = digest.hexdigest()
    return checksums


def external_files(graph: Path) -> list[Path]:
    """The files beside a graph that hold its larger tensors, sorted."""
    model = onnx.load(str(graph), load_external_data=False)
    names = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [graph.with_name(name) for name in sorted(names)]


def build_manifest(
    options: ExportOptions,
    checkpoint: Checkpoint,
    loaded: LoadedCheckpoint,
    ladders: Ladders,
    fitted: NestingFit | None,
    verification: Verification,
) -> Manifest:
    """The manifest, without checksums of files and experts."""
    towers = loaded.specs
    if ladders.shallow:
        towers = {
            name: item.model_copy(update={"inputs": (*item.inputs, EXIT_INPUT)})
            for name, item in towers.items()
        }
    prompts = as_checkpoint_prompts(loaded.prompts)
    trained = checkpoint.trained or loaded.trained
    nesting: Nesting = "rotated" if options.rotation else ("trained" if trained else "plain")
    return Manifest(
        name=options.name,
        source=checkpoint.source,
        trust_remote_code=options.trust_remote_code,
        kind=loaded.kind,
        towers=towers,
        dim=loaded.dim,
        dims=ladders.dims,
        layers=ladders.layers,
        normalised=loaded.normalised,
        prompts=dict(prompts),
        default_prompt=prompts.default,
        prompt_notes=prompts.notes,
        precision=options.precision,
        nesting=nesting,
        retention=fitted.retention if fitted else {},
        exits=fitted.exits if fitted else {},
        fit=fitted.record if fitted else None,
        verification=verification,
        files={},
        created_with=_versions(),
    )


def with_fingerprint(manifest: Manifest, graphs: Mapping[str, str]) -> Manifest:
    """The manifest, complete otherwise, with what identifies the encoder; ``graphs`` are their checksums."""
    date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return manifest.model_copy(update={"fingerprint": record_fingerprint(manifest, graphs, date)})


def combined(verifications: Sequence[Verification | None]) -> Verification:
    """What comparing graphs gave; of none, a record that any other replaces."""
    measured = [item for item in verifications if item is not None]
    if not measured:
        return Verification(sentences=1, cosine_min=1.0, cosine_mean=1.0)
    count = sum(item.sentences for item in measured)
    return Verification(
        sentences=count,
        cosine_min=min(item.cosine_min for item in measured),
        cosine_mean=sum(item.cosine_mean * item.sentences for item in measured) / count,
    )


def _versions() -> dict[str, str]:
    """The versions of the installed packages that export; a ready graph does not need them all."""
    versions = {}
    for name in _RECORDED:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``encoder.json``."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
