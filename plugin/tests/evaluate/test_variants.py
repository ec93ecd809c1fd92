from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nestvec.evaluate.variants import (
    EncoderVariant,
    RequestedSizes,
    choose_reranker,
    choose_variants,
    with_queries_by,
)
from nestvec_schemas.bridges.bridge import Bridge, Bridges
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import (
    DimNotOffered,
    EncoderNotFound,
    ExitNotOffered,
    ManifestCorrupt,
    PromptNotOffered,
)
from nestvec_schemas.fingerprint import encoder_fingerprint

Write = Callable[..., Path]


def chosen(
    folder: Path, *names: str, precisions: tuple[str, ...] = (), dims: tuple[int, ...] | None = None,
    exits: tuple[int, ...] | None = None, top: tuple[int, ...] | None = None,
) -> tuple[EncoderVariant, ...]:  # fmt: skip
    return choose_variants(folder.parent, names or ("tiny",), precisions, RequestedSizes(dims, exits, top))  # type: ignore[arg-type]


def test_an_encoders_own_dims_and_exits_unless_others_are_requested(write_encoder: Write) -> None:
    folder = write_encoder(layers=(4, 3, 2))
    (whole,) = chosen(folder)
    assert (whole.dims, whole.exits, whole.nesting) == ((16, 8, 4), (4, 3, 2), "plain")
    (part,) = chosen(folder, dims=(12, 5), exits=(2, 3, 2))
    assert (part.dims, part.exits) == ((12, 5), (3, 2))


def test_dims_and_exits_that_are_not_offered(write_encoder: Write) -> None:
    folder = write_encoder(layers=(4, 2))
    for dim in (17, 0):
        with pytest.raises(DimNotOffered, match="Choose from 1 to 16 dims"):
            chosen(folder, dims=(dim,))
    for dims in ((4, 8), (8, 8)):
        with pytest.raises(DimNotOffered, match=r"do not descend: .*Write --dims 8"):
            chosen(folder, dims=dims)
    with pytest.raises(ExitNotOffered, match=r"no exit after this layer: 3. Available: 2, 4"):
        chosen(folder, exits=(3,))


def test_prompts_are_named_for_documents_and_queries(write_encoder: Write) -> None:
    folder = write_encoder(prompts={"query": "q: ", "document": "d: ", "STS": "s: "})

    def prompts(prompt: str | None = None, query_prompt: str | None = None) -> tuple[str, str]:
        config = EmbeddingConfig(prompt=prompt, query_prompt=query_prompt)
        (variant,) = choose_variants(folder.parent, ["tiny"], (), RequestedSizes(prompts=config))
        return variant.prompt("document"), variant.prompt("query")

    assert prompts() == ("d: ", "q: ")
    assert prompts("STS") == ("s: ", "s: ")
    assert prompts("STS", "") == ("s: ", "")
    with pytest.raises(
        PromptNotOffered, match=r"tiny has no prompt of this name: sts\. Available: query, document, STS"
    ):
        prompts("sts")


def test_an_encoder_that_is_not_there(models_folder: Path) -> None:
    with pytest.raises(EncoderNotFound, match="Did you mean 'tiny'"):
        chosen(models_folder / "tiny", "tiney")


def test_precisions_pick_encoders_of_the_same_source(write_encoder: Write) -> None:
    folder = write_encoder()
    write_encoder("another", precision="int8", source="tests/other")
    write_encoder("rotated", precision="int8", nesting="rotated")
    with pytest.raises(EncoderNotFound, match=r"int8.*--precision int8 --name tiny-int8"):
        chosen(folder, precisions=("fp32", "int8"))
    write_encoder("alike", precision="int8")
    write_encoder("tiny-int8", precision="int8")
    names = [one.manifest.name for one in chosen(folder, precisions=("fp32", "int8"))]
    assert names == ["tiny", "tiny-int8"]


def test_an_encoder_with_a_rotation_is_rotated(write_encoder: Write) -> None:
    folder = write_encoder()
    np.save(folder / "rotation.npy", np.eye(16, dtype=np.float32))
    assert chosen(folder)[0].nesting == "rotated"
    np.save(folder / "rotation.npy", np.eye(8))
    with pytest.raises(ManifestCorrupt, match="is not a rotation of 16 dims"):
        chosen(folder)
    np.save(folder / "rotation.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(ManifestCorrupt, match="is not an array"):
        chosen(folder)


def test_a_damaged_encoder(write_encoder: Write) -> None:
    folder = write_encoder(files={"tokenizer.json": "00"})
    with pytest.raises(ManifestCorrupt, match="is not the file that was exported"):
        chosen(folder)


@pytest.fixture
def kinds(write_encoder: Write) -> Path:
    """``tiny`` is dense, ``words`` sparse, ``cross`` a reranker, ``late`` gives a vector a token."""
    for name, kind in (("words", "sparse"), ("cross", "reranker"), ("late", "multivector")):
        write_encoder(name, kind=kind, dims=(16,), layers=(4,))
    return write_encoder()


def test_a_sparse_encoder_has_largest_weights_in_place_of_dims(kinds: Path) -> None:
    (words,) = chosen(kinds, "words")
    assert (words.dims, words.exits, words.top) == ((), (4,), ())
    tiny, words = chosen(kinds, "tiny", "words", dims=(8,), top=(9, 3))
    assert (tiny.dims, tiny.top, words.dims, words.top) == ((8,), (), (), (9, 3))


@pytest.mark.parametrize(
    ("name", "asked", "error", "message"),
    [
        ("words", {"dims": (8,)}, DimNotOffered, r"dims are words.*: 8\. Omit --dims.*--top 128,64"),
        ("words", {"exits": (4,)}, ExitNotOffered, r"has no exits: 4\. Omit --exits"),
        ("words", {"top": (3, 9)}, DimNotOffered, r"--top do not descend: 3,9\. Write --top 9,3"),
        ("words", {"top": (16,)}, DimNotOffered, r"has 16 words.*: 16\. Choose from 1 to 15"),
        ("tiny", {"top": (8,)}, DimNotOffered, r"--top is for sparse encoders: 8\. Omit --top"),
        ("cross", {}, EncoderNotFound, r"does not encode texts.*: a reranker.*--rerank cross"),
        ("late", {}, EncoderNotFound, r"does not encode texts.*: a multivector.*--rerank late"),
    ],
)
def test_what_an_encoder_of_a_kind_does_not_support(
    kinds: Path, name: str, asked: dict[str, tuple[int, ...]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        chosen(kinds, name, **asked)  # type: ignore[arg-type]


def test_who_can_rerank(kinds: Path) -> None:
    assert [choose_reranker(kinds.parent, name).manifest.kind for name in ("cross", "late")] == [
        "reranker",
        "multivector",
    ]
    with pytest.raises(EncoderNotFound, match=r"tiny cannot score queries with documents: a dense encoder"):
        choose_reranker(kinds.parent, "tiny")
    with pytest.raises(EncoderNotFound, match="Did you mean 'cross'"):
        choose_reranker(kinds.parent, "crosss")


def test_a_bridge_is_measured_under_its_own_name(write_encoder: Write) -> None:
    bridge = Bridge(
        fingerprint="0" * 16, mapped_from="1" * 16, exit=7, dim=12, dims=(12, 6), method="orthogonal",
        sample="docs", texts=300, compared={},
    )  # fmt: skip
    bridges = Bridges(maps={"old.v2": bridge}, unbridged_files={}, has_own_exits=True)
    folder = write_encoder(bridges=bridges)
    own, bridged = chosen(folder, "tiny", "tiny.as.old.v2")
    assert (own.manifest.name, own.dims) == ("tiny", (16, 8, 4))
    assert (bridged.manifest.name, bridged.dims, bridged.exits) == ("tiny.as.old.v2", (12, 6), (7,))
    with pytest.raises(EncoderNotFound, match=r"tiny has no such bridge: old\. Available: tiny\.as\.old\.v2"):
        chosen(folder, "tiny.as.old")


def test_queries_by_another_encoder_of_the_same_space(write_encoder: Write) -> None:
    (old,) = chosen(write_encoder("old", layers=(2,)), "old")
    bridge = Bridge(
        fingerprint=encoder_fingerprint(old.manifest), mapped_from="1" * 16, exit=7, query_exit=8, dim=16,
        dims=(16, 8), method="orthogonal", sample="docs", texts=300, compared={},
    )  # fmt: skip
    other = bridge.model_copy(update={"fingerprint": "0" * 16})
    bridges = Bridges(maps={"old": bridge, "other": other}, unbridged_files={}, has_own_exits=True)
    models = write_encoder("new", bridges=bridges).parent
    own, pair = with_queries_by(models, "new.as.old", (old,), EmbeddingConfig())
    assert own is old
    assert pair.name == "old, queries by new.as.old"
    assert (pair.dims, pair.exits) == (old.dims, (old.manifest.depth,))
    # The bridge has a map of its own for queries; documents are the old encoder's.
    assert (pair.encoding("query").manifest.name, pair.encoding_exit("query", 2)) == ("new.as.old", 8)
    assert (pair.encoding("document").manifest.name, pair.encoding_exit("document", 2)) == ("old", 2)
    with pytest.raises(EncoderNotFound, match=r"different spaces cannot be compared.*nestvec bridge old"):
        with_queries_by(models, "new.as.other", (old,), EmbeddingConfig())
    with pytest.raises(EncoderNotFound):
        with_queries_by(models, "old", (old,), EmbeddingConfig())
