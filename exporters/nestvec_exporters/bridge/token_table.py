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

TokenInput = str | tuple[int, ...]
"""A token as a text, or as the ids of the old encoder's tokens, special ones included."""

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
    tokenizer: Tokenizer,
    documents: Sequence[str],
    dim: int,
    embed: Callable[[list[TokenInput]], Vectors],
    old: Tokenizer | None = None,
) -> TokenTable | None:
    """The table of a tokenizer: ``embed`` gives the old encoder's vectors, ``dim`` long, of tokens.

    Each row is the vector of the token alone, from which the mean was subtracted; it is the shorter the more
    frequent the token is in ``documents``. Special tokens, and parts of characters, have zeros. ``old`` is
    the old encoder's tokenizer, unless it takes texts only. None for a table of more than MAX_TABLE_BYTES.
    """
    inputs = token_inputs(tokenizer, old)
    if len(inputs) * dim * np.dtype(np.float16).itemsize > MAX_TABLE_BYTES:
        return None
    distinct = list(dict.fromkeys(value for value in inputs if value))
    place = {value: row for row, value in enumerate(distinct)}
    vectors = embed(distinct)
    vectors = vectors - vectors.mean(axis=0)
    counts = np.ones(len(inputs))
    for encoding in tokenizer.encode_batch(list(documents), add_special_tokens=False):
        np.add.at(counts, encoding.ids, 1)
    weights = _FREQUENT / (_FREQUENT + counts / counts.sum())
    table = np.zeros((len(inputs), dim), np.float16)
    readable = np.flatnonzero([bool(value) for value in inputs])
    rows = np.array([place[inputs[row]] for row in readable], np.intp)
    table[readable] = vectors[rows] * weights[readable, None]
    return table


def token_inputs(tokenizer: Tokenizer, old: Tokenizer | None) -> list[TokenInput]:
    """What the old encoder is to embed for each token by its id; empty for one without a text.

    A token that both vocabularies have is the old one's own, by its id: the text of a piece of a word, such
    as ``##ing``, would be tokenized as a word of its own. Others are texts.
    """
    inputs: list[TokenInput] = list(token_texts(tokenizer))
    if old is None or _marks(tokenizer) != _marks(old):
        return inputs
    encoding = old.encode("a")
    own = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    if not own:
        return inputs
    before, after = encoding.ids[: own[0]], encoding.ids[own[-1] + 1 :]
    vocabulary = old.get_vocab()
    for token, value in enumerate(inputs):
        row = vocabulary.get(tokenizer.id_to_token(token) or "")
        if value and row is not None:
            inputs[token] = (*before, row, *after)
    return inputs


def _marks(tokenizer: Tokenizer) -> tuple[str, str, str]:
    """How a vocabulary distinguishes words from pieces of them: by its kind of model, and affixes."""
    model = tokenizer.model
    prefix = str(getattr(model, "continuing_subword_prefix", None) or "")
    suffix = str(getattr(model, "end_of_word_suffix", None) or "")
    return type(model).__name__, prefix, suffix


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


def add_token_table(graph: onnx.GraphProto, place: str, table: TokenTable) -> None:
    """Add to a graph the constants that ``add_token_sums`` reads; the table's own name is ``place`` and
    ``tokens``."""
    constants: dict[str, NDArray[Any]] = {
        "tokens": table,
        "token_nothing": np.array(_NOTHING, np.float32),
        "token_rows": np.array([0, 1, -1], np.int64),
        "token_flat": np.array([0, -1], np.int64),
    }
    for part, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), f"{place}{part}"))


def add_token_sums(nodes: list[onnx.NodeProto], place: str, table: str) -> str:
    """Add the nodes that sum each text's rows of a table, at length 1; the name of the tensor, (batch, e).

    ``place`` begins the names of what they give, ``table`` those of the table's constants.
    """
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Gather", [f"{table}tokens", _IDS], "token_vectors", {"axis": 0}),
        ("Cast", [f"{place}token_vectors"], "token_floats", {"to": TensorProto.FLOAT}),
        ("Cast", [_MASK], "token_mask", {"to": TensorProto.FLOAT}),
        ("Reshape", [f"{place}token_mask", f"{table}token_rows"], "token_mask_rows", {}),
        ("MatMul", [f"{place}token_mask_rows", f"{place}token_floats"], "token_sum_rows", {}),
        ("Reshape", [f"{place}token_sum_rows", f"{table}token_flat"], "token_sum", {}),
        ("Add", [f"{place}token_sum", f"{table}token_nothing"], "token_something", {}),
        ("LpNormalization", [f"{place}token_something"], "token_unit", {"axis": 1, "p": 2}),
    ]
    for operator, inputs, output, attributes in steps:
        nodes.append(helper.make_node(operator, inputs, [f"{place}{output}"], **attributes))
    return f"{place}token_unit"
