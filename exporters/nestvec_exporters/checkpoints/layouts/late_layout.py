"""The modules of a late-interaction checkpoint, checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.checkpoint import check_safetensors
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import read_json
from nestvec_schemas.errors import CheckpointUnsupported

COLBERT_CONFIG: Final = "artifact.metadata"

_KNOWN: Final = ("Transformer", "Dense", "MultiVectorMask", "Normalize")
_TOKENS: Final = "token_embeddings"
_WITH_WEIGHTS: Final = ("Transformer", "Dense")


def check_late_layout(folder: Path) -> None:
    """Raise CheckpointUnsupported for modules that cannot be exported, another metric than cosine, and
    weights that are not safetensors."""
    files = CheckpointFiles(folder)
    similarity = files.json(COLBERT_CONFIG).get("similarity", "cosine")
    if similarity != "cosine":
        raise CheckpointUnsupported(
            "the checkpoint compares token vectors by another metric than cosine",
            value=similarity,
            next_step="Choose one with cosine similarity.",
        )
    if not files.modules:
        check_safetensors(folder)
        _check_projection(folder)
        return
    for row in read_json(folder / "modules.json"):
        kind, place = str(row["type"]).rpartition(".")[2], folder / str(row.get("path", ""))
        if kind not in _KNOWN:
            raise CheckpointUnsupported(
                "the checkpoint has a module of token vectors that cannot be exported",
                value=kind,
                next_step=f"Choose a checkpoint made of: {', '.join(_KNOWN)}.",
            )
        if kind in _WITH_WEIGHTS:
            check_safetensors(place)


def _check_projection(folder: Path) -> None:
    """Raise CheckpointUnsupported unless colbert-ai's projection is among the weights."""
    from safetensors import safe_open  # noqa: PLC0415 - only an export needs it

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as weights:
            if "linear.weight" in weights.keys():  # noqa: SIM118 - no mapping
                return
    raise CheckpointUnsupported(
        "the checkpoint has no projection of its token vectors",
        value="linear.weight is in none of its *.safetensors",
        next_step="Choose a checkpoint that colbert-ai, PyLate or sentence-transformers saved.",
    )


def check_late_modules(modules: tuple[Any, ...]) -> None:
    """Raise CheckpointUnsupported unless loaded modules make unit vectors of tokens as exported graphs do."""
    first = modules[0]
    if first.transformer_task != "feature-extraction":
        raise _unsupported("projects token vectors inside its transformer", first.transformer_task)
    if set(first.modality_config) != {"text"}:
        raise _unsupported("reads messages by a chat template", ", ".join(map(str, first.modality_config)))
    if first.processing_kwargs:
        raise _unsupported("sets processing_kwargs", first.processing_kwargs)
    sides = {"padding_side": first.tokenizer.padding_side, "truncation_side": first.tokenizer.truncation_side}
    for name, side in sides.items():
        if side != "right" and (name == "truncation_side" or first.query_expansion is not None):
            raise _unsupported(f"has a tokenizer whose {name} is not right", side)
    for module in modules[1:]:
        names = {getattr(module, f"module_{end}put_name", _TOKENS) for end in ("in", "out")}
        if names != {_TOKENS}:
            kind = type(module).__name__
            raise _unsupported(f"has a {kind} that is not on {_TOKENS}", ", ".join(sorted(names)))
        if getattr(module, "keep_only_token_ids", None):
            raise _unsupported("keeps the vectors of some token ids only", "keep_only_token_ids")
    vectors = [type(module).__name__ for module in modules if hasattr(module, "module_input_name")]
    if vectors[-1:] != ["Normalize"]:
        raise _unsupported("does not normalise its token vectors", ", ".join(vectors) or "no Dense")


def _unsupported(what: str, value: object) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"the checkpoint {what}, which late interaction does not support",
        value=value,
        next_step="Choose a text checkpoint with Dense, MultiVectorMask and Normalize on token_embeddings, "
        "padded and truncated on the right.",
    )
