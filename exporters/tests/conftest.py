"""Tiny checkpoints with random weights, wide enough that different texts get different vectors."""

from __future__ import annotations

import dataclasses
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers.utils import logging

from nestvec_exporters.architectures.sentence import load
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.graph.trace import trace_tower
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.training_data import TrainingData

POSITIONS = 64

Write = Callable[..., Path]


def _write_tokenizer(folder: Path, *, side: str = "right") -> None:
    """A tokenizer that splits words into characters."""
    characters = sorted(set(string.printable) - set(string.whitespace) - set(string.ascii_uppercase))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters, *(f"##{one}" for one in characters)]
    words += ["[MASK]", "[unused0]", "[unused1]"]
    vocab = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=1000))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        padding_side=side,
    ).save_pretrained(folder)


def _write_model(folder: Path, kind: str, **fields: Any) -> Path:
    """A model with random weights: ``kind`` is the prefix of transformers' Config and Model classes.

    A field of None is left out.
    """
    sizes = {
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }
    torch.manual_seed(0)
    head = fields.pop("head", "Model")
    config_class = getattr(transformers, f"{kind}Config")
    known = {field.name for field in dataclasses.fields(config_class)} | set(config_class.attribute_map)
    own_sizes = {name: value for name, value in sizes.items() if name in known}
    given = {name: value for name, value in {**own_sizes, **fields}.items() if value is not None}
    config = config_class(**given)
    getattr(transformers, f"{kind}{head}")(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _small_and_quiet() -> Iterator[None]:
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    torch.set_num_threads(1)  # the models are tiny: more threads only wait for one another
    yield


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> Write:
    """Writes a model of a kind, and a tokenizer that pads on a side, to ``tmp_path / "checkpoint"``."""

    def write(kind: str, *, side: str = "right", **fields: Any) -> Path:
        folder = _write_model(tmp_path / "checkpoint", kind, **fields)
        _write_tokenizer(folder, side=side)
        return folder

    return write


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT in transformers' layout: 32 dims, 2 layers, 64 positions."""
    folder = _write_model(tmp_path_factory.mktemp("checkpoints") / "bert", "Bert")
    _write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def mild_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with smaller weights, whose vectors of a text and of its sentences are a little alike."""
    folder = _write_model(tmp_path_factory.mktemp("checkpoints") / "mild", "Bert", initializer_range=0.05)
    _write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 4 layers."""
    folder = _write_model(tmp_path_factory.mktemp("checkpoints") / "deep", "Bert", num_hidden_layers=4)
    _write_tokenizer(folder)
    return folder


def _text_tower(folder: Path) -> TowerModel:
    return load(
        Checkpoint(folder, folder.name), ExportOptions(str(folder), Path("models"), "encoder")
    ).main_tower


@pytest.fixture(scope="session")
def text_tower() -> Callable[[Path], TowerModel]:
    """Loads a text checkpoint's tower."""
    return _text_tower


@pytest.fixture
def nan_bert(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The BERT with a weight that is no number, as an overflow leaves it."""
    folder = tmp_path_factory.mktemp("checkpoints") / "nan"
    shutil.copytree(bert, folder)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.dense.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def traced(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The BERT's graph as it is traced."""
    path = tmp_path_factory.mktemp("traced") / "graph.onnx"
    with quiet():
        trace_tower(_text_tower(bert), path)
    return path


@pytest.fixture
def sentence_bert(bert: Path, tmp_path: Path) -> Write:
    """Saves the BERT in sentence-transformers' layout, followed by the modules given."""

    def save(*modules: Any, **settings: Any) -> Path:
        from sentence_transformers.models import Transformer

        folder = tmp_path / "sentence-bert"
        first = Transformer(str(bert), max_seq_length=settings.pop("max_seq_length", None))
        SentenceTransformer(modules=[first, *modules], device="cpu", **settings).save(
            str(folder), create_model_card=False
        )
        return folder

    return save


_SUBJECTS = ("wing shock heat flow gas plate cone jet lift drag wave sound film beam shell skin").split(" ")  # noqa: SIM905


@pytest.fixture(scope="session")
def texts() -> tuple[str, ...]:
    """300 different texts of a few sentences, about one of eight subjects each."""
    draw = np.random.default_rng(0)
    found = []
    for number in range(300):
        subject = _SUBJECTS[2 * (number % 8) : 2 * (number % 8) + 2]
        sentences = [" ".join(draw.choice([*subject, *_SUBJECTS], 5)) for _ in range(3)]
        found.append(f"{'. '.join(sentences)}. No {number}.")
    return tuple(found)


@pytest.fixture(scope="session")
def unlabelled(texts: tuple[str, ...]) -> TrainingData:
    """The texts alone."""
    return TrainingData("papers.txt", "texts", tuple((text,) for text in texts))


@pytest.fixture(scope="session")
def pairs(texts: tuple[str, ...]) -> TrainingData:
    """Each text's first sentence with it."""
    return TrainingData("papers.csv", "pairs", tuple((text.split(".")[0], text) for text in texts))
