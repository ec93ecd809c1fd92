"""What ``nestvec export`` prints about the encoder that it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec_schemas.towers import MAIN_PART

if TYPE_CHECKING:
    from nestvec_schemas.manifest import FitSummary, Manifest, QuantisationSummary, Verification


def print_export(manifest: Manifest, models: Path, *, as_json: bool, fitted: bool) -> None:
    """Print the encoder's folder, size and accuracy; if ``fitted``, also the coefficients of the merge."""
    from nestvec.cli.reports.encoder_inputs import describe_inputs
    from nestvec.terminal.tables import print_json
    from nestvec_schemas.repository import file_path

    folder = models / manifest.name
    size = sum(file_path(folder, name).stat().st_size for name in manifest.files)
    if as_json:
        shown = manifest.model_dump(mode="json")
        print_json({"path": str(folder), "bytes": size, "manifest": shown})
        return
    merged = f"fitted coefficients: --merge '{manifest.source}'\n" if fitted else ""
    verification = manifest.verification
    dims = ", ".join(map(str, manifest.dims))
    click.echo(
        f"{merged}{folder}: {manifest.dim} dims ({dims}), {manifest.precision}, "
        f"{describe_inputs(manifest)}, {size / 1e6:.1f} MB\n"
        f"{_trusted(manifest)}"
        f"{_not_honoured(manifest.declarations)}"
        f"{_prompts(manifest)}"
        f"{_quantised(manifest)}"
        f"{_verified(verification)}"
        f"{_nested(manifest)}"
        f"Next: nestvec serve --models {models}"
    )


def _prompts(manifest: Manifest) -> str:
    """The names of the prompts, the default, and warnings about them."""
    if not manifest.prompts:
        return "".join(f"warning: {note}\n" for note in manifest.prompt_notes)
    default = f"; {manifest.default_prompt} if a request names none" if manifest.default_prompt else ""
    lines = [f"prompts: {', '.join(manifest.prompts)}{default}"]
    return "".join(f"{line}\n" for line in [*lines, *(f"warning: {note}" for note in manifest.prompt_notes)])


def _trusted(manifest: Manifest) -> str:
    """That code of the checkpoint's own was allowed to run, where it was."""
    if not manifest.trust_remote_code:
        return ""
    return "the checkpoint's own code was allowed to run (--trust-remote-code)\n"


def _not_honoured(declarations: Mapping[str, Mapping[str, str]]) -> str:
    """Declarations of the checkpoint that were ignored, and lengths that are not reached."""
    lines = [
        f"{file}:{key}: {made_of.partition(': ')[2]}" if key else f"{file}: {made_of.partition(': ')[2]}"
        for file, keys in declarations.items()
        for key, made_of in keys.items()
        if made_of.startswith(("ignored: ", "honoured: texts are truncated to"))
    ]
    return "".join(f"warning: {line}\n" for line in lines)


def _quantised(manifest: Manifest) -> str:
    """Of each part: what was calibrated, how near the result is to the same in float, and how much stayed in
    float."""
    parts = {MAIN_PART: manifest.quantisation, **manifest.part_quantisations}
    return "".join(_quantised_part(part, summary) for part, summary in parts.items() if summary is not None)


def _quantised_part(part: str, quantisation: QuantisationSummary) -> str:
    named = f"{part}: " if part else ""
    inputs = f"calibrated on {quantisation.inputs} inputs of {quantisation.sample}; "
    calibrated = inputs if quantisation.inputs else ""
    sensitive = len(quantisation.float_layers)
    wider = f", {sensitive} sensitive operators in a higher precision" if sensitive else ""
    return (
        f"{named}{calibrated}cosine to the graph in float over {quantisation.held_out} held-out inputs: mean "
        f"{quantisation.cosine_mean:.6f}, minimum {quantisation.cosine_min:.6f}{wider}\n"
    )


def _verified(verification: Verification) -> str:
    """How close the vectors are to the reference's, what that is, and how long the comparison took."""
    reference = verification.reference or "the checkpoint as nestvec reads it (no independent reference)"
    longest = f", up to {verification.max_tokens} tokens" if verification.max_tokens else ""
    took = f", {verification.level} verification in {verification.seconds} s" if verification.level else ""
    return (
        f"cosine over {verification.sentences} inputs{longest}: mean {verification.cosine_mean:.6f}, "
        f"minimum {verification.cosine_min:.6f}{took}\n"
        f"compared with {reference}\n"
    )


def _nested(manifest: Manifest) -> str:
    """What was fitted, and what short vectors and exits keep."""
    fit = manifest.fit
    if fit is None:
        return ""
    shares = ", ".join(
        f"{dim}: {share:.0%}" + (f" (plain {fit.plain[dim]:.0%})" if fit.method else "")
        for dim, share in manifest.retention.items()
        if dim != manifest.dim
    )
    method = f"{fit.method} rotation, fitted" if fit.method else "fitted"
    lines = [
        f"{method} on {_describe_sample(fit)}",
        *([_describe_choice(fit)] if fit.compared else []),
        f"10 nearest neighbours kept, over {fit.held_out} held-out texts: {shares}",
        *(
            f"exit {layer} of {manifest.depth}: cosine {exit_fit.cosine:.3f} to the last layer, "
            f"10 nearest neighbours kept {exit_fit.retention[manifest.dim]:.0%}"
            for layer, exit_fit in manifest.exits.items()
        ),
    ]
    return "".join(f"{line}\n" for line in lines)


def _describe_choice(fit: FitSummary) -> str:
    """Which rotation was chosen, and what the others keep."""
    others = ", ".join(
        f"{name} {share:.1%}"
        for name, share in sorted(fit.compared.items(), key=lambda item: -item[1])
        if name != fit.learned_from
    )
    best = fit.compared[fit.learned_from] if fit.learned_from else 0.0
    return f"chosen by held-out queries: {fit.learned_from}, which keeps {best:.1%} at short dims ({others})"


def _describe_sample(fit: FitSummary) -> str:
    """The sample and its size in words."""
    if fit.sample_texts is None:
        return f"{fit.texts:,} texts of {fit.sample}"
    sample_text = f"{fit.sample_texts:,} texts of {fit.sample}"
    count = fit.texts + fit.held_out - fit.sample_texts
    if not count:
        return sample_text
    if fit.queries is not None:
        return f"{sample_text} and {count:,} queries of {fit.queries} and sentences"
    what = "queries sampled from them" if fit.method == "learned" else "sentences of them"
    return f"{sample_text} and {count:,} {what}"
