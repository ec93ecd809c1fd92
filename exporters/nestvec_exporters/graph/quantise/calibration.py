"""What quantisation is measured on: inputs of the tower, some to calibrate on, some held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.preprocessing.collate import Array, Arrays, pad_rows
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.towers import OutputKind
from nestvec_schemas.vectors import cosines

MAX_CALIBRATION_INPUTS: Final = 128
"""Inputs that ranges are measured on. 300 instead of 100 change the mean cosine of all-MiniLM-L6-v2 by 0.0004
and take three times as long."""

MAX_HELD_OUT: Final = 64
"""Inputs that the quantised graph is compared with its source on."""

MIN_INPUTS: Final = 16
"""Inputs without which no range is worth measuring."""

DEFAULT_SAMPLE: Final = "demo"
"""The texts of a sample that every machine has: docstrings of Python's standard library."""

UNUSUAL_TEXTS: Final = (
    "x",
    "OK",
    "IBM and the E.U. Commission on TRADE",
    "Curaçao, garçon, Łódź, Ångström, piñata",
    "e\u0301tude and \u00e9tude; ﬀ ﬃ; ② ¼",
    "漢字とかな、中国的语言和文字、한글 문서",
    "اللغة والكتاب ושפה וספר",
    "Привет, как дела? Ελληνικά κείμενα",
    "हिन्दी में पाठ, ข้อความภาษาไทย",
    "😀👨‍👩‍👦 a party 🇫🇷🎉",
    "a tab\tand\r\nlines\n\n",
    "   many    spaces   ",
    "[MASK] is a token, so are <unk> and [CLS]; </s>",
    'camelCase[i] != "s" && g(y); https://example.com/a/b?x=2',
    "0.5 % ≤ 10⁻³; ∑ xᵢ → ∞",
    "...",
)
"""Texts whose activations are out of the ranges of ordinary ones. Ranges are measured on them too: without,
the mean cosine of all-MiniLM-L6-v2 over other such texts is 0.990."""

_HELD_OUT_SHARE: Final = 3
"""One of this number of inputs is held out."""

_BATCH: Final = 16
_MAX_TOKENS: Final = 512
"""Tokens of the longest input."""


@dataclass(frozen=True)
class Calibration:
    """Rows of a tower."""

    source: str
    """Where they came from, as a manifest records it."""

    rows: Sequence[Arrays]
    """To measure ranges on."""

    held_out: Sequence[Arrays]
    """To compare the result on."""

    kind: OutputKind = "dense"
    """What the tower's graph gives of each."""

    packed: bool = False
    """Whether it gives several outputs in one array (``packed_outputs``)."""


def read_calibration(
    tower: TowerModel, loaded: LoadedCheckpoint, files: Path, sample: Sample | None
) -> Calibration:
    """Rows of the texts in ``sample``, or of this machine's own; of a tower that reads no texts, its probes.

    ``files`` is the folder of the tower's tokenizer. Each text is taken once, so that none is both calibrated
    on and held out, behind the prompts of queries and documents by turns. Raises SampleUnusable for fewer
    than MIN_INPUTS. Ranges are measured on UNUSUAL_TEXTS, too.
    """
    count = MAX_CALIBRATION_INPUTS + MAX_HELD_OUT
    texts = sample_texts(count) if sample is None else _spread(sample.texts, count)
    prompts = [loaded.prompts.get(role, "") for role in ("query", "document")]
    prompted = [f"{prompts[place % 2]}{text}" for place, text in enumerate(texts)]
    inputs = tower.calibration_inputs(prompted)
    reads_texts = inputs is not None
    chosen = tower.probes() if inputs is None else inputs
    if len(chosen) < MIN_INPUTS:
        raise SampleUnusable(
            "too few distinct inputs to calibrate int8 on",
            value=f"{len(chosen)} of {sample.name if sample else DEFAULT_SAMPLE}",
            next_step=f"Give at least {MIN_INPUTS}; {count} are used.",
        )
    rows = tower.rows(files, chosen, min(tower.spec.max_tokens, _MAX_TOKENS))
    places = range(len(rows))
    held_out = [rows[place] for place in places if place % _HELD_OUT_SHARE == 0][:MAX_HELD_OUT]
    source = (sample.name if sample else DEFAULT_SAMPLE) if reads_texts else "probes"
    others = [text for text in UNUSUAL_TEXTS if text not in texts] if reads_texts else []
    unusual = tower.calibration_inputs(others)
    calibrated = [rows[place] for place in places if place % _HELD_OUT_SHARE][:MAX_CALIBRATION_INPUTS]
    if unusual:
        calibrated += tower.rows(files, unusual, min(tower.spec.max_tokens, _MAX_TOKENS))
    return Calibration(source, calibrated, held_out, loaded.kind, packed=bool(tower.outputs))


def _spread(texts: Sequence[str], count: int) -> list[str]:
    """At most ``count`` of the distinct ``texts``, without blank ones, evenly spaced."""
    filled = list(dict.fromkeys(text for text in texts if text.strip()))
    return filled[:: max(1, len(filled) // count)][:count]


def outputs_of(
    run: Callable[[dict[str, Array]], Array], rows: Sequence[Arrays], *, unbatched: bool
) -> list[Array]:
    """What ``run`` gives for each row, in padded batches of mixed lengths; of one vector per token, without
    padding's."""
    size = 1 if unbatched else _BATCH
    outputs: list[Array] = []
    for start in range(0, len(rows), size):
        for output in run(pad_rows(rows[start : start + size])):
            outputs.append(output[output.any(axis=1)] if output.ndim == 2 else output)
    return outputs


def similarities(
    expected: Sequence[Array], outputs: Sequence[Array], kind: OutputKind, *, packed: bool = False
) -> Array:
    """Cosines of outputs, input by input, with ``expected``, (n,) float32.

    Of one vector per token, those of all tokens; ``packed``, without the tokens' ids, which would outweigh
    every vector. Of scores, the cosines between (z, 1) and (z', 1), both in
    units of the expected scores' spread, about their mean.
    """
    if any(left.shape != right.shape for left, right in zip(expected, outputs, strict=True)):
        return np.full(len(expected), -1.0, np.float32)
    rows = [
        np.concatenate([output.reshape(-1, output.shape[-1]) for output in side])
        for side in (expected, outputs)
    ]
    if packed:
        rows = [side[:, :-1] for side in rows]
    if kind == "reranker":
        mean, spread = rows[0].mean(), max(float(rows[0].std()), 1e-9)
        rows = [np.concatenate([(scores - mean) / spread, np.ones_like(scores)], axis=1) for scores in rows]
    values = np.nan_to_num(cosines(rows[0], rows[1]), nan=-1.0)
    # An input without anything known is a vector of zeros.
    values[~rows[0].any(axis=1) & ~rows[1].any(axis=1)] = 1.0
    return np.asarray(values, np.float32)
