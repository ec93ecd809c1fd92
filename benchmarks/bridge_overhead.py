"""What a bridge costs a query: CPU time of the service's own code in this process, with and without it.

    python benchmarks/bridge_overhead.py --models models --encoder minilm --old-dim 384 \\
        [--json benchmarks/results/bridge-overhead.json]

The encoder is copied; the copy receives maps with a residual of 512 of both sides, which read tokens too, the
largest that ``nestvec bridge`` fits, of random values. Single queries alternate between the encoder as it
was and the bridge of the copy, in blocks, so that a busy machine slows both alike. ``engine`` is the graph's
pass alone, by ONNX Runtime on a thread; ``service`` is the tokenizer, the queues and the pass. The products
with the graph's matrices are counted too, which no other process disturbs.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from tokenizers import Tokenizer

from nestvec.bridge.vectors import PromptedText
from nestvec.engines.onnx import OnnxEngine
from nestvec.service.preprocess.inputs import collate_ids
from nestvec.service.verification import open_served
from nestvec_exporters.bridge.install import install_bridge, next_exit, next_query_exit
from nestvec_exporters.bridge.token_table import token_texts
from nestvec_exporters.space_maps.mapping import BridgeMap, BridgeMaps, HiddenLayer
from nestvec_schemas.bridges.bridge import Bridge, served_name
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.repository import GRAPH, TOKENIZER, read_manifest

HIDDEN = 512
QUERY = "the effect of a swept wing on heat transfer at the stagnation point of a blunt body"
TOKENS = 18
WARM_UP = 20
HEADS = "nestvec/bridge/"


def bridged(source: Path, folder: Path, old_dim: int) -> tuple[Path, int]:
    """A copy of an encoder with a bridge of random values, and the bridge's exit."""
    copy = Path(shutil.copytree(source, folder / source.name))
    manifest, random = read_manifest(copy), np.random.default_rng(0)

    def values(*shape: int) -> Any:
        return np.asarray(random.normal(size=shape) / 20, np.float32)

    width = manifest.dim + old_dim
    hidden = HiddenLayer(values(width, HIDDEN), values(HIDDEN), values(HIDDEN, old_dim))
    number = next_query_exit(manifest, "old")
    bridge = Bridge(
        fingerprint="old",
        mapped_from=encoder_fingerprint(manifest),
        exit=next_exit(manifest, "old"),
        query_exit=number,
        dim=old_dim,
        dims=(old_dim,),
        method="learned",
        sample="random",
        texts=1,
        compared={},
    )
    mapping = BridgeMap(values(width, old_dim), values(old_dim), hidden)
    tokens = len(token_texts(Tokenizer.from_file(str(copy / TOKENIZER))))
    install_bridge(
        copy, "old", bridge, BridgeMaps(mapping, mapping, values(tokens, old_dim).astype(np.float16))
    )
    return copy, number


def multiplications(folder: Path, tokens: int) -> Any:
    """The products of a query's pass with the graph's matrices, of the encoder and of its bridge: a layer
    multiplies each token, a head one vector; sums of tokens are products with no matrix of the graph."""
    model = onnx.load(str(folder / GRAPH))
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    counts = {"encoder": 0, "bridge": 0}
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            part = "bridge" if node.output[0].startswith(HEADS) else "encoder"
            rows = 1 if part == "bridge" else tokens
            counts[part] += rows * sum(sizes.get(name, 0) for name in node.input)
    return {**counts, "share": round(counts["bridge"] / counts["encoder"], 5)}


def overhead(plain: Callable[[], object], bridge: Callable[[], object], blocks: int, size: int) -> Any:
    """The share of CPU time that ``bridge`` takes beyond ``plain``: over all, and its standard error."""
    for _ in range(WARM_UP):
        plain()
        bridge()
    seconds: list[tuple[float, float]] = []
    for block in range(blocks):
        order: Sequence[int] = (0, 1) if block % 2 else (1, 0)
        spent = [0.0, 0.0]
        for which in order:
            started = time.process_time()
            for _ in range(size):
                (plain, bridge)[which]()
            spent[which] = time.process_time() - started
        seconds.append((spent[0], spent[1]))
    times = np.array(seconds) / size * 1000
    ratios = times[:, 1] / times[:, 0] - 1
    return {
        "plain_ms": round(float(np.median(times[:, 0])), 3),
        "bridge_ms": round(float(np.median(times[:, 1])), 3),
        "overhead": round(float(np.median(ratios)), 4),
        "standard_error": round(float(1.2533 * ratios.std(ddof=1) / np.sqrt(blocks)), 4),
        "queries": blocks * size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--old-dim", type=int, default=384)
    parser.add_argument("--blocks", type=int, default=100)
    parser.add_argument("--block", type=int, default=10, help="queries in a block")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    source = options.models / options.encoder
    with TemporaryDirectory() as temporary:
        copy, number = bridged(source, Path(temporary), options.old_dim)
        name = options.encoder
        before, after = OnnxEngine({name: source}), OnnxEngine({name: copy})
        ids = [np.arange(1000, 1000 + TOKENS, dtype=np.int64)]
        counted = {str(tokens): multiplications(copy, tokens) for tokens in (3, TOKENS)}
        plain_batch, bridge_batch = collate_ids(ids, 0), collate_ids(ids, number)
        engine = overhead(
            lambda: before.run_now(name, plain_batch),
            lambda: after.run_now(name, bridge_batch),
            options.blocks,
            options.block,
        )
        probes = [PromptedText(QUERY, "query")]
        with open_served(source) as own, open_served(copy, served_name(name, "old")) as by_bridge:
            service = overhead(
                lambda: own.embed(probes), lambda: by_bridge.embed(probes), options.blocks, options.block
            )
    result = {
        "date": date.today().isoformat(),
        "encoder": name,
        "old_dim": options.old_dim,
        "hidden": HIDDEN,
        "multiplications_by_tokens": counted,
        "engine": engine,
        "service": service,
    }
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
