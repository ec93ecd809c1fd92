"""Tiny vision-language checkpoints with random weights, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

_TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "vocab_size": 320,
    "pad_token_id": 0,
    "bos_token_id": 257,
    "eos_token_id": 258,
}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
_MARKS = (
    "<|pad|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|image_pad|>",
    "<|vision_end|>",
    "<image>",
)
_QWEN_TOKENS = {
    "image_token_id": 260,
    "video_token_id": 319,
    "vision_start_token_id": 259,
    "vision_end_token_id": 261,
}

# As in Qwen2-VL's own, without films and numbers of pictures.
_QWEN_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}<|vision_start|><|image_pad|>"
    "<|vision_end|>{% else %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As in LLaVA 1.5's own.
_LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}"
    "{% endfor %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' ' }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def write_qwen(folder: Path, kind: str = "Qwen2VL", edge: int = 112) -> Path:
    """A Qwen2VL or Qwen2_5_VL that reads squares of ``edge`` pixels, a multiple of 28."""
    windows = {"window_size": 56, "fullatt_block_indexes": [1], "out_hidden_size": 32, "hidden_size": 48}
    own = {"embed_dim": 48, "hidden_size": 32, "mlp_ratio": 2} if kind == "Qwen2VL" else windows
    vision = {"depth": 3, "num_heads": 3, "patch_size": 14, "intermediate_size": 64, **own}
    fields = {"text_config": {**_TEXT, "rope_parameters": _ROPE}, "vision_config": vision, **_QWEN_TOKENS}
    _save(folder, f"{kind}ForConditionalGeneration", fields)
    _tokenizer(folder, _QWEN_TEMPLATE)
    size = {"shortest_edge": 56 * 56, "longest_edge": edge * edge}
    transformers.Qwen2VLImageProcessorPil(size=size).save_pretrained(folder)
    return folder


def write_qwen3(folder: Path, edge: int = 128) -> Path:
    """A Qwen3VL that reads squares of ``edge`` pixels, a multiple of 32."""
    vision = {
        **{"depth": 3, "num_heads": 3, "patch_size": 16, "intermediate_size": 64, "hidden_size": 48},
        **{"out_hidden_size": 32, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 36},
    }
    rope = {**_ROPE, "mrope_interleaved": True}
    text = {**_TEXT, "num_hidden_layers": 3, "head_dim": 8, "rope_parameters": rope}
    fields = {"text_config": text, "vision_config": vision, **_QWEN_TOKENS}
    _save(folder, "Qwen3VLForConditionalGeneration", fields)
    _tokenizer(folder, _QWEN_TEMPLATE)
    size = {"shortest_edge": 64 * 64, "longest_edge": edge * edge}
    transformers.Qwen2VLImageProcessorPil(size=size, patch_size=16).save_pretrained(folder)
    return folder


def write_llava(folder: Path, edge: int = 64) -> Path:
    """A LLaVA of a CLIP and a LLaMA that reads squares of ``edge`` pixels."""
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "image_size": edge,
        "patch_size": 16,
    }
    fields = {
        "text_config": {**_TEXT, "model_type": "llama"},
        "vision_config": vision,
        "image_token_index": 262,
        "image_seq_length": (edge // 16) ** 2,
    }
    _save(folder, "LlavaForConditionalGeneration", fields)
    _tokenizer(folder, _LLAVA_TEMPLATE)
    square = {"height": edge, "width": edge}
    transformers.CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size=square).save_pretrained(folder)
    return folder


def _save(folder: Path, kind: str, fields: Mapping[str, Any]) -> None:
    torch.manual_seed(0)
    model_class = getattr(transformers, kind)
    model = model_class(model_class.config_class(**fields)).eval()
    for module in model.modules():
        # Wide enough that different inputs get different vectors.
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.Conv3d):
            torch.nn.init.normal_(module.weight, std=1.4 / module.weight[0].numel() ** 0.5)
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.7)
    model.save_pretrained(folder)


def _tokenizer(folder: Path, template: str) -> None:
    """Bytes, and the marks that the templates write."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({one: at for at, one in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(one, normalized=False, special=True) for one in _MARKS])
    saved = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|im_end|>", model_max_length=512
    )
    saved.chat_template = template
    saved.save_pretrained(folder)
