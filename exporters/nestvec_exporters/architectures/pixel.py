"""PIXEL (Rust et al. 2023): a vision transformer that reads a line of drawn text, mean pooled over patches.

transformers has no such class. The folder holds, as PIXEL's own repository saves it:

- ``config.json``: ``model_type`` pixel, ``patch_size`` (16), ``hidden_size``, ``num_hidden_layers``,
  ``num_attention_heads``, ``intermediate_size``, ``hidden_act`` (gelu), ``layer_norm_eps`` (1e-12).
- safetensors with ``vit.NAME`` or ``NAME``, NAME being ``embeddings.cls_token``,
  ``embeddings.position_embeddings`` (1, patches + 1, hidden), ``embeddings.patch_embeddings.projection``,
  ``layernorm``, and of every ``encoder.layer.N`` those of ``_LAYER``. Its decoder is not read.
- ``text_renderer_config.json``, where it is not as PIXEL's: colours, ``font_size`` in points at ``dpi``, and
  ``font_file``, a font beside it. Without one, Pillow's own draws: see ``preprocessing.text_rendering``.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from PIL import ImageColor
from safetensors import safe_open
from torch import Tensor, nn
from transformers.activations import ACT2FN

from nestvec_exporters.architectures import sentence_transformer as sources
from nestvec_exporters.architectures.decoder import plain
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_safetensors
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.prompts import prompts_of
from nestvec_exporters.graph.pooling import POOLING
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.trace import Pooled
from nestvec_exporters.graph.triton import OUTPUT
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.preprocessing.text_rendering import Rendering, patches_of, render
from nestvec_schemas.repository import FONT
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

_INPUTS: Final = ("patches", "attention_mask")
_WHITE: Final = 255.0
_POINT: Final = 72

_LAYER: Final = {
    "layernorm_before": "before",
    "attention.attention.query": "query",
    "attention.attention.key": "key",
    "attention.attention.value": "value",
    "attention.output.dense": "out",
    "layernorm_after": "after",
    "intermediate.dense": "wide",
    "output.dense": "narrow",
}
"""A layer's maps and norms: the checkpoint's name and ours."""

_OTHER: Final = {
    "embeddings.patch_embeddings.projection.weight": "patch.weight",
    "embeddings.patch_embeddings.projection.bias": "patch.bias",
    "embeddings.cls_token": "first",
    "embeddings.position_embeddings": "places",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}


class _Layer(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        hidden, wide, eps = (
            config["hidden_size"],
            config["intermediate_size"],
            config.get("layer_norm_eps", 1e-12),
        )
        self.heads = int(config["num_attention_heads"])
        bias = bool(config.get("qkv_bias", True))
        self.before, self.after = (nn.LayerNorm(hidden, eps=eps) for _ in range(2))
        self.query, self.key, self.value = (nn.Linear(hidden, hidden, bias=bias) for _ in range(3))
        self.out, self.wide, self.narrow = (
            nn.Linear(*shape) for shape in ((hidden, hidden), (hidden, wide), (wide, hidden))
        )
        self.activation = ACT2FN[config.get("hidden_act", "gelu")]

    def forward(self, states: Tensor, added: Tensor) -> Tensor:
        normed = self.before(states)
        query, key, value = (self._split(one(normed)) for one in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + added
        seen = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2)
        states = states + self.out(seen.reshape(states.shape))
        risen: Tensor = states + self.narrow(self.activation(self.wide(self.after(states))))
        return risen

    def _split(self, vectors: Tensor) -> Tensor:
        rows, places, width = vectors.shape
        return vectors.reshape(rows, places, self.heads, width // self.heads).transpose(1, 2)


class Pixel(nn.Module):
    """Patches (batch, p, height, width, 3) uint8 and their mask (batch, p) to vectors (batch, p, hidden)."""

    def __init__(self, config: dict[str, Any], patches: int, edge: tuple[int, int]) -> None:
        super().__init__()
        hidden = config["hidden_size"]
        self.patch = nn.Linear(3 * edge[0] * edge[1], hidden)
        self.first = nn.Parameter(torch.zeros(1, 1, hidden))
        self.places = nn.Parameter(torch.zeros(1, patches + 1, hidden))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = nn.LayerNorm(hidden, eps=config.get("layer_norm_eps", 1e-12))

    def forward(
        self, patches: Tensor, attention_mask: Tensor, output_hidden_states: bool = False
    ) -> SimpleNamespace:
        """Without the vector that stands before the patches; answers as transformers' models do."""
        values = patches.to(self.places.dtype) / _WHITE
        # A convolution whose steps are as wide as its window, as a product.
        seen = self.patch(values.permute(0, 1, 4, 2, 3).flatten(2))
        seen = seen + self.places[:, 1 : seen.shape[1] + 1]
        first = (self.first + self.places[:, :1]).expand(seen.shape[0], -1, -1)
        states = torch.cat([first, seen], dim=1)
        shown = torch.cat([torch.ones_like(attention_mask[:, :1]), attention_mask], dim=1).to(states.dtype)
        added = (1.0 - shown[:, None, None, :]) * torch.finfo(states.dtype).min
        every = [states]
        for layer in self.layers:
            every.append(layer(every[-1], added))
        return SimpleNamespace(
            last_hidden_state=self.norm(every[-1])[:, 1:], hidden_states=[one[:, 1:] for one in every]
        )


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they do not make a PIXEL."""
    folder, config = checkpoint.folder, CheckpointFiles(checkpoint.folder).config
    check_safetensors(folder)
    pooling = sources.pooling_modes(options.overrides.pooling or "mean")
    model = _model(folder, config)
    how, font = _rendering(folder, config, len(model.places[0]) - 1, options.max_tokens)
    build = partial(Pooled, model, [POOLING[mode] for mode in pooling], nn.Identity())
    blank = torch.zeros((2, 8, how.patch_height, how.patch_width, 3), dtype=torch.uint8)
    half = Half(
        tower=Tower(
            inputs=_INPUTS,
            output=OUTPUT,
            pooling="+".join(pooling),
            max_tokens=how.max_patches,
            rendering=how,
        ),
        build=build,
        example=dict(zip(_INPUTS, (blank, torch.ones((2, 8), dtype=torch.int64)), strict=True)),
        axes={name: {1: "patches"} for name in _INPUTS},
        rows=partial(_rows, how),
        reference=partial(_reference, build, how, font),
        probes=probe_texts,
        save=partial(_save, font),
    )
    return Loaded(
        kind="dense",
        dim=config["hidden_size"] * len(pooling),
        normalised=False,
        halves={"text": plain(half, model, options)},
        layers=config["num_hidden_layers"],
        prompts=prompts_of({}, options.overrides),
    )


def _model(folder: Path, config: dict[str, Any]) -> Pixel:
    weights = _weights(folder)
    try:
        model = Pixel(config, weights["places"].shape[1] - 1, _edge(config))
        weights["patch.weight"] = weights["patch.weight"].flatten(1)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise CheckpointUnsupported(
            "the checkpoint's config.json and weights do not make a PIXEL",
            value=" ".join(str(error).split())[:200],
            next_step="Save it as PIXEL's own repository does, in safetensors.",
        ) from error
    return model.float().eval()


def _weights(folder: Path) -> dict[str, Tensor]:
    """The encoder's tensors by our names."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                ours = _named(name.removeprefix("vit."))
                if ours is not None:
                    found[ours] = file.get_tensor(name).float()
    return found


def _named(name: str) -> str | None:
    if name in _OTHER:
        return _OTHER[name]
    if not name.startswith("encoder.layer."):
        return None
    number, _, inside = name.removeprefix("encoder.layer.").partition(".")
    inside, _, kind = inside.rpartition(".")
    return f"layers.{number}.{_LAYER[inside]}.{kind}" if inside in _LAYER else None


def _edge(config: dict[str, Any]) -> tuple[int, int]:
    size = config.get("patch_size", 16)
    height, width = size if isinstance(size, list) else (size, size)
    return int(height), int(width)


def _rendering(
    folder: Path, config: dict[str, Any], patches: int, asked: int | None
) -> tuple[Rendering, Path | None]:
    """How text is drawn, and by which font. Raises CheckpointUnsupported."""
    told = CheckpointFiles(folder).json("text_renderer_config.json")
    if asked is not None and not 1 < asked <= patches:
        raise CheckpointUnsupported(
            "the checkpoint does not take texts of this many patches",
            value=asked,
            next_step=f"Give --max-tokens from 2 to {patches}.",
        )
    named = told.get("font_file")
    font = folder / Path(str(named)).name if named else None
    if font is not None and not font.is_file():
        raise CheckpointUnsupported(
            "the font that the checkpoint was trained with is not beside it",
            value=font.name,
            next_step="Put the file there, or take font_file out of text_renderer_config.json.",
        )
    height, width = _edge(config)
    return Rendering(
        patch_height=height,
        patch_width=width,
        max_patches=asked or patches,
        font_size=round(told.get("font_size", 8) * told.get("dpi", 120) / _POINT),
        background=_colour(told.get("background_color", "white")),
        foreground=_colour(told.get("font_color", "black")),
    ), font


def _colour(name: Any) -> tuple[int, int, int]:
    red, green, blue = ImageColor.getrgb(str(name))[:3]
    return red, green, blue


def _save(font: Path | None, folder: Path) -> None:
    if font is not None:
        shutil.copyfile(font, folder / FONT)


def _rows(how: Rendering, folder: Path, texts: Sequence[str], tokens: int) -> list[Arrays]:
    """Texts to rows of patches, cut at ``tokens`` of them, by the font in an encoder's folder."""
    font = folder / FONT if (folder / FONT).is_file() else None
    return [_drawn(text, how, font, tokens) for text in texts]


def _drawn(text: str, how: Rendering, font: Path | None, patches: int) -> Arrays:
    short = how.model_copy(update={"max_patches": min(how.max_patches, patches)})
    return patches_of(render(text, short, font)[0], short)


def _reference(build: Any, how: Rendering, font: Path | None, texts: Sequence[str], tokens: int) -> Vectors:
    """The vectors, (n, dim) float32, in torch: one text at a time, without padding."""
    module = build(()).eval()
    found = []
    with torch.no_grad():
        for text in texts:
            row = _drawn(text, how, font, tokens)
            given = [torch.from_numpy(row[name])[None] for name in _INPUTS]
            found.append(module(*given)[-1].numpy())
    return np.concatenate(found)
