"""What a bridge costs a query: CPU time of the service's own code in this process, with and without it.

    python benchmarks/bridge_overhead.py --models models --encoder minilm --old-dim 384 \\
        [--json benchmarks/results/bridge-overhead.json]

The encoder is copied; the copy receives maps with a residual of 256 of both sides, which read tokens too, the
largest that ``nestvec bridge`` fits, of random values. Single queries alternate between the encoder as it
was and the bridge of the copy, in blocks, so that a busy machine slows both alike. Both are opened several
times, since the place of the weights in memory alone makes one some percent faster than the other. ``engine``
is the graph's pass alone, by ONNX Runtime; ``service`` is the tokenizer, the queues and the pass. The
products with the graph's matrices are counted too, which no other process disturbs.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
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

HIDDEN = 256
QUERY = "the effect of a swept wing on heat transfer at the stagnation point of a blunt body"
TOKENS = (3, 18)
WARM_UP = 20
QUERY_MAP = "nestvec/bridge/old/query/"


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
    """The products of a query's pass with the graph's matrices, of the encoder and of the bridge's map of
    queries: a layer multiplies each token, a map one vector; sums of tokens are products with no matrix of
    the graph."""
    graph = onnx.load(str(folder / GRAPH)).graph
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    (choice,) = (node for node in graph.node if node.output[0] == f"{QUERY_MAP}selected")
    (branch,) = (attribute.g for attribute in choice.attribute if attribute.name == "then_branch")
    encoder, bridge = (
        sum(sizes.get(name, 0) for node in nodes if node.op_type in ("MatMul", "Gemm") for name in node.input)
        for nodes in (graph.node, branch.node)
    )
    return {"encoder": tokens * encoder, "bridge": bridge, "share": round(bridge / (tokens * encoder), 5)}


def block_times(plain: Callable[[], object], bridge: Callable[[], object], blocks: int, size: int) -> Any:
    """The CPU time of a query in ms, by block, of ``plain`` and of ``bridge``: (blocks, 2)."""
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
    return np.array(seconds) / size * 1000


def overhead(openings: Sequence[Any]) -> Any:
    """The share of CPU time that the bridge takes beyond the encoder, of ``block_times`` of each opening: the
    mean over openings of the median over blocks, and its standard error."""
    medians = np.array([np.median(times, axis=0) for times in openings])
    ratios = np.array([np.median(times[:, 1] / times[:, 0]) - 1 for times in openings])
    return {
        "plain_ms": round(float(medians[:, 0].mean()), 3),
        "bridge_ms": round(float(medians[:, 1].mean()), 3),
        "overhead": round(float(ratios.mean()), 4),
        "standard_error": round(float(ratios.std(ddof=1) / np.sqrt(len(ratios))), 4),
        "blocks": sum(len(times) for times in openings),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--old-dim", type=int, default=384)
    parser.add_argument("--openings", type=int, default=8)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--block", type=int, default=5, help="queries in a block")
    parser.add_argument("--threads", type=int, default=0, help="of the engine; by default one per core")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.openings < 2:
        parser.error("--openings is at least 2")
    source, name, size = options.models / options.encoder, options.encoder, (options.blocks, options.block)
    engine: dict[int, list[Any]] = {tokens: [] for tokens in TOKENS}
    service: list[Any] = []
    with TemporaryDirectory() as temporary:
        copy, number = bridged(source, Path(temporary), options.old_dim)
        counted = {str(tokens): multiplications(copy, tokens) for tokens in TOKENS}
        for _ in range(options.openings):
            before, after = (OnnxEngine({name: folder}, threads=options.threads) for folder in (source, copy))
            for tokens, times in engine.items():
                times.append(
                    block_times(
                        *(
                            partial(
                                opened.run_now,
                                name,
                                collate_ids([np.arange(1000, 1000 + tokens)], exit_number),
                            )
                            for opened, exit_number in ((before, 0), (after, number))
                        ),
                        *size,
                    )
                )
            probes = [PromptedText(QUERY, "query")]
            with open_served(source) as own, open_served(copy, served_name(name, "old")) as by_bridge:
                service.append(
                    block_times(partial(own.embed, probes), partial(by_bridge.embed, probes), *size)
                )
    result = {
        "date": date.today().isoformat(),
        "encoder": name,
        "old_dim": options.old_dim,
        "hidden": HIDDEN,
        "multiplications_by_tokens": counted,
        "openings": options.openings,
        "engine_by_tokens": {str(tokens): overhead(times) for tokens, times in engine.items()},
        "service": overhead(service),
    }
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
