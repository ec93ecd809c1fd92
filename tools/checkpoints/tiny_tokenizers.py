"""Tokenizers of letters for tiny checkpoints: each is written to a folder and returns its number of ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

POSITIONS = 32
"""The longest text, in tokens."""

_MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
_LETTERS = [chr(code) for code in range(33, 127)]


def bert_tokenizer(folder: Path) -> int:
    """Words split into characters, between [CLS] and [SEP]."""
    words = [*_MARKS, *_LETTERS, *(f"##{one}" for one in _LETTERS)]
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return _saved(tokenizer, folder, **marks)


def clip_tokenizer(folder: Path) -> int:
    """CLIP's own: bytes and a few merges, between its start and its end."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("i", "n"), ("e", "r</w>")]
    words = [*letters, *(f"{one}</w>" for one in letters), *map("".join, merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: at for at, word in enumerate(words)}
    tokenizer = transformers.CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def siglip_tokenizer(folder: Path) -> int:
    """Characters with an end that is the padding, too, as SigLIP's."""
    vocab = {"</s>": 1, "<unk>": 0} | {one: at + 2 for at, one in enumerate([*_LETTERS, "▁"])}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "▁")])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    names = {"pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return _saved(tokenizer, folder, model_input_names=["input_ids"], **names)


def _saved(tokenizer: Tokenizer, folder: Path, **names: Any) -> int:
    saved = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=POSITIONS, **names
    )
    saved.save_pretrained(folder)
    return len(saved)
