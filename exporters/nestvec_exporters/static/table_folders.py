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
from nestvec_exporters.static.table import MAX_TOKENS, Table, plain
from nestvec_schemas.errors import CheckpointUnsupported

_MODEL2VEC_TOKENS: Final = 512
_FOLLOWS: Final = (["StaticEmbedding"], ["StaticEmbedding", "Normalize"])
_NAMES: Final = ("embeddings", "embedding.weight")


def read_model2vec(folder: Path) -> Table:
    """Model2Vec's layout (Tulkens & van Dongen 2024): ``embeddings``, perhaps ``weights`` and ``mapping``.

    Unknown tokens are left out. Raises CheckpointUnsupported.
    """
    small = CheckpointFiles(folder)
    tokenizer = _tokenizer(folder / "tokenizer.json")
    tensors = _tensors(folder, folder / "model.safetensors")
    weights, mapping = tensors.get("weights"), tensors.get("mapping")
    tokens = small.config.get("max_length", _MODEL2VEC_TOKENS)
    return Table(
        vectors=_vectors(folder, tensors),
        tokenizer=plain(tokenizer),
        read=partial(_ids, tokenizer),
        rows=None if mapping is None else mapping.astype(np.int64),
        weights=None if weights is None else weights.astype(np.float32),
        unknown=_unknown(tokenizer),
        normalised=bool(small.config.get("normalize")),
        max_tokens=min(tokens, MAX_TOKENS) if isinstance(tokens, int) and tokens > 0 else MAX_TOKENS,
    )


def read_static_embedding(folder: Path) -> Table:
    """sentence-transformers' layout: a module StaticEmbedding, and perhaps one that normalises.

    Every token counts. Raises CheckpointUnsupported.
    """
    small = CheckpointFiles(folder)
    kinds = list(small.modules)
    if kinds not in _FOLLOWS:
        raise CheckpointUnsupported(
            "what follows the static embedding cannot be exported",
            value=", ".join(kinds),
            next_step="Choose a checkpoint of StaticEmbedding, or StaticEmbedding and Normalize.",
        )
    rows = json.loads((folder / "modules.json").read_text("utf-8"))
    home = folder / str(rows[0].get("path", ""))
    tokenizer = _tokenizer(home / "tokenizer.json")
    return Table(
        vectors=_vectors(folder, _tensors(home, home / "model.safetensors")),
        tokenizer=plain(tokenizer),
        read=partial(_ids, tokenizer),
        normalised=kinds[-1] == "Normalize",
    )


def read_wordllama(folder: Path) -> Table:
    """The folder of the package ``wordllama``: the longest table of ``weights``, and its tokenizer.

    Trained so that prefixes are vectors too, those in the package's ``config/train/NAME.toml``. Raises
    CheckpointUnsupported.
    """
    found = {path: path.stem.rpartition("_") for path in sorted(folder.glob("weights/*.safetensors"))}
    sizes = {path: int(size) for path, (_, _, size) in found.items() if size.isdecimal()}
    if not sizes:
        raise CheckpointUnsupported(
            "the folder has no table of WordLlama's, weights/NAME_DIM.safetensors",
            value=folder.name,
            next_step="Name the folder of the package wordllama, which holds weights and tokenizers.",
        )
    path = max(sizes, key=lambda one: sizes[one])
    tokenizer = _tokenizer(folder / "tokenizers" / f"{found[path][0]}_tokenizer_config.json")
    return Table(
        vectors=_vectors(folder, _tensors(path.parent, path)),
        tokenizer=plain(tokenizer),
        read=partial(_ids, tokenizer),
        trained=True,
        dims=_trained_dims(folder / "config" / "train" / f"{found[path][0]}.toml", sizes[path]),
    )


def _trained_dims(path: Path, longest: int) -> tuple[int, ...] | None:
    """The dims of at most ``longest`` in the ``matryoshka`` section; None where no file says them.

    Raises CheckpointUnsupported.
    """
    if not path.is_file():
        return None
    try:
        told = tomllib.loads(path.read_text("utf-8")).get("matryoshka", {}).get("dims")
        dims = None if told is None else tuple(sorted({int(one) for one in told}, reverse=True))
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointUnsupported(
            "the dims that WordLlama was trained for cannot be read",
            value=f"{path.name}: {error}",
            next_step="Give it a matryoshka section with dims = [256, 128, 64], or remove the file.",
        ) from error
    return dims and tuple(one for one in dims if 0 < one <= longest)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def _unknown(tokenizer: Tokenizer) -> int | None:
    model = json.loads(tokenizer.to_str())["model"]
    token = model.get("unk_token")
    return model.get("unk_id") if token is None else tokenizer.token_to_id(token)


def _tokenizer(path: Path) -> Tokenizer:
    try:
        found = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointUnsupported(
            "the tokenizer of a static encoder cannot be read",
            value=f"{path.name}: {error}",
            next_step="Put its tokenizer.json beside the table.",
        ) from error
    found.no_padding()
    found.no_truncation()
    return found


def _tensors(home: Path, path: Path) -> Mapping[str, NDArray[Any]]:
    from safetensors.numpy import load_file  # noqa: PLC0415 - only an export needs it

    check_safetensors(home)
    if not path.is_file():
        raise CheckpointUnsupported(
            "the weights of a static encoder are not where they belong",
            value=path.name,
            next_step="Save it again, or download it again.",
        )
    found: dict[str, NDArray[Any]] = load_file(path)
    return found


def _vectors(folder: Path, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    for name in _NAMES:
        if name in tensors:
            return tensors[name]
    raise CheckpointUnsupported(
        f"{folder.name} has no table of vectors",
        value=", ".join(tensors) or "no tensors",
        next_step=f"It is called {' or '.join(_NAMES)} in safetensors of a static encoder.",
    )
