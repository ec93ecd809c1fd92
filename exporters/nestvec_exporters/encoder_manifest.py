"""What the manifest of an exported encoder says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.prompts import as_checkpoint_prompts
from nestvec_exporters.component import Component
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.nesting.fit import NestingFit
from nestvec_exporters.nesting.ladder import Ladders
from nestvec_exporters.options import ExportOptions
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
