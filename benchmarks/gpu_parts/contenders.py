"""What is measured, one function each: it gives what runs a batch, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gpu_parts.shapes import Arrays
from nestvec.engines.device import Device, check_session, choose_device
from nestvec.engines.graph_sessions import BoundSession, CapturedSession, GraphSession, HostSession

Vectors = NDArray[np.float32]
Run = Callable[[Arrays], Vectors]

INSTANCES = 2


def _session(graph: Path, device: Device, *, cuda_graphs: bool = False) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = device.open_session(graph, options, cuda_graphs=cuda_graphs)
    check_session(session, device)
    return session


def _plain(name: str) -> Callable[[Path, str], Run]:
    """Arrays in and out, of one of the graphs."""

    def open_graph(folder: Path, device: str) -> Run:
        return HostSession(_session(folder / name / "model.onnx", choose_device(device))).run

    return open_graph


def bound(folder: Path, device: str) -> Run:
    """The fused graph, with inputs bound to the GPU's memory."""
    chosen = choose_device(device)
    return BoundSession(_session(folder / "fused" / "model.onnx", chosen), chosen).run


def cuda_graphs(folder: Path, device: str) -> Run:
    """The fused graph, with short batches replayed as CUDA graphs."""
    chosen = choose_device(device)
    graph = folder / "fused" / "model.onnx"
    return CapturedSession(_session(graph, chosen, cuda_graphs=chosen.is_cuda), chosen).run


def instances(folder: Path, device: str) -> Run:
    """Two sessions at the same time: the batch in two halves, each as large as the batch."""
    chosen = choose_device(device)
    graph = folder / "fused" / "model.onnx"
    sessions: list[GraphSession] = [BoundSession(_session(graph, chosen), chosen) for _ in range(INSTANCES)]
    pool = ThreadPoolExecutor(INSTANCES)

    def run(arrays: Arrays) -> Vectors:
        return np.concatenate(list(pool.map(lambda session: session.run(arrays), sessions)))

    return run


def tensorrt_rtx(folder: Path, device: str) -> Run:
    """The fp16 graph of standard operators, through TensorRT-RTX."""
    chosen = choose_device("tensorrt-rtx")
    return HostSession(_session(folder / "fp16" / "model.onnx", chosen)).run


def tensorrt_plan(folder: Path, device: str) -> Run:
    """The fp16 graph as a strongly typed plan of TensorRT, with a profile for each rung of length."""
    from gpu_parts.tensorrt_run import PlanRunner
    from nestvec_exporters.graph.tensorrt import build_tensorrt_plan, optimisation_profiles

    profiles = optimisation_profiles(512)
    plan = folder / "model.plan"
    if not plan.exists():
        build_tensorrt_plan(folder / "fp16" / "model.onnx", plan, profiles)
    return PlanRunner(plan, profiles).run


def sentence_transformers(folder: Path, device: str) -> Run:
    """sentence-transformers in fp16 on the same token ids; in float32 on a CPU."""
    import torch
    from sentence_transformers import SentenceTransformer

    kind = torch.float32 if device == "cpu" else torch.float16
    model = SentenceTransformer(str(folder / "checkpoint"), device=device, model_kwargs={"torch_dtype": kind})
    model.eval()

    def run(arrays: Arrays) -> Vectors:
        with torch.inference_mode():
            features = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
            vectors: Vectors = model(features)["sentence_embedding"].float().cpu().numpy()
        return vectors

    return run


def vllm(folder: Path, device: str) -> Run:
    """vLLM's pooling runner in fp16, offline, on the same token ids; it packs sequences by itself."""
    from vllm import LLM, TokensPrompt

    model = LLM(str(folder / "checkpoint"), runner="pooling", dtype="float16", gpu_memory_utilization=0.3)

    def run(arrays: Arrays) -> Vectors:
        rows = zip(arrays["input_ids"], arrays["attention_mask"], strict=True)
        prompts = [TokensPrompt(prompt_token_ids=ids[mask > 0].tolist()) for ids, mask in rows]
        outputs = model.embed(prompts, use_tqdm=False)
        return np.array([output.outputs.embedding for output in outputs], np.float32)

    return run


def infinity(folder: Path, device: str) -> Run:
    """Infinity's engine in this process, without HTTP, on texts of as many words as the batch has tokens."""
    import asyncio

    from infinity_emb import AsyncEmbeddingEngine, EngineArgs

    arguments = EngineArgs(
        model_name_or_path=str(folder / "checkpoint"),
        device=device,
        dtype="float32" if device == "cpu" else "float16",
        engine="torch",
        batch_size=64,
        embedding_dtype="float32",
        lengths_via_tokenize=False,
    )
    engine, loop = AsyncEmbeddingEngine.from_args(arguments), asyncio.new_event_loop()
    loop.run_until_complete(engine.astart())

    def run(arrays: Arrays) -> Vectors:
        texts = [" ".join(["word"] * max(1, int(mask.sum()) - 2)) for mask in arrays["attention_mask"]]
        embeddings, _ = loop.run_until_complete(engine.embed(texts))
        return np.array(embeddings, np.float32)

    return run


CONTENDERS: dict[str, Callable[[Path, str], Run]] = {
    "onnx fp32": _plain("fp32"),
    "onnx fp16": _plain("fp16"),
    "onnx fp16 fused": _plain("fused"),
    "onnx fp16 fused, one projection": _plain("attention"),
    "onnx fp16 packed": _plain("packed"),
    "onnx fp16 fused, bound": bound,
    "onnx fp16 fused, CUDA graphs": cuda_graphs,
    f"onnx fp16 fused, {INSTANCES} instances": instances,
    "TensorRT plan": tensorrt_plan,
    "TensorRT-RTX": tensorrt_rtx,
    "sentence-transformers": sentence_transformers,
    "vLLM": vllm,
    "Infinity": infinity,
}

OTHER_INPUTS = frozenset({"Infinity"})
"""Contenders that read texts, so that their vectors are of other inputs."""

FACTORS = {f"onnx fp16 fused, {INSTANCES} instances": INSTANCES}
"""Contenders whose run is several batches."""
