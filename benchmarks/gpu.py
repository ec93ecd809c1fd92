"""Everything that a GPU makes faster, measured in one run of ten minutes at most.

    python benchmarks/gpu.py --device cuda --budget 540 --json gpu.json
    python benchmarks/gpu.py --device cpu --smoke

Each contender runs in a process of its own, so that none takes the others with it. What cannot run is a row
with its reason, and each row is in the file as soon as it is measured. ``--python NAME=PROGRAM`` runs a
contender in another environment: TensorRT-RTX wants onnxruntime, CUDA onnxruntime-gpu.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

LEAST_SECONDS = 5.0
"""Below this, a contender is not started."""

MOST_SECONDS = 150.0
"""For one contender: a TensorRT plan takes most of it to build."""

REASON_LENGTH = 300

Row = dict[str, Any]


def main() -> None:
    options = _arguments()
    if options.contender:
        _measure(options)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = _prepare(folder, options) if options.graphs is None else []
        deadline = time.monotonic() + options.budget
        if options.graphs is not None:
            _expand(options.graphs, folder)
        if options.prepare is None:
            for row in _run(options, folder, deadline):
                rows.append(row)
                print(json.dumps(row), flush=True)
                _write(options.json, rows)
        _write(options.json, rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
    parser.add_argument(
        "--smoke", action="store_true", help="a tiny encoder, short batches: a test of this program"
    )
    parser.add_argument("--budget", type=float, default=540.0, help="seconds for everything but --prepare")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--prepare", type=Path, metavar="FOLDER", help="write the graphs there, small, and stop"
    )
    parser.add_argument("--graphs", type=Path, metavar="FOLDER", help="read the graphs of --prepare")
    parser.add_argument("--only", default="", help="contenders whose names contain this")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _prepare(folder: Path, options: argparse.Namespace) -> list[Row]:
    from gpu_parts.compact import compact
    from gpu_parts.graphs import GRAPHS, write_graphs, write_texts
    from gpu_parts.shapes import BERT_BASE, MINILM, SMOKE_TEXTS, TEXTS, TINY

    rows = []
    for shape in (TINY,) if options.smoke else (MINILM, BERT_BASE):
        started = time.monotonic()
        (folder / shape.name).mkdir()
        counts = write_graphs(shape, folder / shape.name)
        write_texts(folder / shape.name, SMOKE_TEXTS if options.smoke else TEXTS)
        if options.prepare is not None:
            random = shape == BERT_BASE
            compact(folder / shape.name, options.prepare / shape.name, GRAPHS, random=random)
        seconds = round(time.monotonic() - started, 1)
        rows.append({"encoder": shape.name, "contender": "graphs", "fused": counts, "seconds": seconds})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def _expand(compacted: Path, folder: Path) -> None:
    from gpu_parts.compact import expand

    for encoder in sorted(compacted.iterdir()):
        expand(encoder, folder / encoder.name)


def _run(options: argparse.Namespace, folder: Path, deadline: float) -> Iterator[Row]:
    """A row for the machine, then those of each contender, as they come."""
    from gpu_parts.contenders import CONTENDERS

    interpreters = dict(word.split("=", 1) for word in options.python)
    unknown = interpreters.keys() - CONTENDERS.keys()
    if unknown:
        raise SystemExit(f"--python: no contender {', '.join(sorted(unknown))}. Use {', '.join(CONTENDERS)}.")
    for name in ("machine", *CONTENDERS):
        if options.only.lower() not in name.lower():
            continue
        left = deadline - time.monotonic()
        if left < LEAST_SECONDS:
            yield {"contender": name, "skipped": f"the budget of {options.budget:g} s is spent"}
            continue
        program = interpreters.get(name, sys.executable)
        yield from _in_process(program, name, options, folder, min(left, MOST_SECONDS))


def _in_process(
    program: str, name: str, options: argparse.Namespace, folder: Path, seconds: float
) -> Iterator[Row]:
    """The rows that a contender writes, and one that says why it wrote no more."""
    command = [program, __file__, "--contender", name, "--folder", str(folder), "--device", options.device]
    command += ["--budget", str(seconds), *(["--smoke"] * options.smoke)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryFile("w+") as lines:
        started = time.monotonic()
        try:
            # A little over its own budget, which it keeps between two batches.
            code: int | str = subprocess.run(
                command, env=environment, stdout=lines, stderr=errors, timeout=seconds + 10, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"no end after {time.monotonic() - started:.0f} s"
        lines.seek(0)
        for line in lines:
            if line.startswith('{"'):
                yield json.loads(line)
        if code != 0:
            errors.seek(0)
            reason = errors.read().strip().splitlines()[-1:] or ["no message"]
            yield {"contender": name, "skipped": f"{code}: {reason[0][:REASON_LENGTH]}"}


def _measure(options: argparse.Namespace) -> None:
    """Measure one contender in this process: a row on standard output for each batch."""
    from gpu_parts.shapes import BATCHES, BERT_BASE, MINILM, SMOKE_BATCHES, TINY

    deadline = time.monotonic() + options.budget
    try:
        if options.contender == "machine":
            _emit(_machine(options))
            return
        for shape in (TINY,) if options.smoke else (MINILM, BERT_BASE):
            for row in _rows(options, shape, SMOKE_BATCHES if options.smoke else BATCHES, deadline):
                _emit({"encoder": shape.name, "contender": options.contender, **row})
    except Exception as error:  # what cannot run is a result
        _emit({"contender": options.contender, "skipped": f"{type(error).__name__}: {error}"[:REASON_LENGTH]})


def _emit(row: Row) -> None:
    print(json.dumps(row), flush=True)


def _machine(options: argparse.Namespace) -> Row:
    import onnxruntime
    from gpu_parts.machine import memory_mb, peak_tflops, smi

    from nestvec.engines.device import choose_device

    device = choose_device(options.device)
    size = 128 if options.smoke else 1024 if device.name == "cpu" else 8192
    peaks = {precision: round(peak_tflops(device, size, precision), 3) for precision in ("fp16", "fp32")}
    return {
        "contender": "machine",
        "date": date.today().isoformat(),
        "gpu": smi("name"),
        "driver": smi("driver_version"),
        "memory_mb": memory_mb(),
        "onnxruntime": onnxruntime.__version__,
        "device": device.name,
        "peak_tflops": peaks,
    }


def _rows(options: argparse.Namespace, shape: Any, batches: Any, deadline: float) -> Iterator[Row]:
    """Tokens per second of each batch and of real texts, and the cosine of their vectors to float32."""
    import numpy as np
    from gpu_parts.contenders import CONTENDERS, FACTORS, OTHER_INPUTS
    from gpu_parts.machine import memory_mb
    from gpu_parts.timing import cosines, seconds_of

    folder, name = options.folder / shape.name, options.contender
    texts = dict(np.load(folder / "texts.npz"))
    reference = texts.pop("vectors", None)
    before, started = memory_mb(), time.monotonic()
    run = CONTENDERS[name](folder, options.device)
    loaded = round(time.monotonic() - started, 1)
    for label, arrays in (("texts", texts), *((str(batch), batch.arrays()) for batch in batches)):
        if time.monotonic() > deadline:
            yield {"batch": label, "skipped": "its share of the budget is spent"}
            continue
        seconds = seconds_of(lambda arrays=arrays: run(arrays), deadline)
        rate = FACTORS.get(name, 1) * int(arrays["attention_mask"].sum()) / seconds
        row: Row = {
            "batch": label,
            "tokens_per_second": round(rate),
            "milliseconds": round(1000 * seconds, 3),
            "tflops": round(rate * shape.flops(arrays["input_ids"].shape[1]) / 1e12, 3),
            "load_seconds": loaded,
        }
        if arrays is texts and reference is not None and name not in OTHER_INPUTS:
            row |= cosines(run(arrays)[: len(reference)], reference)
        after = memory_mb()
        if before is not None and after is not None:
            row["memory_mb"] = after - before
        yield row


def _write(path: Path | None, rows: list[Row]) -> None:
    """Write the rows so far, with each one's share of the peak."""
    if path is None:
        return
    peaks = next((row["peak_tflops"] for row in rows if "peak_tflops" in row), None)
    for row in rows:
        if peaks and row.get("tflops") is not None:
            row["share_of_peak"] = round(row["tflops"] / peaks["fp16"], 4)
    half = path.with_suffix(".part")
    half.write_text(json.dumps(rows, indent=1) + "\n")
    half.replace(path)


if __name__ == "__main__":
    main()
