"""Vectors of a bed's texts, computed once and kept in files.

A folder for each bed: ``bed.json`` (the texts, the judgements and the encoder), ``documents.npy`` and
``queries.npy``; for each kind of sampled query, ``KIND.npy`` and ``KIND.json`` (text and row of its
document).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from benchmarks.beds.bed import Bed
from tokenizers import Tokenizer

from nestvec_exporters.nesting.sampled_queries import QUERY_KINDS, sample_queries
from nestvec_schemas.vectors import Vectors

_BATCH_TOKENS = 2048


class Encoder:
    """An exported encoder, run by OpenVINO in bf16 (cosines to fp32 of 0.99997)."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        import openvino

        core = openvino.Core()
        core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1})
        self._model = core.compile_model(str(folder / "1/model.onnx"), "CPU")
        self._names = {name for port in self._model.inputs for name in port.get_names()}
        self.name = f"{folder.name}, {max_tokens} tokens"
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str | tuple[int, ...]]) -> Vectors:
        """Unit vectors, (n, d) float32, in the order of ``texts``, or of the ids of their tokens."""
        rows: list[Sequence[int]] = [
            self._tokenizer.encode(text).ids if isinstance(text, str) else text for text in texts
        ]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        vectors: dict[int, Vectors] = {}
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * len(rows[order[end]]) <= _BATCH_TOKENS:
                end += 1
            batch = order[start:end]
            width = len(rows[batch[-1]])
            ids, mask = np.zeros((2, len(batch), width), np.int64)
            for line, row in enumerate(batch):
                ids[line, : len(rows[row])] = rows[row]
                mask[line, : len(rows[row])] = 1
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            output = self._model({name: inputs[name] for name in self._names})[0]
            vectors.update(zip(batch, np.asarray(output, np.float32), strict=True))
            start = end
        return np.stack([vectors[row] for row in range(len(rows))])


def embed_bed(bed: Bed, encoder: Encoder, folder: Path) -> None:
    """Write the bed's texts and its documents' and queries' vectors, unless they are there.

    Raises ValueError if those that are there are of other texts or of another encoder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = json.dumps({**asdict(bed), "encoder": encoder.name})
    path = folder / "bed.json"
    if not path.exists():
        np.save(folder / "documents.npy", encoder.embed(bed.documents))
        np.save(folder / "queries.npy", encoder.embed(bed.queries))
        path.write_text(record)
    elif path.read_text() != record:
        raise ValueError(f"{folder} is of other texts or another encoder: remove it, or name another folder")


def embed_sampled(bed: Bed, encoder: Encoder, folder: Path, *, texts: int) -> None:
    """Write the vectors of queries that are sampled from the first ``texts`` documents."""
    for kind in QUERY_KINDS:
        if not (folder / f"{kind}.json").exists():
            sampled = sample_queries(bed.documents[:texts], kind, seed=0)
            if sampled:
                np.save(folder / f"{kind}.npy", encoder.embed([query.text for query in sampled]))
            (folder / f"{kind}.json").write_text(json.dumps([[query.text, query.row] for query in sampled]))
