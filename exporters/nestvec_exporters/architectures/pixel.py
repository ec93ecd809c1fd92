"""PIXEL (Rust et al. 2023): a vision transformer that reads a line of rendered text, mean pooled over
patches.

transformers has no such class. The folder holds, as PIXEL's own repository saves it:

- ``config.json``: ``model_type`` pixel, ``patch_size`` (16), ``hidden_size``, ``num_hidden_layers``,
  ``num_attention_heads``, ``intermediate_size``, ``hidden_act`` (gelu), ``layer_norm_eps`` (1e-12).
- safetensors with ``vit.NAME`` or ``NAME``, NAME being ``embeddings.cls_token``,
  ``embeddings.position_embeddings`` (1, patches + 1, hidden), ``embeddings.patch_embeddings.projection``,
  ``layernorm``, and of every ``encoder.layer.N`` those of ``_LAYER``. Its decoder is not read.
- ``text_renderer_config.json``, where it is not as PIXEL's: colours, ``font_size`` in points at ``dpi``, and
  ``font_file``, a font beside it. Without one, Pillow's own renders: see ``preprocessing.text_rendering``.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from PIL import ImageColor
from safetensors import safe_open
from torch import Tensor, nn
from transformers.activations import ACT2FN

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_safetensors
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.prompts import folder_prompts
from nestvec_exporters.graph.pooling import POOLING
from nestvec_exporters.graph.tensors import OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_exporters.graph.trace import PooledEncoder
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.preprocessing.text_rendering import Rendering, line_patches, render_text
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

    def forward(self, states: Tensor, attention_bias: Tensor) -> Tensor:
        normed = self.before(states)
        query, key, value = (
            self._split(projection(normed)) for projection in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + attention_bias
        attended = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2)
        states = states + self.out(attended.reshape(states.shape))
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
        # A convolution whose stride is its kernel, as a product.
        embedded = self.patch(values.permute(0, 1, 4, 2, 3).flatten(2))
        embedded = embedded + self.places[:, 1 : embedded.shape[1] + 1]
        first = (self.first + self.places[:, :1]).expand(embedded.shape[0], -1, -1)
        states = torch.cat([first, embedded], dim=1)
        shown = torch.cat([torch.ones_like(attention_mask[:, :1]), attention_mask], dim=1).to(states.dtype)
        attention_bias = (1.0 - shown[:, None, None, :]) * torch.finfo(states.dtype).min
        every = [states]
        for layer in self.layers:
            every.append(layer(every[-1], attention_bias))
        return SimpleNamespace(
            last_hidden_state=self.norm(every[-1])[:, 1:],
            hidden_states=[layer_states[:, 1:] for layer_states in every],
        )


class PixelTower(TowerModel):
    """A PIXEL, pooled; ``font`` renders its texts, Pillow's own where it is None."""

    def __init__(self, model: Pixel, pooling: Sequence[str], rendering: Rendering, font: Path | None) -> None:
        self.spec = Tower(
            inputs=_INPUTS,
            output=OUTPUT,
            pooling="+".join(pooling),
            max_tokens=rendering.max_patches,
            rendering=rendering,
        )
        self.model, self.pooling, self.rendering, self.font = model, pooling, rendering, font
        shape = (2, 8, rendering.patch_height, rendering.patch_width, 3)
        blank, mask = np.zeros(shape, np.uint8), np.ones((2, 8), np.int64)
        self.example = dict(zip(_INPUTS, (blank, mask), strict=True))
        self.dynamic_axes = {name: {1: "patches"} for name in _INPUTS}

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The model and its pooling."""
        pools = [POOLING[mode] for mode in self.pooling]
        return PooledEncoder(self.model, pools, nn.Identity(), exits).eval()

    def rows(self, folder: Path, inputs: Sequence[str], max_tokens: int) -> list[Arrays]:
        """Texts to rows of patches, by the font in an encoder's folder."""
        return rendered_rows(self.rendering, folder, inputs, max_tokens)

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The vectors, (n, dim) float32, in torch: one text at a time, without padding."""
        module = self.module()
        vectors = []
        with torch.no_grad():
            for text in inputs:
                row = _render_patches(text, self.rendering, self.font, max_tokens)
                arguments = [torch.from_numpy(row[name])[None] for name in _INPUTS]
                vectors.append(module(*arguments)[-1].numpy())
        return np.concatenate(vectors)

    def probes(self) -> Sequence[str]:
        """Real texts."""
        return probe_texts()

    def save(self, folder: Path) -> None:
        """Write the font."""
        if self.font is not None:
            shutil.copyfile(self.font, folder / FONT)


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a PIXEL."""
    folder, config = checkpoint.folder, CheckpointFiles(checkpoint.folder).config
    check_safetensors(folder)
    pooling = sources.pooling_modes(options.overrides.pooling or "mean")
    model = _model(folder, config)
    rendering, font = _rendering(folder, config, len(model.places[0]) - 1, options.max_tokens)
    tower = PixelTower(model, pooling, rendering, font)
    return LoadedCheckpoint(
        kind="dense",
        dim=config["hidden_size"] * len(pooling),
        normalised=False,
        towers={"text": tower},
        layers=config["num_hidden_layers"],
        prompts=folder_prompts(folder, options.overrides),
    )


def rendered_rows(rendering: Rendering, folder: Path, texts: Sequence[str], max_patches: int) -> list[Arrays]:
    """Texts to rows of patches, cut at ``max_patches``, by the font in an encoder's folder."""
    font = folder / FONT if (folder / FONT).is_file() else None
    return [_render_patches(text, rendering, font, max_patches) for text in texts]


def _render_patches(text: str, rendering: Rendering, font: Path | None, max_patches: int) -> Arrays:
    short = rendering.model_copy(update={"max_patches": min(rendering.max_patches, max_patches)})
    return line_patches(render_text(text, short, font)[0], short)


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
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                ours = _renamed(name.removeprefix("vit."))
                if ours is not None:
                    tensors[ours] = file.get_tensor(name).float()
    return tensors


def _renamed(name: str) -> str | None:
    if name in _OTHER:
        return _OTHER[name]
    if not name.startswith("encoder.layer."):
        return None
    number, _, layer_part = name.removeprefix("encoder.layer.").partition(".")
    layer_part, _, kind = layer_part.rpartition(".")
    return f"layers.{number}.{_LAYER[layer_part]}.{kind}" if layer_part in _LAYER else None


def _edge(config: dict[str, Any]) -> tuple[int, int]:
    size = config.get("patch_size", 16)
    height, width = size if isinstance(size, list) else (size, size)
    return int(height), int(width)


def _rendering(
    folder: Path, config: dict[str, Any], patches: int, requested: int | None
) -> tuple[Rendering, Path | None]:
    """How text is rendered, and by which font. Raises CheckpointUnsupported."""
    renderer_config = CheckpointFiles(folder).json("text_renderer_config.json")
    if requested is not None and not 1 < requested <= patches:
        raise CheckpointUnsupported(
            "the checkpoint does not take texts of this many patches",
            value=requested,
            next_step=f"Give --max-tokens from 2 to {patches}.",
        )
    named = renderer_config.get("font_file")
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
        max_patches=requested or patches,
        font_size=round(renderer_config.get("font_size", 8) * renderer_config.get("dpi", 120) / _POINT),
        background=_colour(renderer_config.get("background_color", "white")),
        foreground=_colour(renderer_config.get("font_color", "black")),
    ), font


def _colour(name: Any) -> tuple[int, int, int]:
    red, green, blue = ImageColor.getrgb(str(name))[:3]
    return red, green, blue
