"""Trained pooling beside a decoder, against the formulas of the papers in plain torch, text by text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_vectors import encoder_vectors
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, normalize
from transformers import AutoModel, AutoTokenizer, MistralModel

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.kinds import identify
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.vectors import Vectors, cosines

Write = Callable[..., Path]
Weights = dict[str, Tensor]

TEXTS = ["rows from a file", "x", "heat flow in shock waves, measured twice", "Zebra crossing " * 40]
TOKENS, DIM, HEADS, INNER, LATENTS = 64, 32, 2, 16, 6
MISTRAL = {"num_key_value_heads": 2, "bos_token_id": 2, "eos_token_id": 3}

PUBLISHED = "nvidia/NV-Embed-v2--modeling_nvembed.NVEmbedModel"


def weights(layers: int = 0) -> Weights:
    """Tensors with the papers' names; with ``layers``, those of pooling over layers."""
    chance = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance) * 0.3

    block = "cross_attend_blocks"
    found = {
        "latents": drawn(LATENTS, DIM),
        f"{block}.0.fn.to_q.weight": drawn(HEADS * INNER, DIM),
        f"{block}.0.fn.to_kv.weight": drawn(2 * HEADS * INNER, DIM),
        f"{block}.0.fn.to_out.weight": drawn(DIM, HEADS * INNER),
        f"{block}.1.fn.net.0.weight": drawn(DIM * 8, DIM),
        f"{block}.1.fn.net.0.bias": drawn(DIM * 8),
        f"{block}.1.fn.net.2.weight": drawn(DIM, DIM * 4),
        f"{block}.1.fn.net.2.bias": drawn(DIM),
        **({"pos_emb.weight": drawn(layers, DIM)} if layers else {}),
    }
    for norm in ("0.norm", "0.norm_context", "1.norm"):
        found |= {f"{block}.{norm}.weight": 1 + drawn(DIM), f"{block}.{norm}.bias": drawn(DIM)}
    return found


def crossed(given: Weights, asking: Tensor, seen: Tensor) -> Tensor:
    """Attention of (q, dim) to (k, dim), both normed already, head by head."""
    block = "cross_attend_blocks.0.fn"
    queries = (asking @ given[f"{block}.to_q.weight"].T).split(INNER, dim=1)
    keys, values = ((seen @ given[f"{block}.to_kv.weight"].T).chunk(2, dim=1)[at] for at in (0, 1))
    heads = [
        torch.softmax(q @ k.T / INNER**0.5, dim=1) @ v
        for q, k, v in zip(queries, keys.split(INNER, dim=1), values.split(INNER, dim=1), strict=True)
    ]
    return torch.cat(heads, dim=1) @ given[f"{block}.to_out.weight"].T


def normed(given: Weights, name: str, vectors: Tensor) -> Tensor:
    both = (given[f"cross_attend_blocks.{name}.{one}"] for one in ("weight", "bias"))
    return layer_norm(vectors, (DIM,), *both)


def gated(given: Weights, vectors: Tensor) -> Tensor:
    net = "cross_attend_blocks.1.fn.net"
    wide = normed(given, "1.norm", vectors) @ given[f"{net}.0.weight"].T + given[f"{net}.0.bias"]
    values, gates = wide.chunk(2, dim=1)
    return (values * gelu(gates)) @ given[f"{net}.2.weight"].T + given[f"{net}.2.bias"] + vectors


def latent(given: Weights, tokens: Tensor, left_out: int = 0) -> Tensor:
    """NV-Embed: tokens ask, what was learned is seen; the mean leaves out so many tokens."""
    asked = normed(given, "0.norm", tokens)
    seen = crossed(given, asked, normed(given, "0.norm_context", given["latents"])) + tokens
    return gated(given, seen)[left_out:].mean(dim=0)


def over_layers(given: Weights, layers: Tensor) -> Tensor:
    """Tang & Yang: what was learned asks, the layers' vectors are seen."""
    placed = normed(given, "0.norm", layers + given["pos_emb.weight"])
    asked = normed(given, "0.norm_context", given["latents"])
    return gated(given, crossed(given, asked, placed) + given["latents"]).mean(dim=0)


def hidden(model: torch.nn.Module, checkpoint: Path, text: str) -> Tensor:
    ids = AutoTokenizer.from_pretrained(checkpoint)(
        text, truncation=True, max_length=TOKENS, return_tensors="pt"
    )["input_ids"]
    with torch.no_grad():
        return torch.cat(model(input_ids=ids, output_hidden_states=True).hidden_states)


def tell_heads(checkpoint: Path) -> None:
    path = checkpoint / "config.json"
    told = {"num_cross_heads": HEADS, "output_normalize": True}
    path.write_text(json.dumps({**json.loads(path.read_text()), "latent_attention_config": told}))


def exported(checkpoint: Path, models: Path, asked: Overrides) -> tuple[str, int, Vectors]:
    manifest = export(ExportOptions(str(checkpoint), models, "tiny", overrides=asked))
    assert manifest.normalised
    return (
        manifest.towers["text"].pooling,
        manifest.depth,
        encoder_vectors(models / "tiny", TEXTS, TOKENS),
    )


def test_latent_attention_beside_a_decoder(write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint, given = write_checkpoint("Mistral", **MISTRAL), weights()
    tell_heads(checkpoint)
    named = {f"latent_attention_model.{name}": one for name, one in given.items()}
    save_file(named, checkpoint / "pooling.safetensors")
    pooling, depth, found = exported(checkpoint, tmp_path / "models", Overrides(bidirectional=True))
    assert (pooling, depth) == ("latent", 2)
    model = AutoModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    model.config.is_causal = False
    expected = torch.stack([latent(given, hidden(model, checkpoint, text)[-1]) for text in TEXTS])
    assert cosines(found, normalize(expected).numpy()).min() > 0.9999
    np.testing.assert_allclose(found, normalize(expected).numpy(), atol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_pooling_over_layers(causal: bool, write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint, given = write_checkpoint("Mistral", **MISTRAL), weights(layers=2)
    tell_heads(checkpoint)
    save_file(given, checkpoint / "attn_pool.safetensors")
    pooling, _, found = exported(checkpoint, tmp_path / "models", Overrides(bidirectional=not causal))
    assert pooling == ("layers+lasttoken" if causal else "layers+mean")
    model = AutoModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    model.config.is_causal = causal
    layers = [hidden(model, checkpoint, text)[1:] for text in TEXTS]
    each = [one[:, -1] if causal else one.mean(dim=1) for one in layers]
    expected = normalize(torch.stack([over_layers(given, one) for one in each])).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_pooling_of_another_decoder_is_refused(write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint = write_checkpoint("Mistral", **MISTRAL)
    save_file(weights(layers=3), checkpoint / "attn_pool.safetensors")
    with pytest.raises(CheckpointUnsupported, match="another number of layers: 3, not 2"):
        exported(checkpoint, tmp_path / "models", Overrides())
    some = weights(layers=2)
    del some["latents"]
    save_file(some, checkpoint / "attn_pool.safetensors")
    with pytest.raises(CheckpointUnsupported, match="not all of its tensors: latents"):
        exported(checkpoint, tmp_path / "models", Overrides())


def nvembed(plain: Path) -> tuple[Path, Weights]:
    """The Mistral in a folder as NV-Embed's layout of it."""
    config = json.loads((plain / "config.json").read_text())
    told = {"model_type": "latent_attention", "num_cross_heads": HEADS, "output_normalize": True}
    both = {"text_config": {**config, "model_type": "bidir_mistral"}, "latent_attention_config": told}
    asked = {
        "model_type": "nvembed",
        "architectures": ["NVEmbedModel"],
        "auto_map": {"AutoModel": PUBLISHED},
    }
    (plain / "config.json").write_text(json.dumps({**asked, **both}))
    given = weights()
    own = load_file(plain / "model.safetensors")
    named = {f"embedding_model.{name}": one for name, one in own.items()}
    named |= {f"latent_attention_model.{name}": one for name, one in given.items()}
    save_file(named, plain / "model.safetensors", {"format": "pt"})
    tokenizer = json.loads((plain / "tokenizer.json").read_text())
    # As Mistral's own: a text begins with a special token and has none at its end.
    tokenizer["post_processor"]["single"].pop()
    (plain / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = json.loads((plain / "tokenizer_config.json").read_text())
    (plain / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": "[SEP]"}))
    return plain, given


def test_nv_embeds_own_layout(write_checkpoint: Write, tmp_path: Path) -> None:
    plain = write_checkpoint("Mistral", **MISTRAL)
    model = MistralModel.from_pretrained(plain, attn_implementation="eager").eval()
    model.config.is_causal = False
    layers = [hidden(model, plain, text)[-1] for text in TEXTS]
    checkpoint, given = nvembed(plain)
    assert identify(checkpoint).name == "nvembed"
    pooling, depth, found = exported(checkpoint, tmp_path / "models", Overrides())
    assert (pooling, depth) == ("latent", 2)
    expected = normalize(torch.stack([latent(given, one) for one in layers])).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


PROMPT = "Instruct: find what answers\nQuery: "


@pytest.mark.parametrize("counted", [False, True])
def test_nv_embed_leaves_a_prompt_out_of_its_pooling(
    counted: bool, write_checkpoint: Write, tmp_path: Path
) -> None:
    plain = write_checkpoint("Mistral", **MISTRAL)
    model = MistralModel.from_pretrained(plain, attn_implementation="eager").eval()
    model.config.is_causal = False
    asked = [f"{PROMPT}{text}" for text in TEXTS]
    layers = [hidden(model, plain, text)[-1] for text in asked]
    # Its own code: len(tokenizer.tokenize(instruction)) from the first token on, the begin token's place.
    left_out = 0 if counted else len(AutoTokenizer.from_pretrained(plain).tokenize(PROMPT))
    checkpoint, given = nvembed(plain)
    if counted:
        config = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps({**config, "is_mask_instruction": False}))
    exported(checkpoint, tmp_path / "models", Overrides(query_prompt=PROMPT))
    found = encoder_vectors(tmp_path / "models" / "tiny", [*asked, *TEXTS], TOKENS)
    expected = normalize(torch.stack([latent(given, one, left_out) for one in layers])).numpy()
    np.testing.assert_allclose(found[: len(asked)], expected, atol=1e-4)
    _, _, plainly = exported(checkpoint, tmp_path / "other", Overrides())
    np.testing.assert_allclose(found[len(asked) :], plainly, atol=1e-5)
