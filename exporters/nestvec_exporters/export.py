"""Checkpoint to encoder, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec_exporters.architectures import load_checkpoint, load_with_inventory
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.checkpoints.kinds import TORCH_PACKAGES, architecture
from nestvec_exporters.graph.tensorrt import check_tensorrt
from nestvec_exporters.inventory.check import check_honoured, check_patterns
from nestvec_exporters.inventory.declaration import Declaration, compact
from nestvec_exporters.inventory.lengths import with_truncation
from nestvec_exporters.inventory.take import take_inventory
from nestvec_exporters.merge import Merge, merge_checkpoints
from nestvec_exporters.nesting.fit import FitOptions, NestingFit, distinct_texts, fit_nesting
from nestvec_exporters.nesting.ladder import Ladders, validated_ladders
from nestvec_exporters.options import QUANTISING_PACKAGES, ExportOptions
from nestvec_exporters.progress import Listener
from nestvec_exporters.verify.exported import Exported
from nestvec_exporters.workspace import check_target, install, workspace
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.extras import require_packages
from nestvec_schemas.manifest import Manifest, QuantisationSummary, Verification
from nestvec_schemas.repository import ROTATION
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.towers import MAIN_PART, part_of

if TYPE_CHECKING:
    from nestvec_exporters.component import Component
    from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
    from nestvec_exporters.nesting.sampling import RunBatches
    from nestvec_exporters.verify.reference import Reference
    from nestvec_exporters.verify.served import OpenServed


@dataclass(frozen=True)
class _Runs:
    """What runs the encoder elsewhere; see ``export``."""

    open_served: OpenServed | None
    run_batches: RunBatches | None


def export(
    options: ExportOptions,
    listener: Listener | None = None,
    open_served: OpenServed | None = None,
    run_batches: RunBatches | None = None,
) -> Manifest:
    """Export a checkpoint to ``options.models / options.name`` and return the manifest written there.

    ``open_served`` runs the encoder as a service does (``nestvec.service.verification.open_served``), for
    comparing what it gives with the checkpoint's own library; without it, the graphs are run here.
    ``run_batches`` embeds the sample elsewhere than in this process.

    The encoder appears completely or not at all. Raises CheckpointError (not found, unsupported, exists
    already, or too far from its source), DimNotOffered, ExitNotOffered, SampleUnusable; NestvecError where
    the packages of the ``export`` extra are missing.
    """
    progress = listener or Listener()
    if options.format == "tensorrt":
        check_tensorrt(options.checkpoint, options.models, options.cli_args())
    check_target(options.models, options.name, force=options.force)
    progress.stage("reading the checkpoint")
    source = options.merge or read_checkpoint(options.checkpoint, options, options)
    experts = {
        name: read_checkpoint(checkpoint, options, options) for name, checkpoint in options.experts.items()
    }
    needs = TORCH_PACKAGES if isinstance(source, Merge) else architecture(source.architecture).packages
    require_packages("exporting", needs, "export")
    if "torch" in needs:  # what needs no torch is a table or a graph, and is not quantised here
        quantising = QUANTISING_PACKAGES.get(options.precision, ())
        require_packages(f"--precision {options.precision}", quantising, "export")
    progress.stage("loading libraries")
    from nestvec_exporters.checkpoints.quiet import quiet  # noqa: PLC0415 - seconds of imports

    with quiet(), workspace(options.models) as work:
        if isinstance(source, Merge):
            source = _merged(source, work, progress)
        runs = _Runs(open_served, run_batches)
        manifest = _build(options, source, experts, work, progress, runs=runs)
        install(work / options.name, options.models, force=options.force)
    return manifest


def _merged(merge: Merge, work: Path, listener: Listener) -> Checkpoint:
    """The checkpoint that a merge makes, in ``work`` for the duration of the export, after fitting its
    coefficients if requested. Raises as ``merge_checkpoints`` and ``fit_coefficients`` do."""
    if merge.fit is not None:
        from nestvec_exporters.merge.coefficients import fit_coefficients  # noqa: PLC0415 - torch

        listener.stage("fitting the coefficients of the merge")
        coefficients = fit_coefficients(merge, merge.fit, listener.step)
        listener.stage(f"fitted: {coefficients}")
        merge = Merge(coefficients.expression, merge.names)
    listener.stage("merging the checkpoints")
    # No encoder's name begins with a dot.
    folder = merge_checkpoints(merge.expression, work / ".merged", merge.names)
    return replace(read_checkpoint(str(folder)), source=merge.expression)


def _build(
    options: ExportOptions,
    checkpoint: Checkpoint,
    experts: dict[str, Checkpoint],
    work: Path,
    listener: Listener,
    *,
    runs: _Runs,
) -> Manifest:
    """Build the encoder in a folder of its name in ``work``, and its parts beside that."""
    from nestvec_exporters.component import verify_component, write_component  # noqa: PLC0415 - seconds of imports
    from nestvec_exporters.encoder_manifest import (  # noqa: PLC0415 - seconds of imports
        build_manifest,
        combined,
        file_checksums,
        graph_checksums,
        with_fingerprint,
        write_manifest,
    )

    listener.stage("loading the weights")
    checkpoint, loaded, declarations = _load(checkpoint, options)
    # A rotation makes vectors of all prefixes, whatever was trained.
    dims = options.dims if options.rotation else options.dims or loaded.dims
    options = replace(options, precision=loaded.precision or options.precision, dims=dims)
    ladders = validated_ladders(loaded.kind, loaded.dim, loaded.layers, options)
    components = [*_towers(loaded), *_experts(loaded, experts, options)]
    folder = work / options.name
    folder.mkdir()
    loaded.save_files(folder)
    sample = _sample(options, loaded.dim)
    traced = [_trace(component, work, ladders, listener) for component in components]
    fitted = _fit(options, loaded, traced[0], folder, sample, listener, runs) if sample else None
    references = _references(checkpoint, experts, components, options)
    libraries = _with_library(references, loaded)
    verifications, quantisations = [], {}
    for part, component, graph in zip([item.part for item in components], components, traced, strict=True):
        quantisations[part] = write_component(options, component, graph, folder, ladders, fitted, listener)
        if part not in libraries:
            listener.stage(f"comparing the graph with the checkpoint{f', {part}' if part else ''}")
        verify = partial(verify_component, component, folder, options.precision, ladders, fitted)
        verifications.append(verify(has_library=part in libraries))
    _save_rotation(folder, fitted)
    manifest = build_manifest(options, checkpoint, loaded, ladders, fitted, combined(verifications))
    update = {
        **_part_fields(loaded, checkpoint, experts),
        "declarations": compact(with_truncation(declarations, loaded.specs, options)),
        **_quantisation_fields(quantisations),
        "files": file_checksums(folder, components),
    }
    manifest = manifest.model_copy(update=update)
    graphs = graph_checksums(components, traced, fitted, ladders)
    manifest = with_fingerprint(manifest, graphs)
    write_manifest(folder, manifest)
    listener.stage("comparing with the checkpoint's own library")
    exported = Exported(folder, manifest, None if fitted is None else fitted.rotation)
    verification = _verify_by_library(options, loaded, exported, references, runs.open_served)
    manifest = manifest.model_copy(update={"verification": verification})
    write_manifest(folder, manifest)
    return manifest


def _save_rotation(folder: Path, fitted: NestingFit | None) -> None:
    if fitted is not None and fitted.rotation is not None:
        np.save(folder / ROTATION, fitted.rotation.astype(np.float32), allow_pickle=False)


def _part_fields(
    loaded: LoadedCheckpoint, checkpoint: Checkpoint, experts: Mapping[str, Checkpoint]
) -> dict[str, Any]:
    """What the manifest says of experts, and of what a pass gives besides."""
    return {
        "experts": dict.fromkeys(loaded.experts, checkpoint.source)
        | {name: expert.source for name, expert in experts.items()},
        "expert_towers": loaded.expert_specs,
        "outputs": dict(loaded.outputs),
    }


def _quantisation_fields(quantisations: Mapping[str, QuantisationSummary | None]) -> dict[str, Any]:
    """What the manifest says of how each part was quantised."""
    others = {
        part: summary for part, summary in quantisations.items() if part != MAIN_PART and summary is not None
    }
    return {"quantisation": quantisations[MAIN_PART], "part_quantisations": others}


def _load(
    checkpoint: Checkpoint, options: ExportOptions
) -> tuple[Checkpoint, LoadedCheckpoint, tuple[Declaration, ...]]:
    """The towers, an image tower beside them if one is requested, and what the checkpoint declares."""
    loaded, declarations = load_with_inventory(checkpoint, options)
    check_patterns(declarations, options.ignore)
    if options.overrides.image_checkpoint is not None:
        image = read_checkpoint(options.overrides.image_checkpoint, options)
        check_honoured(take_inventory(image.folder, image.architecture, options))
        loaded = _with_image_tower(loaded, image, options)
        checkpoint = replace(checkpoint, source=f"{checkpoint.source}+{image.source}")
    return checkpoint, loaded, declarations


def _references(
    checkpoint: Checkpoint,
    experts: Mapping[str, Checkpoint],
    components: Sequence[Component],
    options: ExportOptions,
) -> dict[str, Reference]:
    """The checkpoint and its experts as their own library runs them, by modality and by expert."""
    from nestvec_exporters.verify.references import open_expert, open_references  # noqa: PLC0415 - slow

    references = open_references(checkpoint, components[0].loaded, options)
    for component in components:
        if component.part in experts:
            expert = experts[component.part]
            references[component.part] = open_expert(expert, component.loaded, options)
    return references


def _with_library(references: Mapping[str, Reference], loaded: LoadedCheckpoint) -> set[str]:
    """The parts whose reference is another program."""
    names = {name for name, reference in references.items() if reference.independent}
    towers = {part_of(loaded.specs, modality) for modality in loaded.towers if modality in names}
    return towers | (names - set(loaded.towers))


def _verify_by_library(
    options: ExportOptions,
    loaded: LoadedCheckpoint,
    exported: Exported,
    references: Mapping[str, Reference],
    open_served: OpenServed | None,
) -> Verification:
    """How close the encoder is to what the checkpoint's own library gives. Raises VerificationFailed."""
    from nestvec_exporters.verify.encoder import verify_encoder  # noqa: PLC0415 - seconds of imports
    from nestvec_exporters.verify.graph_encoder import open_graphs_of  # noqa: PLC0415 - seconds of imports

    opened = open_graphs_of(loaded) if open_served is None else open_served
    verification = verify_encoder(exported, references, opened, options.verify)
    return verification.model_copy(update={"served": open_served is not None})


def _with_image_tower(
    loaded: LoadedCheckpoint, image: Checkpoint, options: ExportOptions
) -> LoadedCheckpoint:
    """Add a tower of images in the space of a text checkpoint."""
    from nestvec_exporters.conse import add_image_tower  # noqa: PLC0415 - seconds of imports

    return add_image_tower(loaded, image, options)


def _towers(loaded: LoadedCheckpoint) -> list[Component]:
    """The encoder's towers, the one whose graph lies in its own folder first, then its own experts."""
    from nestvec_exporters.component import Component  # noqa: PLC0415

    specs = loaded.specs
    towers = [Component(part_of(specs, name), tower, loaded) for name, tower in loaded.towers.items()]
    experts = [Component(name, tower, loaded) for name, tower in loaded.experts.items()]
    return [*sorted(towers, key=lambda component: component.part), *experts]


def _experts(
    loaded: LoadedCheckpoint, experts: dict[str, Checkpoint], options: ExportOptions
) -> list[Component]:
    """The experts' weights for the main tower. Raises CheckpointUnsupported where one does not match it."""
    from nestvec_exporters.component import Component  # noqa: PLC0415

    components = []
    for name, checkpoint in experts.items():
        expert = load_checkpoint(checkpoint, options)
        own, others = _description(loaded), _description(expert)
        differing = [
            f"{field} {others[field]}, not {value}" for field, value in own.items() if others[field] != value
        ]
        if loaded.normalised and not expert.normalised:
            differing.append("vectors that are not normalised")
        if differing:
            raise CheckpointUnsupported(
                f"the expert {name} is not another set of weights for this encoder",
                value=", ".join(differing),
                next_step="Give checkpoints that were trained from the one that is exported.",
            )
        _check_same_rows(name, loaded.main_tower, expert.main_tower)
        components.append(Component(name, expert.main_tower, expert))
    return components


def _description(loaded: LoadedCheckpoint) -> dict[str, Any]:
    """What an encoder's experts have in common with it."""
    return {"kind": loaded.kind, "dims": loaded.dim, **loaded.main_tower.spec.model_dump()}


def _check_same_rows(name: str, tower: TowerModel, other: TowerModel) -> None:
    """Raise CheckpointUnsupported where an expert turns the same inputs into different arrays."""
    probes = list(tower.probes())[:8]
    with TemporaryDirectory() as first_folder, TemporaryDirectory() as second_folder:
        tower.save(Path(first_folder))
        other.save(Path(second_folder))
        pairs = zip(
            tower.rows(Path(first_folder), probes, 64),
            other.rows(Path(second_folder), probes, 64),
            strict=True,
        )
        same = all(np.array_equal(left[key], right[key]) for left, right in pairs for key in left)
    if not same:
        raise CheckpointUnsupported(
            "an expert has a different tokenizer from the encoder's",
            value=name,
            next_step="Give checkpoints that were trained from the one that is exported.",
        )


def _sample(options: ExportOptions, dim: int) -> Sample | None:
    if options.sample is None:
        return None
    return replace(options.sample, texts=distinct_texts(options.sample, dim))


def _trace(component: Component, work: Path, ladders: Ladders, listener: Listener) -> Path:
    tower = component.tower
    doing = "finishing the graph" if tower.ready else "tracing the graph"
    listener.stage(doing + (f", {component.part}" if component.part else ""))
    traced = work / f"traced-{component.part}" / "graph.onnx"
    traced.parent.mkdir()
    if tower.ready:
        tower.write_graph(traced)
        return traced
    from nestvec_exporters.graph.trace import trace_tower  # noqa: PLC0415 - seconds of imports

    trace_tower(tower, traced, ladders.shallow)
    return traced


def _fit(
    options: ExportOptions,
    loaded: LoadedCheckpoint,
    traced: Path,
    folder: Path,
    sample: Sample,
    listener: Listener,
    runs: _Runs,
) -> NestingFit:
    from nestvec_exporters.nesting.fit_texts import fit_texts  # noqa: PLC0415
    from nestvec_exporters.nesting.sampling import (  # noqa: PLC0415 - seconds of imports
        exit_vectors,
        run_batches_here,
    )

    listener.stage(f"embedding {len(sample.texts)} texts of the sample {sample.name}")
    document, query = loaded.prompts.get("document", ""), loaded.prompts.get("query", "")
    fitting_texts = fit_texts(sample, options.queries, method=options.rotation, seed=options.seed)
    texts = [
        *(f"{document}{text}" for text in sample.texts),
        *(f"{query}{text}" for text in fitting_texts.query_texts),
    ]
    rows = loaded.main_tower.rows(folder, texts, loaded.main_tower.spec.max_tokens)
    ladders = validated_ladders(loaded.kind, loaded.dim, loaded.layers, options)
    run_batches = runs.run_batches or run_batches_here
    vectors = exit_vectors(traced, rows, ladders.layers, listener.step, run_batches)
    listener.stage(f"fitting the {options.rotation} rotation" if options.rotation else "fitting the exits")
    fitting = FitOptions(options.rotation, ladders.dims, options.seed)
    return fit_nesting(vectors, fitting_texts, fitting, listener.step)
