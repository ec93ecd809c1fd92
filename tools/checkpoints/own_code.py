"""Writers of checkpoints that bring code of their own: importing any of it writes a canary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

BIDIRECTIONAL = '''
import pathlib
import torch
from transformers import Qwen3Config, Qwen3Model

pathlib.Path({canary!r}).write_text("ran")


class HouseModel(Qwen3Model):
    """Qwen3 without its causal mask, and with a projection where its configuration has labels."""

    config_class = Qwen3Config

    def __init__(self, config):
        super().__init__(config)
        self.linear = torch.nn.Linear(config.hidden_size, config.house_width, bias=False)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        keep = attention_mask[:, None, None, :].to(torch.bool)
        mask = torch.zeros(keep.shape, dtype=torch.float32).masked_fill(~keep, torch.finfo(torch.float32).min)
        mask = mask.expand(-1, 1, attention_mask.shape[1], -1)
        kwargs.pop("use_cache", None)
        states = super().forward(
            input_ids=input_ids,
            attention_mask={{"full_attention": mask, "sliding_attention": mask}},
            use_cache=False,
            **kwargs,
        )
        states.last_hidden_state = self.linear(states.last_hidden_state)
        return states
'''

MODULE = '''
import pathlib
import torch

from sentence_transformers.models import Module

pathlib.Path({canary!r}).write_text("ran")


class Fold(Module):
    """The halves of a vector, added."""

    config_keys = []

    def forward(self, features):
        first, second = features["sentence_embedding"].chunk(2, dim=1)
        features["sentence_embedding"] = torch.tanh(first + second)
        return features

    def get_embedding_dimension(self):
        return {width}

    def get_sentence_embedding_dimension(self):
        return {width}

    def save(self, output_path, *args, **kwargs):
        pass

    @classmethod
    def load(cls, *args, **kwargs):
        return cls()
'''


def write_bidirectional(
    folder: Path, canary: Path, *, width: int = 24, module: str = "modeling_house"
) -> None:
    """Let a Qwen3's folder name a class of its own: bidirectional, with a projection to ``width``."""
    (folder / f"{module}.py").write_text(BIDIRECTIONAL.format(canary=str(canary)), "utf-8")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": f"{module}.HouseModel"}
    config["architectures"] = ["HouseModel"]
    config["house_width"] = width
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(1)
    weights["linear.weight"] = torch.randn(width, config["hidden_size"])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def write_layout(folder: Path, width: int, *more: str) -> None:
    """Put sentence-transformers' layout around a folder: its model, mean pooling, and ``more`` modules."""
    types = ["sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling", *more]
    rows = [
        {"idx": at, "name": str(at), "path": "" if at == 0 else f"{at}_Module", "type": kind}
        for at, kind in enumerate(types)
    ]
    write_json(folder / "modules.json", rows)
    write_json(
        folder / "1_Module" / "config.json",
        {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True},
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})


def write_fold(folder: Path, canary: Path, width: int) -> None:
    """Append a module of the folder's own code, which halves the vectors to ``width``."""
    (folder / "house_modules.py").write_text(MODULE.format(canary=str(canary), width=width), "utf-8")
    (folder / "2_Module").mkdir(exist_ok=True)
    write_json(folder / "2_Module" / "config.json", {})


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


UNKNOWN_TYPE = """
import torch
from transformers import BertConfig, BertModel


class HouseConfig(BertConfig):
    model_type = "house"

    def __init__(self, twist=1.0, **fields):
        super().__init__(**fields)
        self.twist = twist


class HouseBert(BertModel):
    config_class = HouseConfig

    def forward(self, input_ids=None, attention_mask=None, **options):
        outputs = super().forward(input_ids=input_ids, attention_mask=attention_mask, **options)
        outputs.last_hidden_state = torch.tanh(self.config.twist * outputs.last_hidden_state)
        return outputs
"""

RERANKER = """
from transformers import BertForSequenceClassification


class HouseRanker(BertForSequenceClassification):
    def forward(self, **inputs):
        outputs = super().forward(**inputs)
        outputs.logits = outputs.logits * 3 + 1
        return outputs
"""


def write_unknown_type(folder: Path) -> None:
    """Let a BERT's folder name a type that transformers does not know, with its configuration and model."""
    (folder / "modeling_house.py").write_text(UNKNOWN_TYPE, "utf-8")
    classes = {"AutoConfig": "modeling_house.HouseConfig", "AutoModel": "modeling_house.HouseBert"}
    _edit_config(folder, model_type="house", architectures=["HouseBert"], twist=0.5, auto_map=classes)


def write_reranker(folder: Path) -> None:
    """Let the folder of a BERT for sequence classification name a class of its own."""
    (folder / "modeling_house.py").write_text(RERANKER, "utf-8")
    _edit_config(folder, auto_map={"AutoModelForSequenceClassification": "modeling_house.HouseRanker"})


def _edit_config(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    write_json(path, {**json.loads(path.read_text()), **fields})
