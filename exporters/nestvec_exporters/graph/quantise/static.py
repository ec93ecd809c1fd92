"""Int8 with ranges measured once: NNCF's post-training quantisation, as standard operators of ONNX.

OpenVINO and ONNX Runtime read the same file. No range depends on a batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import onnx

from nestvec_exporters.checkpoints.quiet import captured_output
from nestvec_exporters.graph.quantise.calibration import Calibration, outputs_of, similarities
from nestvec_exporters.graph.quantise.runner import open_model
from nestvec_exporters.graph.quantise.sensitivity import keep_sensitive_layers
from nestvec_exporters.graph.save import MAX_PROTOBUF_BYTES
from nestvec_schemas.errors import EncoderError, NestvecError, VerificationFailed
from nestvec_schemas.manifest import QuantisationSummary
from nestvec_schemas.preprocessing.collate import Array, Arrays, pad_rows

MIN_MEAN_COSINE: Final = 0.998
"""The mean cosine to the graph in float, over held-out inputs, that layers are kept in float for."""

_SMOOTHING: Final = 0.85
"""How far outliers of activations are moved into the weights, 0 to 1. all-MiniLM-L6-v2, mean cosine: 0.9914
at 0.5 (its activations lose most), 0.9981 here, 0.9978 at NNCF's 0.95 (its weights do), 0.9939 without."""

_RANKING_INPUTS: Final = 24
"""Inputs on which the layers' sensitivity is measured."""

_NO_TELEMETRY: Final = "NNCF_CI"
"""The environment variable without which importing NNCF reports its use to Google Analytics."""


def quantise_static(
    graph: Path,
    target: Path,
    calibration: Calibration,
    *,
    unbatched: bool = False,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> QuantisationSummary:
    """Write ``graph`` to ``target`` with weights and activations in int8 (QDQ), sensitive layers in float.

    Weights have a scale per channel and activations one scale, measured on the calibration's rows, after
    outliers were moved into the weights (SmoothQuant, Xiao et al. 2023); biases are corrected. Raises
    VerificationFailed where the output does not reach MIN_MEAN_COSINE with half of the activations in float,
    EncoderError where NNCF cannot quantise the graph.
    """
    if sum(path.stat().st_size for path in graph.parent.iterdir()) > MAX_PROTOBUF_BYTES:
        raise EncoderError(
            "NNCF cannot calibrate a graph of more than 2 GiB",
            value=graph.name,
            next_step="Export it with --precision int8-weights, which quantises weights alone.",
        )
    source = onnx.load(str(graph))
    names = [value.name for value in source.graph.input]
    expected = outputs_of(open_model(source), calibration.held_out, unbatched=unbatched)
    ranking_rows = calibration.rows[:_RANKING_INPUTS]
    ranking = outputs_of(open_model(source), ranking_rows, unbatched=unbatched)
    quantised = _quantise(source, names, calibration.rows)

    def cosines_of(model: onnx.ModelProto, rows: Sequence[Arrays], reference: Sequence[Array]) -> Array:
        outputs = outputs_of(open_model(model), rows, unbatched=unbatched)
        return similarities(reference, outputs, calibration.kind, packed=calibration.packed)

    mixed = keep_sensitive_layers(
        quantised,
        lambda model: float(cosines_of(model, calibration.held_out, expected).mean()),
        lambda model: float(cosines_of(model, ranking_rows, ranking).mean()),
        MIN_MEAN_COSINE,
        on_step,
    )
    final = cosines_of(mixed.model, calibration.held_out, expected)
    if not mixed.reached:
        raise VerificationFailed(
            f"int8 does not reach a mean cosine of {MIN_MEAN_COSINE} to the encoder in float, even with "
            "half of its layers in float",
            value=f"{final.mean():.4f}",
            next_step="Calibrate on texts like yours (--calibrate FILE), or choose --precision int8-weights "
            "or int8-dynamic; nothing was written.",
        )
    onnx.save(mixed.model, str(target))
    return QuantisationSummary(
        sample=calibration.source,
        inputs=len(calibration.rows),
        held_out=len(calibration.held_out),
        cosine_min=float(final.min()),
        cosine_mean=float(final.mean()),
        float_layers=mixed.float_layers,
    )


def _quantise(source: onnx.ModelProto, names: list[str], rows: Sequence[Arrays]) -> onnx.ModelProto:
    """NNCF's result. Raises EncoderError."""
    with _without_telemetry(), captured_output():
        import nncf  # noqa: PLC0415 - seconds of imports
        from nncf.quantization.advanced_parameters import (  # noqa: PLC0415
            AdvancedSmoothQuantParameters,
        )

        attention = any(node.op_type == "Softmax" for node in source.graph.node)
        batches = [{name: array for name, array in pad_rows([row]).items() if name in names} for row in rows]
        try:
            quantised: onnx.ModelProto = nncf.quantize(
                source,
                nncf.Dataset(batches),
                subset_size=len(batches),
                model_type=nncf.ModelType.TRANSFORMER if attention else None,
                preset=nncf.QuantizationPreset.MIXED,
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=_SMOOTHING)
                ),
            )
        except NestvecError:
            raise
        except Exception as error:  # NNCF and ONNX Runtime raise classes of their own, without a common root
            raise EncoderError(
                "NNCF cannot quantise this graph",
                value=str(error).strip().partition("\n")[0] or type(error).__name__,
                next_step="Export it with --precision int8-dynamic, or fp32.",
            ) from error
    return quantised


@contextmanager
def _without_telemetry() -> Iterator[None]:
    before = os.environ.get(_NO_TELEMETRY)
    os.environ[_NO_TELEMETRY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NO_TELEMETRY]
        else:
            os.environ[_NO_TELEMETRY] = before
