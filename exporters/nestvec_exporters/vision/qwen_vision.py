"""The image encoder of Qwen2-VL, Qwen2.5-VL and Qwen3-VL for images of one size, any number at once.

transformers runs all images as one row of patches, cut where an image ends: a traced graph would hold the
number of images. With one size they are a batch, and positions and windows are constants.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nestvec_schemas.preprocessing.pixels import ImageTransform


class QwenVision(nn.Module):
    """Pixel values, (k, 3, height, width) float32, to the language model's vectors, (k, count, hidden).

    ``grid``: rows and columns of the patches of one image, which are merged into ``count`` tokens.
    """

    cos: Tensor
    sin: Tensor
    order: Tensor
    back: Tensor
    walls: Tensor

    def __init__(self, visual: Any, transform: ImageTransform) -> None:
        super().__init__()
        self.visual = visual
        config = visual.config
        self.patch, self.merge, self.depth = (
            config.patch_size,
            config.spatial_merge_size,
            config.temporal_patch_size,
        )
        self.grid = (transform.height // self.patch, transform.width // self.patch)
        self.tokens = self.grid[0] * self.grid[1]
        self.count = self.tokens // self.merge**2
        window = getattr(config, "window_size", None)
        windows = _windows(self.grid, self.merge, window // self.patch // self.merge if window else None)
        order, owner = windows.sort(stable=True).indices, windows.sort(stable=True).values
        self.whole = set(getattr(config, "fullatt_block_indexes", range(config.depth)))
        each = owner.repeat_interleave(self.merge**2)
        walls = torch.zeros((self.tokens, self.tokens)).masked_fill(
            each[:, None] != each[None, :], torch.finfo(torch.float32).min
        )
        cos, sin = _angles(visual, self._placed(order))
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)
        self.register_buffer("walls", walls, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """The vectors of each image, line by line."""
        hidden = self._embedded(values)
        for at, block in enumerate(self.visual.blocks):
            walls = None if at in self.whole else self.walls
            hidden = hidden + self._attended(block.attn, block.norm1(hidden), walls)
            hidden = hidden + block.mlp(block.norm2(hidden))
        merged = self.visual.merger(hidden).view(values.shape[0], self.count, -1)
        ordered: Tensor = merged[:, self.back]
        return ordered

    def _embedded(self, values: Tensor) -> Tensor:
        """Patches in the order of their merging, and of windows, as vectors: (k, tokens, width)."""
        (rows, columns), merge, patch = self.grid, self.merge, self.patch
        cut = values.view(-1, 3, rows // merge, merge, patch, columns // merge, merge, patch)
        cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(-1, self.count, merge**2, 3, patch**2)
        cut = cut[:, self.order].reshape(-1, self.tokens, 3, 1, patch**2)
        projection = self.visual.patch_embed.proj
        kernel = projection.weight
        # An image is a video of identical frames.
        still = cut.expand(-1, -1, -1, self.depth, -1).reshape(-1, self.tokens, kernel[0].numel())
        return nn.functional.linear(still, kernel.flatten(1), projection.bias)

    def _attended(self, attention: Any, hidden: Tensor, walls: Tensor | None) -> Tensor:
        heads = attention.num_heads
        split = attention.qkv(hidden).view(-1, self.tokens, 3, heads, hidden.shape[-1] // heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        query, key = self._turned(query), self._turned(key)
        weights = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        if walls is not None:
            weights = weights + walls.to(weights.dtype)
        attended = weights.softmax(dim=-1) @ value
        projected: Tensor = attention.proj(
            attended.transpose(1, 2).reshape(-1, self.tokens, hidden.shape[-1])
        )
        return projected

    def _turned(self, vectors: Tensor) -> Tensor:
        left, right = vectors.chunk(2, dim=-1)
        turned = vectors * self.cos + torch.cat([-right, left], dim=-1) * self.sin
        return turned.to(vectors.dtype)

    def _placed(self, order: Tensor) -> Tensor:
        """Row and column of each patch, (tokens, 2), in the order in which they are embedded."""
        rows, columns = self.grid
        places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        merged = places.view(rows // self.merge, self.merge, columns // self.merge, self.merge, 2)
        return merged.transpose(1, 2).reshape(self.count, -1, 2)[order].reshape(-1, 2)


class DeepstackVision(QwenVision):
    """Qwen3-VL's, which also gives vectors for the first layers of the language model (DeepStack, Meng 2024).

    Pixel values, (k, 3, height, width) float32, to (k, count, (1 + deep) * hidden): an image's vectors, then
    what each of the first ``deep`` layers adds to its tokens.
    """

    places: Tensor

    def __init__(self, visual: Any, transform: ImageTransform) -> None:
        super().__init__(visual, transform)
        self.deep = len(visual.deepstack_visual_indexes)
        places, (cos, sin) = _first_block_inputs(visual, self.grid)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """The vectors of each image, line by line."""
        hidden = self._embedded(values)
        hidden = hidden + self.places.to(hidden.dtype)
        added = []
        for at, block in enumerate(self.visual.blocks):
            hidden = hidden + self._attended(block.attn, block.norm1(hidden), None)
            hidden = hidden + block.mlp(block.norm2(hidden))
            if at in self.visual.deepstack_visual_indexes:
                merger = self.visual.deepstack_merger_list[self.visual.deepstack_visual_indexes.index(at)]
                added.append(self._merged(merger, hidden))
        return torch.cat([self._merged(self.visual.merger, hidden), *added], dim=-1)

    def _merged(self, merger: Any, hidden: Tensor) -> Tensor:
        merged: Tensor = merger(hidden.reshape(-1, hidden.shape[-1]))
        return merged.view(-1, self.count, merged.shape[-1])


def _first_block_inputs(visual: Any, grid: tuple[int, int]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """What transformers adds to an image's patches for their places, and the angles of its attention."""
    noted: dict[str, Any] = {}

    def note_patches(module: nn.Module, arguments: Any, output: Tensor) -> None:
        noted["patches"] = output

    def note_block(module: nn.Module, arguments: Any, options: dict[str, Any]) -> None:
        noted["hidden"] = arguments[0] if arguments else options["hidden_states"]
        noted["angles"] = options["position_embeddings"]

    hooks = [
        visual.patch_embed.register_forward_hook(note_patches),
        visual.blocks[0].register_forward_pre_hook(note_block, with_kwargs=True),
    ]
    try:
        with torch.no_grad():
            width = visual.patch_embed.proj.weight[0].numel()
            visual(torch.zeros((grid[0] * grid[1], width)), grid_thw=torch.tensor([[1, *grid]]))
    finally:
        for hook in hooks:
            hook.remove()
    return noted["hidden"] - noted["patches"], noted["angles"]


def _windows(grid: tuple[int, int], merge: int, edge: int | None) -> Tensor:
    """The window that each merged token lies in, (count,); all in one where there are none."""
    rows, columns = grid[0] // merge, grid[1] // merge
    if edge is None:
        return torch.zeros(rows * columns, dtype=torch.int64)
    across = -(-columns // edge)
    down, along = torch.arange(rows) // edge, torch.arange(columns) // edge
    return (down[:, None] * across + along[None, :]).flatten()


def _angles(visual: Any, places: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary positions, (tokens, width of a head) each (Su et al. 2021, in 2D)."""
    half = visual.blocks[0].attn.qkv.in_features // visual.blocks[0].attn.num_heads // 2
    rope = getattr(visual.config, "rope_parameters", None) or {}
    speeds = 1.0 / (rope.get("rope_theta", 10000.0) ** (torch.arange(0, half, 2).float() / half))
    angles = (places[:, :, None].float() * speeds).flatten(1)
    doubled = torch.cat([angles, angles], dim=-1)
    return doubled.cos(), doubled.sin()
