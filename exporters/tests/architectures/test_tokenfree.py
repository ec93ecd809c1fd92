"""CANINE and ByT5 of random weights: transformers' own vectors, whatever they are padded with."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn.functional import pad
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.architectures.tokenfree import unit_rows
from nestvec_exporters.checkpoints.kinds import identify
from nestvec_exporters.options import Overrides
from nestvec_exporters.verify.compare import run_graph
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.towers import TokenScheme
from nestvec_schemas.vectors import Vectors, cosines

# 30 characters fill the block of 32 with the two special ones; 126 fill four.
TEXTS = ["", "x", "añ语🎈", "a" * 29, "b" * 30, "c" * 31, "heat flow " * 7, "d" * 126, "zebra " * 90]
BLOCK = 32


@pytest.fixture(scope="module")
def canine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.CanineConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=1024,
        num_hash_buckets=1024,
        initializer_range=0.3,
        local_transformer_stride=BLOCK,
    )
    folder = tmp_path_factory.mktemp("checkpoints") / "canine"
    transformers.CanineModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def byt5(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.T5Config(vocab_size=384, d_model=32, num_layers=2, num_heads=4, d_kv=8, d_ff=64)
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "byt5")
    transformers.ByT5Tokenizer().save_pretrained(tmp_path / "byt5")
    return tmp_path / "byt5"


def written(checkpoint: Path, models: Path, **options: Any) -> tuple[Manifest, Path]:
    return export(ExportOptions(str(checkpoint), models, "tiny", **options)), models / "tiny"


def vectors(folder: Path, scheme: TokenScheme, tokens: int, layer: int | None = None) -> Vectors:
    return np.stack(run_graph(folder / GRAPH, unit_rows(scheme, TEXTS, tokens), layer))


@pytest.fixture(scope="module")
def canine_encoder(canine: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    return written(canine, tmp_path_factory.mktemp("exported") / "models")


@pytest.fixture(scope="module")
def short_canine(canine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 300 tokens."""
    _, folder = written(canine, tmp_path_factory.mktemp("short") / "models", max_tokens=300, verify=VERIFY)
    return folder


@pytest.mark.parametrize("blocks", [1, 2, 9])
def test_canine_whatever_it_is_padded_with(
    canine: Path, canine_encoder: tuple[Manifest, Path], blocks: int
) -> None:
    assert identify(canine).name == "tokenfree"
    manifest, folder = canine_encoder
    tower = manifest.towers["text"]
    assert (tower.scheme, tower.pooling, tower.max_tokens) == ("codepoints", "mean", 1024 - BLOCK - 8)
    assert "tokenizer.json" not in manifest.files
    model = transformers.CanineModel.from_pretrained(canine).eval()
    tokenizer = transformers.CanineTokenizer()
    expected = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        length = ids.shape[1]
        # Whole blocks, and one more where what a convolution sees beyond the text would be cut off.
        whole = -(-(length + 8) // BLOCK) + blocks - 1
        more = whole * BLOCK - length
        with torch.no_grad():
            states = model(pad(ids, (0, more)), attention_mask=pad(torch.ones_like(ids), (0, more)))
        expected.append(states.last_hidden_state[0, :length].mean(dim=0).numpy())
    found = vectors(folder, "codepoints", tower.max_tokens)
    assert cosines(found, np.stack(expected)).min() > 0.9999
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-4)
    # Alone and among longer ones.
    alone = run_graph(folder / GRAPH, unit_rows("codepoints", TEXTS[:1], 100))
    np.testing.assert_allclose(alone[0], found[0], atol=1e-5)


def test_byt5_is_its_encoder_half(byt5: Path, tmp_path: Path) -> None:
    assert identify(byt5).name == "tokenfree"
    manifest, folder = written(byt5, tmp_path / "models", max_tokens=300)
    tower = manifest.towers["text"]
    assert (tower.scheme, tower.max_tokens, manifest.layers) == ("bytes", 300, (2,))
    model = transformers.T5EncoderModel.from_pretrained(byt5).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(byt5)
    expected = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=300)["input_ids"]
        with torch.no_grad():
            expected.append(model(ids).last_hidden_state[0].mean(dim=0).numpy())
    found = vectors(folder, "bytes", 300)
    assert cosines(found, np.stack(expected)).min() > 0.9999


def test_a_t5_with_a_vocabulary_is_not_token_free(byt5: Path) -> None:
    (byt5 / "tokenizer_config.json").unlink()
    assert identify(byt5).name == "sentence"


@pytest.mark.parametrize(
    "precision",
    ["fp32", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("fp16", "int8-dynamic"))],
)
def test_exits_of_canine(canine: Path, short_canine: Path, precision: str, tmp_path: Path) -> None:
    letters = string.ascii_lowercase
    sample = Sample("letters", tuple(f"{one} {other}" for one in letters for other in letters))
    manifest, folder = written(
        canine,
        tmp_path / "models",
        exits=(1,),
        sample=sample,
        precision=precision,
        max_tokens=300,
        verify=VERIFY,
    )
    assert manifest.layers == (2, 1)
    near, far = vectors(folder, "codepoints", 300, 2), vectors(short_canine, "codepoints", 300)
    assert cosines(near, far).min() > (0.99999 if precision == "fp32" else 0.95)


def test_prompts_and_pooling_are_asked_for(byt5: Path, tmp_path: Path) -> None:
    asked = Overrides(pooling="mean+max", query_prompt="query: ")
    manifest, _ = written(byt5, tmp_path / "models", overrides=asked)
    assert (manifest.dim, manifest.prompts) == (64, {"query": "query: "})


@pytest.mark.parametrize(("given", "most"), [(2, 984), (985, 984)])
def test_no_room_for_text_and_no_positions(canine: Path, given: int, most: int, tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match=rf"{given}\. Give --max-tokens from 3 to {most}"):
        written(canine, tmp_path / "models", max_tokens=given)
