"""How a ready graph's checkpoint reads texts: its tokenizer, and how long a text may be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, normalizers

from nestvec_exporters.checkpoints.files import SENTENCE_CONFIGS, CheckpointFiles
from nestvec_exporters.checkpoints.interaction_config import Markers
from nestvec_exporters.checkpoints.max_length import max_text_tokens
from nestvec_exporters.checkpoints.prompts import Prefix
from nestvec_exporters.graph.ready.layout import ReadyFolder
from nestvec_exporters.graph.ready.onnx_graph import POSITIONS
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import TruncationSide

_MASKS: Final = ("[MASK]", "<mask>")
_VOCABULARIES: Final = (TOKENIZER, "vocab.*", "*.model")
"""Files that transformers makes a tokenizer from."""

_UNLIMITED: Final = 1 << 24
_OFFSET_POSITIONS: Final = frozenset(
    {"camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm"}
    | {"xlm-roberta", "xlm-roberta-xl", "xmod"}
)
"""Types of model that count positions from the padding's id + 1."""


@dataclass(frozen=True)
class TextSettings:
    """How texts are read."""

    tokenizer: Tokenizer
    """Without truncation and padding."""

    max_tokens: int

    side: TruncationSide
    """Where longer texts lose tokens."""

    mask: int | None
    """The id of the mask token."""


def read_text_settings(folder: ReadyFolder, markers: Markers | None, requested: int | None) -> TextSettings:
    """The settings of sentence-transformers and of the tokenizer. Raises CheckpointUnsupported."""
    settings = sentence_settings(folder)
    tokenizer = _read_tokenizer(folder.tokenizer)
    if settings.get("do_lower_case") is True:
        lower_case(tokenizer)
    max_tokens = _max_tokens(folder, tokenizer, markers, requested)
    side = _truncation_side(folder.tokenizer, tokenizer)
    if markers is not None and side != "right":
        raise CheckpointUnsupported(
            "the checkpoint truncates the beginning of texts, and late interaction truncates their end",
            value=f"truncation_side {side}",
            next_step="Choose a checkpoint whose tokenizer truncates on the right.",
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    mask = next((id_ for word in _MASKS if (id_ := tokenizer.token_to_id(word)) is not None), None)
    return TextSettings(tokenizer, max_tokens, side, mask)


def check_position_ids(folder: ReadyFolder, inputs: Collection[str]) -> None:
    """Raise CheckpointUnsupported where a graph takes positions that its type of model counts in another way
    than from 0, unless its weights are there to compare with."""
    model_type = folder.transformer.config.get("model_type")
    if POSITIONS in inputs and model_type in _OFFSET_POSITIONS and not folder.has_weights:
        raise CheckpointUnsupported(
            f"the graph takes {POSITIONS}, which this type of model may count from its padding's id on",
            value=model_type,
            next_step="Choose a graph without that input, or export the checkpoint's weights.",
        )


def check_room_for_prompts(prefixes: Sequence[Prefix], max_tokens: int) -> None:
    """Raise CheckpointUnsupported where truncation would cut a prompt that pooling omits."""
    longest = max(max(len(prefix.ids), prefix.hidden) for prefix in prefixes)
    if longest >= max_tokens:
        raise CheckpointUnsupported(
            "the checkpoint omits its prompts from pooling, and the longest leaves no room for a text",
            value=f"{longest} tokens of {max_tokens}",
            next_step="Raise --max-tokens, or give shorter prompts.",
        )


def sentence_settings(folder: ReadyFolder) -> dict[str, Any]:
    """The transformer module's own settings; empty if there are none."""
    files = (folder.transformer.json(name) for name in SENTENCE_CONFIGS)
    return next((content for content in files if content), {})


def special_ids(tokenizer: Tokenizer) -> Collection[int]:
    """The ids of a tokenizer's special tokens."""
    added = tokenizer.get_added_tokens_decoder()
    return {id_ for id_, token in added.items() if token.special}


def lower_case(tokenizer: Tokenizer) -> None:
    """Lowercase before all else, as sentence-transformers' ``do_lower_case`` does."""
    own = tokenizer.normalizer
    if '"Lowercase"' in str(_state(own)) or '"lowercase":true' in str(_state(own)).replace(" ", ""):
        return
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *([] if own is None else [own])])


def _state(normalizer: Any) -> str:
    return "" if normalizer is None else normalizer.__getstate__().decode()


def _read_tokenizer(folder: Path) -> Tokenizer:
    """As transformers loads it, by its class in ``tokenizer_config.json``; else ``tokenizer.json`` alone."""
    has_vocabulary = any(any(folder.glob(pattern)) for pattern in _VOCABULARIES)
    if (folder / "tokenizer_config.json").is_file() and has_vocabulary and _has_transformers():
        from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer, read_tokenizer  # noqa: PLC0415

        return fast_tokenizer(read_tokenizer(folder))
    path = folder / TOKENIZER
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointUnsupported(
            "the graph's tokenizer cannot be read",
            value=str(error),
            next_step=f"Put its {TOKENIZER} beside the graph, or into the folder above.",
        ) from error


def _has_transformers() -> bool:
    try:
        return find_spec("transformers") is not None
    except ValueError:  # it is blocked
        return False


def _max_tokens(
    folder: ReadyFolder, tokenizer: Tokenizer, markers: Markers | None, requested: int | None
) -> int:
    """The longest text in tokens."""
    config = folder.transformer.config
    positions = config.get("max_position_embeddings")
    if config.get("model_type") in _OFFSET_POSITIONS and isinstance(positions, int):
        positions -= int(config.get("pad_token_id") or 0) + 1
    truncation = tokenizer.truncation
    limits = [
        markers.document_tokens if markers is not None else None,
        sentence_settings(folder).get("max_seq_length"),
        _tokenizer_config(folder.tokenizer).get("model_max_length"),
        truncation["max_length"] if truncation else None,
    ]
    declared = next(
        (int(limit) for limit in limits if isinstance(limit, int | float) and limit < _UNLIMITED), None
    )
    own = positions if isinstance(positions, int) and positions > 0 else None
    return max_text_tokens(declared or own, own, requested)


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    return CheckpointFiles(folder).json("tokenizer_config.json")


def _truncation_side(folder: Path, tokenizer: Tokenizer) -> TruncationSide:
    """By the tokenizer's configuration, otherwise by its ``tokenizer.json``."""
    config = _tokenizer_config(folder)
    own = (tokenizer.truncation or {}).get("direction") if not config else None
    return "left" if str(config.get("truncation_side", own)).lower() == "left" else "right"
