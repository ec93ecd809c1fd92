"""Tables that come with a tokenizer: Model2Vec, sentence-transformers' StaticEmbedding, WordLlama."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from nestvec_exporters.checkpoints.checkpoint import check_safetensors
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.static.table import (
    MAX_TOKENS,
    EmbeddingTable,
    TokenLookup,
    own_limit,
    without_special_tokens,
)
from nestvec_schemas.errors import CheckpointUnsupported

_MODEL2VEC_MAX_TOKENS: Final = 512
TABLE_MODULES: Final = (["StaticEmbedding"], ["StaticEmbedding", "Normalize"])
_TENSOR_NAMES: Final = ("embeddings", "embedding.weight")


def read_model2vec(folder: Path) -> EmbeddingTable:
    """Model2Vec (Tulkens & van Dongen 2024): ``embeddings``, optionally ``weights`` and ``mapping``.

    Unknown tokens do not count. Raises CheckpointUnsupported.
    """
    files = CheckpointFiles(folder)
    tokenizer = _load_tokenizer(folder / "tokenizer.json")
    tensors = _load_tensors(folder, folder / "model.safetensors")
    weights, mapping = tensors.get("weights"), tensors.get("mapping")
    tokens = files.config.get("max_length", _MODEL2VEC_MAX_TOKENS)
    return EmbeddingTable(
        vectors=_table_vectors(folder, tensors),
        tokenizer=without_special_tokens(tokenizer),
        reference_ids=partial(_token_ids, tokenizer),
        lookup=TokenLookup(
            rows=None if mapping is None else mapping.astype(np.int64),
            weights=None if weights is None else weights.astype(np.float32),
            unknown=_unknown_token_id(tokenizer),
        ),
        normalised=bool(files.config.get("normalize")),
        max_tokens=min(tokens, MAX_TOKENS) if isinstance(tokens, int) and tokens > 0 else MAX_TOKENS,
    )


def read_static_embedding(folder: Path) -> EmbeddingTable:
    """sentence-transformers: a StaticEmbedding module, optionally followed by Normalize.

    Every token counts. Raises CheckpointUnsupported.
    """
    files = CheckpointFiles(folder)
    kinds = list(files.modules)
    if kinds not in TABLE_MODULES:
        raise CheckpointUnsupported(
            "the modules after the static embedding cannot be exported",
            value=", ".join(kinds),
            next_step="Choose a checkpoint of StaticEmbedding, or StaticEmbedding and Normalize.",
        )
    rows = json.loads((folder / "modules.json").read_text("utf-8"))
    home = folder / str(rows[0].get("path", ""))
    tokenizer = _load_tokenizer(home / "tokenizer.json")
    return EmbeddingTable(
        vectors=_table_vectors(folder, _load_tensors(home, home / "model.safetensors")),
        tokenizer=without_special_tokens(tokenizer),
        reference_ids=partial(_token_ids, tokenizer),
        normalised=kinds[-1] == "Normalize",
        max_tokens=own_limit((home / "tokenizer.json").read_text("utf-8")),
    )


def read_wordllama(folder: Path) -> EmbeddingTable:
    """The folder of the package ``wordllama``: the longest table of ``weights``, and its tokenizer.

    Its prefixes are trained too, those listed in the package's ``config/train/NAME.toml``. Raises
    CheckpointUnsupported.
    """
    name_parts = {path: path.stem.rpartition("_") for path in sorted(folder.glob("weights/*.safetensors"))}
    sizes = {path: int(size) for path, (_, _, size) in name_parts.items() if size.isdecimal()}
    if not sizes:
        raise CheckpointUnsupported(
            "the folder has no WordLlama table, weights/NAME_DIM.safetensors",
            value=folder.name,
            next_step="Give the folder of the package wordllama, with its weights and tokenizers.",
        )
    path = max(sizes, key=lambda candidate: sizes[candidate])
    tokenizer = _load_tokenizer(folder / "tokenizers" / f"{name_parts[path][0]}_tokenizer_config.json")
    return EmbeddingTable(
        vectors=_table_vectors(folder, _load_tensors(path.parent, path)),
        tokenizer=without_special_tokens(tokenizer),
        reference_ids=partial(_token_ids, tokenizer),
        trained=True,
        dims=_trained_dims(folder / "config" / "train" / f"{name_parts[path][0]}.toml", sizes[path]),
    )


def _trained_dims(path: Path, longest: int) -> tuple[int, ...] | None:
    """The dims up to ``longest`` in the ``matryoshka`` section; None if there is no file.

    Raises CheckpointUnsupported.
    """
    if not path.is_file():
        return None
    try:
        stated_dims = tomllib.loads(path.read_text("utf-8")).get("matryoshka", {}).get("dims")
        dims = None if stated_dims is None else tuple(sorted({int(dim) for dim in stated_dims}, reverse=True))
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointUnsupported(
            "the dims that WordLlama was trained with cannot be read",
            value=f"{path.name}: {error}",
            next_step="Give it a matryoshka section with dims = [256, 128, 64], or remove the file.",
        ) from error
    return dims and tuple(dim for dim in dims if 0 < dim <= longest)


def _token_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def _unknown_token_id(tokenizer: Tokenizer) -> int | None:
    model = json.loads(tokenizer.to_str())["model"]
    token = model.get("unk_token")
    return model.get("unk_id") if token is None else tokenizer.token_to_id(token)


def _load_tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointUnsupported(
            "the tokenizer of a static encoder cannot be read",
            value=f"{path.name}: {error}",
            next_step="Put its tokenizer.json beside the table.",
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _load_tensors(home: Path, path: Path) -> Mapping[str, NDArray[Any]]:
    from safetensors.numpy import load_file  # noqa: PLC0415 - only an export needs it

    check_safetensors(home)
    if not path.is_file():
        raise CheckpointUnsupported(
            "the weights of the static encoder are missing",
            value=path.name,
            next_step="Save it again, or download it again.",
        )
    tensors: dict[str, NDArray[Any]] = load_file(path)
    return tensors


def _table_vectors(folder: Path, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    for name in _TENSOR_NAMES:
        if name in tensors:
            return tensors[name]
    raise CheckpointUnsupported(
        f"{folder.name} has no table of vectors",
        value=", ".join(tensors) or "no tensors",
        next_step=f"Store the vectors in safetensors as {' or '.join(_TENSOR_NAMES)}.",
    )
