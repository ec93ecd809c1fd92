"""Quantise a tower's graph as an export asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nestvec_exporters.graph.quantise.calibration import read_calibration
from nestvec_exporters.graph.quantise.dynamic import quantise_dynamic
from nestvec_exporters.graph.quantise.static import quantise_static
from nestvec_exporters.graph.quantise.weights import quantise_weights
from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.progress import Listener
from nestvec_schemas.manifest import QuantisationSummary


def quantise(
    options: ExportOptions,
    tower: TowerModel,
    loaded: LoadedCheckpoint,
    traced: Path,
    target: Path,
    *,
    files: Path,
    listener: Listener,
) -> QuantisationSummary | None:
    """Write the ``traced`` graph of ``tower`` to ``target`` in the precision of ``options``.

    ``files`` is the folder of the tower's tokenizer. Return how near the result is to its source on held-out
    inputs; None for ``int8-dynamic``, which measures nothing. Raises as ``quantise_static``,
    ``quantise_weights`` and ``quantise_dynamic`` do.
    """
    if options.precision == "int8-dynamic":
        listener.stage("quantising to int8, activations by batch")
        quantise_dynamic(traced, target, heads=tower.heads, hidden=tower.hidden)
        return None
    calibration = read_calibration(tower, loaded, files, options.calibration or options.sample)
    if options.precision == "int8":
        inputs = f"{len(calibration.rows)} inputs of {calibration.source}"
        listener.stage(f"quantising to int8, calibrated on {inputs}")
        return quantise_static(traced, target, calibration, unbatched=tower.spec.alone, on_step=listener.step)
    bits: Literal[8, 4] = 8 if options.precision == "int8-weights" else 4
    listener.stage(f"quantising weights to {bits} bits")
    return quantise_weights(
        traced, target, bits, calibration, unbatched=tower.spec.alone, on_step=listener.step
    )
