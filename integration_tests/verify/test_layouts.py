"""Checkpoints of random layouts: exported, served, and compared with sentence-transformers."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
import transformers
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Dropout, LayerNorm, Normalize, Pooling, Transformer
from tiny_tokenizers import bert_tokenizer

from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec.service.verification import open_served
from nestvec_exporters import ExportOptions, export
from nestvec_schemas.vectors import cosines

EXAMPLES = int(os.environ.get("NESTVEC_EXAMPLES", "6"))
"""Layouts that are tried; ``make nightly`` sets more."""

WIDTH = 24

TEXTS = [
    "x",
    "Capitals, and a FULL stop.",
    "naïve café 🎈 \x00 語",
    "[CLS] literal [SEP] tokens [MASK]",
    "heat flow in shock waves, measured twice and then once more " * 4,
]

ACTIVATIONS = {
    "identity": torch.nn.Identity,
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
}


@dataclass(frozen=True)
class Layout:
    """What a checkpoint is made of."""

    model: str
    pooling: tuple[str, ...]
    include_prompt: bool
    modules: tuple[tuple[str, Any], ...]
    prompts: dict[str, str]
    default: str | None
    max_tokens: int
    seed: int


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    modes = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
    pooling = draw(st.lists(st.sampled_from(modes), min_size=1, max_size=2, unique=True))
    module = st.one_of(
        st.tuples(
            st.just("Dense"),
            st.tuples(st.integers(9, 40), st.booleans(), st.sampled_from(sorted(ACTIVATIONS))),
        ),
        st.tuples(st.sampled_from(["LayerNorm", "Dropout", "Normalize"]), st.none()),
    )
    names = ["query", "passage", "s2p_query", "Clustering", "Retrieval-query", "search_document", "STS"]
    words = st.text(st.sampled_from("abcdefg: "), min_size=2, max_size=8).map(lambda text: f"{text}: ")
    prompts = draw(st.dictionaries(st.sampled_from(names), words, max_size=4))
    return Layout(
        draw(st.sampled_from(["Bert", "Roberta", "MPNet", "DistilBert"])),
        tuple(pooling),
        draw(st.booleans()),
        tuple(draw(st.lists(module, max_size=4))),
        prompts,
        draw(st.sampled_from([None, *prompts])),
        draw(st.integers(5, 60)),
        draw(st.integers(0, 9)),
    )


def write(layout: Layout, folder: Path) -> SentenceTransformer:
    """Save the checkpoint, and return it as sentence-transformers reads it."""
    torch.manual_seed(layout.seed)
    home = folder.parent / "transformer"
    size = bert_tokenizer(home)
    fields: dict[str, Any] = {
        "vocab_size": size,
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 66,
        "pad_token_id": 0,
        "initializer_range": 0.4,
    }
    if layout.model == "DistilBert":
        # Its names of these sizes are its own; a key that it does not read would be refused.
        del fields["intermediate_size"]
        fields |= {"dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
    config = getattr(transformers, f"{layout.model}Config")(**fields)
    getattr(transformers, f"{layout.model}Model")(config).save_pretrained(home)
    modules: list[Any] = [Transformer(str(home), max_seq_length=layout.max_tokens)]
    modules.append(Pooling(WIDTH, pooling_mode=layout.pooling, include_prompt=layout.include_prompt))
    width = WIDTH * len(layout.pooling)
    for kind, value in layout.modules:
        if kind == "Dense":
            out, bias, activation = value
            modules.append(Dense(width, out, bias=bias, activation_function=ACTIVATIONS[activation]()))
            width = out
        elif kind == "LayerNorm":
            modules.append(LayerNorm(width))
        else:
            modules.append({"Dropout": Dropout, "Normalize": Normalize}[kind]())
    SentenceTransformer(
        modules=modules, device="cpu", prompts=layout.prompts, default_prompt_name=layout.default
    ).save(str(folder), create_model_card=False)
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    # Shrinking a failure would export for minutes.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(layouts())
def test_served_vectors_are_the_librarys(layout: Layout) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, models = Path(name, "checkpoint"), Path(name, "models")
        library = write(layout, folder)
        manifest = export(ExportOptions(str(folder), models, "encoder"), None, open_served)
        assert manifest.verification.served
        assert manifest.verification.cosine_min >= 0.9999
        embedder = open_embedder(models, (), ServiceSettings())
        with serve_in_thread(embedder, bind("127.0.0.1", 0)) as url:
            for prompt in (None, *layout.prompts):
                body = {"inputs": TEXTS, "normalize": manifest.normalised, "truncate": True}
                named = {} if prompt is None else {"prompt_name": prompt}
                answer = httpx.post(f"{url}/embed", json=body | named, timeout=60, trust_env=False)
                assert answer.status_code == 200, answer.text
                served = np.array(answer.json(), np.float32)
                expected = library.encode(TEXTS, prompt_name=prompt, show_progress_bar=False)
                assert served.shape == expected.shape
                assert cosines(served, np.asarray(expected, np.float32)).min() >= 0.9999, (layout, prompt)


def test_the_texts_are_told_apart() -> None:
    """A comparison of vectors that are all alike would show nothing."""
    with tempfile.TemporaryDirectory() as name:
        layout = Layout("Bert", ("mean",), True, (("Normalize", None),), {}, None, 60, 0)
        library = write(layout, Path(name, "checkpoint"))
        vectors = np.asarray(library.encode(TEXTS, show_progress_bar=False), np.float32)
    assert max(float(first @ second) for first, second in pairwise(vectors)) < 0.99
