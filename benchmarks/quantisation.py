"""One checkpoint in several precisions: speed as a ratio, cosine, quality kept, whether the batch matters.

The speeds are those of loops over texts sorted by length, in turns, in one process; medians of the rounds.
The reference of ratios and cosines is the first encoder in ONNX Runtime. ``--vectors`` keeps vectors of
datasets for later runs. ``--ir`` also measures what NNCF makes of the first encoder in OpenVINO's own format,
calibrated on 128 of this machine's texts as an export is.

    python benchmarks/quantisation.py --models models --encoders minilm,minilm-int8-dynamic,minilm-int8 \\
        [--datasets scifact,cranfield] [--rounds 5] [--vectors FOLDER] [--ir] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from openvino import CompiledModel
from tokenizers import Tokenizer

from nestvec.datasets.beir import open_dataset
from nestvec.engines.openvino.opening import compile_config, cpu_features, openvino_core
from nestvec.evaluate.metrics.ranking import per_query_metrics
from nestvec_exporters.graph.quantise.calibration import MAX_CALIBRATION_INPUTS
from nestvec_schemas.preprocessing.collate import Arrays, pad_rows
from nestvec_schemas.repository import GRAPH, TOKENIZER, read_manifest
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.vectors import Vectors, cosines, normalise

Run = Callable[[Arrays], Vectors]

ENGINES = {
    "fp32": ("onnxruntime", "openvino-fp32", "openvino-bf16"),
    "int8-dynamic": ("onnxruntime",),
    "int8": ("openvino-fp32", "onnxruntime"),
    "int8-weights": ("onnxruntime", "openvino-fp32"),
    "int4-weights": ("onnxruntime", "openvino-fp32"),
}
"""What runs an encoder, by its precision; quality is measured with the first."""

DEPTH, BATCH, CHECKED = 100, 32, 48

IR, SMOOTHING = "nncf-openvino-ir", 0.85


def in_onnxruntime(graph: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_inputs()]
    return lambda arrays: session.run(None, {name: arrays[name] for name in names})[0]


def in_openvino(graph: Path, precision: str) -> Run:
    return compiled(openvino_core().compile_model(str(graph), "CPU", compile_config(0, precision)))


def compiled(model: CompiledModel) -> Run:
    names = [tensor.get_any_name() for tensor in model.inputs]
    request = model.create_infer_request()
    return lambda arrays: np.array(request.infer({name: arrays[name] for name in names})[0])


def open_runs(folder: Path) -> dict[str, Run]:
    """An encoder by the engines that run it."""
    runs = {}
    for engine in ENGINES[read_manifest(folder).precision]:
        name, _, precision = engine.partition("-")
        runs[engine] = (
            in_onnxruntime(folder / GRAPH)
            if name == "onnxruntime"
            else in_openvino(folder / GRAPH, precision)
        )
    return runs


def in_openvino_ir(folder: Path) -> Run:
    """The encoder as NNCF quantises it for OpenVINO, without ONNX between."""
    os.environ["NNCF_CI"] = "1"  # without it, NNCF reports its use
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters

    core = openvino_core()
    source = core.read_model(str(folder / GRAPH))
    names = [tensor.get_any_name() for tensor in source.inputs]
    batches = [pad_rows([row]) for row in rows_of(folder, sample_texts(MAX_CALIBRATION_INPUTS))]
    quantised = nncf.quantize(
        source,
        nncf.Dataset([{name: batch[name] for name in names} for batch in batches]),
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=SMOOTHING)
        ),
    )
    return compiled(core.compile_model(quantised, "CPU", compile_config(0, "fp32")))


def rows_of(folder: Path, texts: Sequence[str]) -> list[Arrays]:
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.enable_truncation(read_manifest(folder).main_tower.max_tokens)
    return [
        {"input_ids": np.asarray(item.ids, np.int64)} for item in tokenizer.encode_batch_fast(list(texts))
    ]


def embed(run: Run, rows: Sequence[Arrays], batch: int = BATCH) -> Vectors:
    """Vectors of ``rows``, in batches of texts of similar length."""
    order = sorted(range(len(rows)), key=lambda place: -len(rows[place]["input_ids"]))
    vectors: list[Any] = [None] * len(rows)
    for start in range(0, len(rows), batch):
        places = order[start : start + batch]
        for place, vector in zip(places, run(pad_rows([rows[place] for place in places])), strict=True):
            vectors[place] = vector
    return np.stack(vectors)


def ndcg(folder: Path, run: Run, dataset_folder: Path, cache: Path | None) -> float:
    """Mean nDCG@10 of exact search by cosine."""
    dataset = open_dataset(dataset_folder)
    sides: list[NDArray[Any]] = []
    for side in ("document", "query"):
        graph = read_manifest(folder).files[GRAPH][:16]  # an encoder exported again has other vectors
        path = None if cache is None else cache / f"{dataset.name}-{folder.name}-{graph}-{side}.npy"
        if path is not None and path.is_file():
            sides.append(np.load(path))
            continue
        sides.append(embed(run, rows_of(folder, list(dataset.inputs(side)))))  # type: ignore[arg-type]
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, sides[-1])
    scores = normalise(sides[1]) @ normalise(sides[0]).T
    ranking = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    return float(per_query_metrics(dataset, ranking)["ndcg@10"].mean())


def batch_difference(run: Run, rows: Sequence[Arrays]) -> float:
    """How much a number of a vector differs at most between a text alone and in mixed batches of 16."""
    alone = np.concatenate([run(pad_rows([row])) for row in rows])
    together = np.concatenate([run(pad_rows(rows[start : start + 16])) for start in range(0, len(rows), 16)])
    return float(np.abs(alone - together).max())


def measure(options: argparse.Namespace) -> dict[str, Any]:
    folders = [options.models / name for name in options.encoders.split(",")]
    runs = {(folder.name, engine): run for folder in folders for engine, run in open_runs(folder).items()}
    if options.ir:
        runs[IR, "openvino-fp32"] = in_openvino_ir(folders[0])
    texts = sample_texts(4 * options.texts)[2::4]  # other texts than int8 is calibrated on, but for chance
    rows = rows_of(folders[0], texts)
    tokens = sum(len(row["input_ids"]) for row in rows)
    expected = embed(next(iter(runs.values())), rows)
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(options.rounds):
        for key, run in runs.items():
            started = time.perf_counter()
            embed(run, rows)
            seconds[key].append(time.perf_counter() - started)
    first = next(iter(runs))
    results = []
    for key, run in runs.items():
        near = cosines(expected, embed(run, rows))
        ratios = [base / own for base, own in zip(seconds[first], seconds[key], strict=True)]
        results.append(
            {
                "encoder": key[0],
                "precision": "int8" if key[0] == IR else read_manifest(options.models / key[0]).precision,
                "engine": key[1],
                "tokens_per_second": round(tokens / statistics.median(seconds[key])),
                "speed": round(statistics.median(ratios), 2),
                "cosine_min": round(float(near.min()), 5),
                "cosine_mean": round(float(near.mean()), 5),
                "batch_difference": batch_difference(run, rows[:CHECKED]),
                "bytes": None if key[0] == IR else (options.models / key[0] / GRAPH).stat().st_size,
            }
        )
        print(results[-1], flush=True)
    quality: dict[str, dict[str, float]] = {}
    for dataset in [name for name in options.datasets.split(",") if name]:
        for folder in folders:
            engine = ENGINES[read_manifest(folder).precision][0]
            value = ndcg(folder, runs[folder.name, engine], options.data / dataset, options.vectors)
            quality.setdefault(dataset, {})[folder.name] = round(value, 4)
            print(dataset, folder.name, quality[dataset][folder.name], flush=True)
    return {
        "date": date.today().isoformat(),
        "cpu": cpu_features(openvino_core()),
        "tokens": tokens,
        "rounds": options.rounds,
        "results": results,
        "ndcg@10": quality,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--encoders", required=True, help="the fp32 encoder first")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--datasets", default="scifact,cranfield")
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--ir", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2, default=str) + "\n", "utf-8")


if __name__ == "__main__":
    main()
