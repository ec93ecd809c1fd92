"""The old encoder's vectors of the new one's tokens: what the words of a text are in the old space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nestvec_exporters.space_maps.mapping import TokenTable
from nestvec_schemas.vectors import Vectors, normalise

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TABLE_BYTES: Final = 256 << 20
"""A larger table would outweigh most encoders: their bridges do without."""

_FREQUENT: Final = 1e-3
"""The share of a sample's tokens from which one counts less than half (Arora, Liang & Ma 2017)."""

_NOTHING: Final = 1e-6
"""Added to sums of vectors, so that a text without tokens has a direction."""

_UNREADABLE: Final = "\ufffd"
"""In the text of a token that is a part of a character."""

_IDS: Final = "input_ids"
_MASK: Final = "attention_mask"


def reads_tokens(graph: onnx.GraphProto) -> bool:
    """Whether a graph receives the ids of its tokens and a mask, a row for each text."""
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.input}
    return (ranks.get(_IDS), ranks.get(_MASK)) == (2, 2)


def build_token_table(
    tokenizer: Tokenizer, documents: Sequence[str], dim: int, embed: Callable[[list[str]], Vectors]
) -> TokenTable | None:
    """The table of a tokenizer: ``embed`` gives the old encoder's vectors, ``dim`` long, of texts.

    Each row is the vector of the token alone, from which the mean was subtracted; it is the shorter the more
    frequent the token is in ``documents``. Special tokens, and parts of characters, have zeros. None for a
    table of more than MAX_TABLE_BYTES.
    """
    texts = token_texts(tokenizer)
    if len(texts) * dim * np.dtype(np.float16).itemsize > MAX_TABLE_BYTES:
        return None
    distinct = list(dict.fromkeys(text for text in texts if text))
    place = {text: row for row, text in enumerate(distinct)}
    vectors = embed(distinct)
    vectors = vectors - vectors.mean(axis=0)
    counts = np.ones(len(texts))
    for encoding in tokenizer.encode_batch(list(documents), add_special_tokens=False):
        np.add.at(counts, encoding.ids, 1)
    weights = _FREQUENT / (_FREQUENT + counts / counts.sum())
    table = np.zeros((len(texts), dim), np.float16)
    readable = np.flatnonzero([bool(text) for text in texts])
    rows = np.array([place[texts[row]] for row in readable], np.intp)
    table[readable] = vectors[rows] * weights[readable, None]
    return table


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """The text of each token by its id: empty for special tokens and for parts of characters."""
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None) or ""
    texts = []
    for token in range(max(tokenizer.get_vocab().values()) + 1):
        text = tokenizer.decode([token]).strip()
        if prefix and text != prefix:
            text = text.removeprefix(prefix)
        texts.append("" if _UNREADABLE in text else text)
    return texts


def sum_tokens(table: TokenTable, texts: Sequence[Sequence[int]]) -> Vectors:
    """What ``add_token_sums`` gives for the ids of each text's tokens."""
    sums = [table[np.asarray(ids, np.intp)].sum(axis=0, dtype=np.float32) for ids in texts]
    return normalise(np.stack(sums) + np.float32(_NOTHING))


def add_token_sums(graph: onnx.GraphProto, place: str, table: TokenTable) -> str:
    """Add to a graph the sum of each text's rows of a table, at length 1; the name of the tensor, (batch, e).

    ``place`` begins the names of what is added; the table's own is ``place`` and ``tokens``.
    """
    constants: dict[str, NDArray[Any]] = {
        "tokens": table,
        "token_nothing": np.array(_NOTHING, np.float32),
        "token_rows": np.array([0, 1, -1], np.int64),
        "token_flat": np.array([0, -1], np.int64),
    }
    for part, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), f"{place}{part}"))
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Gather", [f"{place}tokens", _IDS], "token_vectors", {"axis": 0}),
        ("Cast", [f"{place}token_vectors"], "token_floats", {"to": TensorProto.FLOAT}),
        ("Cast", [_MASK], "token_mask", {"to": TensorProto.FLOAT}),
        ("Reshape", [f"{place}token_mask", f"{place}token_rows"], "token_mask_rows", {}),
        ("MatMul", [f"{place}token_mask_rows", f"{place}token_floats"], "token_sum_rows", {}),
        ("Reshape", [f"{place}token_sum_rows", f"{place}token_flat"], "token_sum", {}),
        ("Add", [f"{place}token_sum", f"{place}token_nothing"], "token_something", {}),
        ("LpNormalization", [f"{place}token_something"], "token_unit", {"axis": 1, "p": 2}),
    ]
    for operator, inputs, output, attributes in nodes:
        graph.node.append(helper.make_node(operator, inputs, [f"{place}{output}"], **attributes))
    return f"{place}token_unit"
