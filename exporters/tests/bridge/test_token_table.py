"""Tables of an old encoder's vectors of tokens: what they hold, and what a graph makes of them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from nestvec_exporters.bridge import token_table
from nestvec_exporters.bridge.heads import Head, read_heads, set_heads
from nestvec_exporters.bridge.token_table import (
    TokenInput,
    build_token_table,
    reads_tokens,
    sum_tokens,
    token_inputs,
    token_texts,
)
from nestvec_exporters.graph.tensors import OUTPUT
from nestvec_exporters.space_maps.mapping import BridgeMap, HiddenLayer, TokenTable
from nestvec_schemas.towers import EXIT_INPUT
from nestvec_schemas.vectors import Vectors, normalise

DIM, WIDTH, VOCABULARY = 6, 5, 20
IDS = np.array([[3, 4, 4, 7], [1, 19, 0, 0], [2, 2, 0, 0]], np.int64)
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]], np.int64)
WORDS = ("[UNK]", "[CLS]", "[SEP]", "wing", "##s", "the", "#", "##")


def _normal(*shape: int) -> Vectors:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _table() -> TokenTable:
    """With a token of zeros, as special ones have."""
    table = _normal(VOCABULARY, WIDTH).astype(np.float16)
    table[2] = 0
    return table


def _graph(*, ids: str = "input_ids") -> onnx.ModelProto:
    """A vector of the first token: (batch, tokens) to (batch, 6)."""
    nodes = [
        helper.make_node("Gather", ["w", ids], ["vectors"]),
        helper.make_node("Gather", ["vectors", "first"], [OUTPUT], axis=1),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in (ids, "attention_mask")
    ]
    constants = {"w": _normal(VOCABULARY, DIM), "first": np.array(0, np.int64)}
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", DIM])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)


def _run(model: onnx.ModelProto, exits: list[int] | None = None) -> Vectors:
    onnx.checker.check_model(model)
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    if exits is not None:
        inputs[EXIT_INPUT] = np.array(exits, np.int64)[:, None]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output: Vectors = session.run([OUTPUT], inputs)[0]
    return output


def _map(width: int) -> BridgeMap:
    layer = HiddenLayer(_normal(width, 4), _normal(4), _normal(4, DIM))
    return BridgeMap(_normal(width, DIM), _normal(DIM), layer)


def _heads() -> dict[str, Head]:
    """A bridge of documents and queries that reads tokens, and one that does not."""
    wide = DIM + WIDTH
    return {
        "old": Head(7, _map(wide), _table()),
        "old/query": Head(8, _map(wide)),
        "older": Head(9, _map(DIM)),
    }


def test_a_wider_map_reads_the_sum_of_tokens() -> None:
    model, heads = _graph(), _heads()
    own = _run(model)
    set_heads(model, heads, own_dim=DIM, has_own_exits=False, normalised=False)
    texts = [row[mask == 1] for row, mask in zip(IDS, MASK, strict=True)]
    inputs = np.concatenate([normalise(own), sum_tokens(_table(), texts)], axis=1)
    for number, head in enumerate(heads.values(), start=7):
        np.testing.assert_allclose(_run(model, [number] * 3), head.mapping(inputs), atol=1e-5)
    np.testing.assert_array_equal(_run(model, [0, 7, 8])[0], own[0])


def test_sums_of_tokens_have_length_1_whatever_the_text() -> None:
    table = _table()
    expected = normalise(table[[3, 4, 4]].astype(np.float32).sum(axis=0)[None])[0]
    several, special, nothing = sum_tokens(table, [[3, 4, 2, 4], [2], []])
    np.testing.assert_allclose(several, expected, atol=1e-5)
    assert np.linalg.norm(special) == pytest.approx(1)
    np.testing.assert_array_equal(special, nothing)


def test_heads_are_read_back_and_removed_with_their_table() -> None:
    model = _graph()
    set_heads(model, _heads(), own_dim=DIM, has_own_exits=False)
    read = read_heads(model)
    np.testing.assert_array_equal(read["old"].tokens, _table())
    assert read["old/query"].tokens is None
    again = _graph()
    set_heads(again, read, own_dim=DIM, has_own_exits=False)
    assert again.SerializeToString() == model.SerializeToString()
    set_heads(model, {}, own_dim=DIM, has_own_exits=False)
    assert model.SerializeToString() == _graph().SerializeToString()


def test_graphs_of_other_inputs_read_no_tokens() -> None:
    assert reads_tokens(_graph().graph)
    assert not reads_tokens(_graph(ids="pixels").graph)


def _tokenizer() -> Tokenizer:
    words = models.WordPiece({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(WORDS[:3]))
    return tokenizer


def test_a_token_s_text_is_its_letters() -> None:
    assert token_texts(_tokenizer()) == ["", "", "", "wing", "s", "the", "#", "##"]


def test_the_parts_of_a_character_have_no_text() -> None:
    """A byte-level vocabulary has a token for each byte: "é" is two of them."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: row for row, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = token_texts(tokenizer)
    assert [texts[token] for token in tokenizer.encode("aé").ids] == ["a", "", ""]


def test_rows_are_old_vectors_around_their_mean_and_shorter_for_frequent_tokens() -> None:
    vectors: dict[TokenInput, Vectors] = {}

    def embed(texts: list[TokenInput]) -> Vectors:
        rows = normalise(_normal(len(texts), WIDTH))
        vectors.update(zip(texts, rows, strict=True))
        return rows

    documents = ["the wings the wing the the the"] * 3
    table = build_token_table(_tokenizer(), documents, WIDTH, embed)
    assert table is not None
    assert list(vectors) == ["wing", "s", "the", "#", "##"]
    assert not table[:3].any()
    center = np.mean(list(vectors.values()), axis=0)
    lengths = []
    for row in (3, 5, 6):
        own, expected = table[row].astype(np.float32), vectors[WORDS[row]] - center
        np.testing.assert_allclose(normalise(own[None]), normalise(expected[None]), atol=2e-3)
        lengths.append(float(np.linalg.norm(own) / np.linalg.norm(expected)))
    assert lengths[1] < lengths[0] < lengths[2]


def _old_tokenizer(model: models.Model, *, template: bool = True) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    special = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=special
        )
    return tokenizer


def test_tokens_of_both_vocabularies_are_embedded_by_the_ids_of_the_old_one() -> None:
    """The text of a piece, "s", would be tokenized as a word."""
    vocabulary = {"[UNK]": 0, "a": 1, "##s": 2, "s": 3, "[CLS]": 4, "[SEP]": 5, "wing": 6}
    old = _old_tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    expected: list[TokenInput] = ["", "", "", (4, 6, 5), (4, 2, 5), "the", "#", "##"]
    assert token_inputs(_tokenizer(), old) == expected
    bare = _old_tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"), template=False)
    assert token_inputs(_tokenizer(), bare)[3:5] == [(6,), (2,)]
    embedded: list[TokenInput] = []

    def embed(tokens: list[TokenInput]) -> Vectors:
        embedded.extend(tokens)
        return normalise(_normal(len(tokens), WIDTH))

    table = build_token_table(_tokenizer(), ["wing"], WIDTH, embed, old)
    assert embedded == expected[3:]
    assert table is not None
    assert table[3:].any(axis=1).all()


def test_vocabularies_that_mark_pieces_otherwise_are_of_texts() -> None:
    """A token without a mark is a word by the one, and a piece of a word by the other."""
    merges = models.BPE({"wing": 0, "a": 1, "[UNK]": 2}, [], unk_token="[UNK]")
    assert token_inputs(_tokenizer(), _old_tokenizer(merges)) == token_texts(_tokenizer())
    assert token_inputs(_tokenizer(), None) == token_texts(_tokenizer())


def test_too_large_a_table_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_table, "MAX_TABLE_BYTES", 2 * len(WORDS) * WIDTH - 1)
    assert build_token_table(_tokenizer(), ["wing"], WIDTH, lambda _: pytest.fail("embedded")) is None
