"""Compare an exported encoder, as a service runs it, with the checkpoint's own library."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from nestvec_exporters.probes.probe import ProbeGroup, ProbeSet
from nestvec_exporters.verify import compare
from nestvec_exporters.verify.exported import Exported
from nestvec_exporters.verify.memory import longest_that_fits
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.verify.served import OpenServed, ServedEncoder
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError, VerificationFailed
from nestvec_schemas.manifest import Manifest, Verification, VerifyLevel
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import nest

ODD_GROUPS: Final[frozenset[ProbeGroup]] = frozenset({"characters", "lengths"})
"""Groups whose inputs are hard on lower precisions: a handful of tokens, or none that were trained."""


def verify_encoder(
    exported: Exported, references: Mapping[str, Reference], open_served: OpenServed, level: VerifyLevel
) -> Verification:
    """The cosines between what a service gives and what the library gives, over all probes.

    ``references`` are those of towers, by modality, and of experts, by name.
    Where no reference has probes, what comparing the graphs gave is kept. Raises VerificationFailed below the
    precision's floor, CheckpointUnsupported where the library has a prompt that the manifest lacks.
    """
    started = time.perf_counter()
    results: list[tuple[str, Verification]] = []
    longest = 0
    with open_served(exported.folder) as served:
        for name, reference in references.items():
            expert = name if name in exported.manifest.experts else None
            _check_prompts(reference, exported.manifest, expert)
            tokens = longest_that_fits(_max_tokens(exported.manifest, name), reference.heads)
            for probes in reference.probe_sets(tokens, full=level == "full"):
                results += _compare(exported, reference, served, probes, expert)
            longest = max(longest, tokens)
    seconds = round(time.perf_counter() - started, 1)
    if not results and any(reference.independent for reference in references.values()):
        raise VerificationFailed(
            "there is nothing to compare the encoder on", next_step="Report it, with the checkpoint's files."
        )
    if not results:
        return exported.manifest.verification.model_copy(update={"level": level, "seconds": seconds})
    groups: dict[str, float] = {}
    for group, item in results:
        groups[group] = min(groups.get(group, 1.0), item.cosine_min)
    count = sum(item.sentences for _, item in results)
    libraries = dict.fromkeys(reference.library for reference in references.values() if reference.independent)
    return Verification(
        sentences=count,
        cosine_min=min(*groups.values(), exported.manifest.verification.cosine_min),
        cosine_mean=sum(item.cosine_mean * item.sentences for _, item in results) / count,
        level=level,
        reference=", ".join(libraries) or None,
        max_tokens=longest if level == "full" else None,
        groups=groups,
        seconds=seconds,
    )


def _max_tokens(manifest: Manifest, name: str) -> int:
    """The longest text of a tower or an expert, in tokens."""
    towers: dict[str, Tower] = dict(manifest.expert_towers)
    towers |= {str(modality): tower for modality, tower in manifest.towers.items()}
    return towers.get(name, manifest.main_tower).max_tokens


def _compare(
    exported: Exported, reference: Reference, served: ServedEncoder, probes: ProbeSet, expert: str | None
) -> list[tuple[str, Verification]]:
    manifest = exported.manifest
    prompts = {str(name): text for name, text in manifest.prompts.items()}
    expected = _encode(reference, probes, prompts)
    if exported.rotation is not None:
        expected = [np.asarray(vector @ exported.rotation, np.float32) for vector in expected]
    outputs = _served(served, probes, expert)
    results: list[tuple[str, Verification]] = []
    for group in dict.fromkeys(probe.group for probe in probes.probes):
        places = [place for place, probe in enumerate(probes.probes) if probe.group == group]
        try:
            verification = compare.compare_outputs(
                [expected[place] for place in places],
                [outputs[place] for place in places],
                manifest.kind,
                manifest.precision,
            )
        except VerificationFailed as error:
            if probes.batch > 1 and exported.rotation is None:
                _check_padding(reference, probes, prompts, expected, manifest)
            raise error.reworded(cause=f"{error.cause} ({reference.library}, {group})") from error
        results.append((group, verification))
    if manifest.kind == "dense" and expert is None:
        _check_prefix(manifest, served, probes, expected)
    return results


def _check_padding(
    reference: Reference,
    probes: ProbeSet,
    prompts: Mapping[str, str],
    expected: Sequence[Array],
    manifest: Manifest,
) -> None:
    """Raise CheckpointUnsupported where the library gives a text another vector alone than in a batch."""
    alone = _encode(reference, replace(probes, batch=1), prompts)
    try:
        compare.compare_outputs(list(expected), alone, manifest.kind, manifest.precision)
    except VerificationFailed as error:
        raise CheckpointUnsupported(
            f"the checkpoint's own library gives a text another vector in a batch than alone "
            f"({reference.library}), so no vector is the right one",
            value=error.value,
            next_step="Set padding_side to right in its tokenizer_config.json, and attention_mask among "
            "model_input_names, if that is what it was trained with; else choose another checkpoint.",
        ) from error


def _encode(reference: Reference, probes: ProbeSet, prompts: Mapping[str, str]) -> list[Array]:
    """What the library gives. Raises CheckpointUnsupported where it fails on an input."""
    try:
        return reference.encode(probes.probes, batch=probes.batch, prompts=prompts)
    except NestvecError:
        raise
    except Exception as error:  # a library's own
        raise CheckpointUnsupported(
            f"the checkpoint's own library fails on an input of the verification ({reference.library})",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that its embedding table has a row for every id of its tokenizer, and a "
            "position for every token; or give --max-tokens.",
        ) from error


def _served(served: ServedEncoder, probes: ProbeSet, expert: str | None) -> list[Array]:
    """One request per probe, or one for all where the reference batches them."""
    if probes.batch > 1:
        return served.embed(probes.probes, expert=expert)
    return [vector for probe in probes.probes for vector in served.embed([probe], expert=expert)]


def _check_prefix(
    manifest: Manifest, served: ServedEncoder, probes: ProbeSet, expected: Sequence[Array]
) -> None:
    """Raise VerificationFailed unless a short vector is the start of the long one, at length 1 again."""
    if len(manifest.dims) < 2:
        return
    dim, chosen = manifest.dims[-1], slice(0, 4)
    short = np.stack(served.embed(probes.probes[chosen], dim=dim))
    prefix = nest(np.stack(expected[chosen]), dim, normalised=manifest.normalised)
    compare.compare_vectors(prefix, short, manifest.precision)


def _check_prompts(reference: Reference, manifest: Manifest, expert: str | None) -> None:
    """Raise CheckpointUnsupported for a prompt that was lost; an expert's must be the encoder's as well."""
    prompts = {str(name): text for name, text in manifest.prompts.items()}
    missing = [name for name in reference.prompts if name not in prompts]
    differing = [name for name, text in reference.prompts.items() if prompts.get(name) != text]
    if expert is not None and differing:
        raise CheckpointUnsupported(
            f"the expert {expert} has other prompts than the encoder",
            value=", ".join(differing),
            next_step="Export it as an encoder of its own.",
        )
    if missing:
        raise CheckpointUnsupported(
            "the checkpoint has prompts that the export lost",
            value=", ".join(missing),
            next_step="Report it, with the checkpoint's config_sentence_transformers.json.",
        )
