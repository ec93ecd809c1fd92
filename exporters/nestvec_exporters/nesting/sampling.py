"""What a sample gives to fit on: its texts, what might be asked for them, and all vectors at every exit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.graph.triton import OUTPUT, exit_output
from nestvec_exporters.nesting.rotation import OnStep
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array, Arrays, pad_rows
from nestvec_schemas.vectors import Vectors

_BATCH_TOKENS = 4096
"""Of a batch, with padding."""

_MAX_BATCH_TEXTS = 64
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n\s*\n")
_MIN_SENTENCE_CHARS, _MAX_SENTENCE_CHARS = 20, 300
"""Characters of a sentence."""

_WORD = r"\b\w{2,24}\b"
_MIN_KEYWORDS, _MAX_KEYWORDS = 3, 8
"""Keywords of a text."""

_PREFERRED_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


def sentences_of(texts: Sequence[str], *, seed: int) -> list[str]:
    """A sentence of each of the distinct ``texts`` that has several, each once.

    Queries are short: what is fitted on documents alone serves them less well (all-MiniLM-L6-v2 at 64 dims,
    mean of SciFact and Cranfield: 0.94 of the whole vectors' nDCG@10 with sentences, 0.92 without).
    """
    random = Random(seed)  # noqa: S311 - a sample, not a secret
    chosen = []
    for text in texts:
        sentences = [
            sentence
            for sentence in _SENTENCE_ENDS.split(text)
            if _MIN_SENTENCE_CHARS <= len(sentence) <= _MAX_SENTENCE_CHARS
        ]
        if len(sentences) > 1:
            chosen.append(random.choice(sentences))
    return list(dict.fromkeys(chosen))


def keywords_of(texts: Sequence[str], *, seed: int) -> list[str]:
    """Some of the words that tell each of ``texts`` from the others, by tf-idf (Spärck Jones 1972).

    In any order, a text's joined by blanks; nothing of a text of few words. Queries are words as often as
    sentences (docstrings asked for by their first lines keep 0.68 of nDCG@10 at 32 dims, 0.66 without).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - seconds of imports

    vectorizer = TfidfVectorizer(token_pattern=_WORD, sublinear_tf=True, max_df=0.5, dtype=np.float32)
    try:
        table = vectorizer.fit_transform(texts)
    except ValueError:  # no word that tells texts apart
        return []
    words = vectorizer.get_feature_names_out()
    random = Random(seed)  # noqa: S311 - a sample, not a secret
    keywords = []
    for start, end in pairwise(table.indptr):
        word_indices, weights = table.indices[start:end], table.data[start:end]
        leading = word_indices[np.lexsort((word_indices, -weights))[:_MAX_KEYWORDS]].tolist()
        if len(leading) > _MIN_KEYWORDS:
            count = random.randint(_MIN_KEYWORDS, len(leading))
            keywords.append(" ".join(words[index] for index in random.sample(leading, count)))
    return list(dict.fromkeys(keywords))


def exit_vectors(
    graph: Path, rows: Sequence[Arrays], layers: Sequence[int], on_step: OnStep
) -> dict[int, Vectors]:
    """Each exit's vectors of ``rows``, (n, dim) float32 in their order, from one pass an input.

    ``layers`` are the exits, deepest first.
    """
    import onnxruntime  # noqa: PLC0415 - slow

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from who shares them; a long pass gains nothing by it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [one for one in _PREFERRED_PROVIDERS if one in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
    names = [one.name for one in session.get_inputs()]
    outputs = [OUTPUT, *(exit_output(layer) for layer in layers[1:])]
    vectors_by_layer: dict[int, Vectors] = {}
    done = 0
    for batch in _batches([len(next(iter(row.values()))) for row in rows]):
        arrays = pad_rows([rows[index] for index in batch])
        answers = session.run(outputs, {name: arrays[name] for name in names})
        for layer, answer in zip(layers, answers, strict=True):
            vectors_by_layer.setdefault(layer, np.empty((len(rows), answer.shape[1]), np.float32))[batch] = (
                answer
            )
        done += len(batch)
        on_step(done, len(rows))
    for vectors in vectors_by_layer.values():
        check_finite(vectors)
    return vectors_by_layer


def check_finite(vectors: Array) -> None:
    """Raise CheckpointUnsupported where ``vectors``, (n, …) float32, hold what is no number."""
    wrong = int((~np.isfinite(vectors.reshape(len(vectors), -1))).any(axis=1).sum())
    if wrong:
        raise CheckpointUnsupported(
            "the checkpoint gives vectors with numbers that are not finite",
            value=f"{wrong} of {len(vectors)} inputs",
            next_step="Its weights are damaged or overflow: fetch it again, or choose another.",
        )


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Places of rows of like length together, the longest first, within the budget of tokens."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    for index in order:
        if batches and len(batches[-1]) < min(
            _MAX_BATCH_TEXTS, max(1, _BATCH_TOKENS // lengths[batches[-1][0]])
        ):
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def pad_batch(
    rows: Sequence[Sequence[int] | NDArray[np.integer]], filler: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and mask, (n, longest) int64, padded on the right."""
    ids = np.full((len(rows), max(map(len, rows))), filler, np.int64)
    mask = np.zeros_like(ids)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = row
        mask[line, : len(row)] = 1
    return ids, mask
