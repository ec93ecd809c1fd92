"""Asymmetric encoders: queries and documents go through modules of their own into one space.

In sentence-transformers' layout of a Router, with modules behind it or without. Documents are the encoder's
own weights, and queries its expert ``query``, which may have another tokenizer and another length.
"""

from __future__ import annotations

from typing import Any

from sentence_transformers import SentenceTransformer

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_code
from nestvec_exporters.checkpoints.layouts.router_layout import read_router_layout
from nestvec_exporters.checkpoints.prompts import named_prompts
from nestvec_exporters.checkpoints.weights import check_complete, missing_weights
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.static.static_modules import STATIC, StaticModulesTower
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.text_encoders.sentence_tower import SentenceTower
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.towers import QUERY_EXPERT


class RouteTower(SentenceTower):
    """A route of a transformer, pooling and what follows."""

    own_files = True

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        return self.source.dim

    @property
    def normalised(self) -> bool:
        """Whether they have length 1."""
        return self.source.normalised


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights of both routes. Raises CheckpointUnsupported where they do not share a space."""
    _check_options(options)
    layout = read_router_layout(checkpoint.folder)
    for home in layout.transformers.values():
        check_code(home, home)
    try:
        model = SentenceTransformer(
            str(checkpoint.folder),
            device="cpu",
            model_kwargs={"attn_implementation": "eager"} if layout.transformers else {},
            trust_remote_code=False,
            local_files_only=True,
        )
        routes = {name: _modules(model, name) for name in ("document", QUERY_EXPERT)}
        for name, home in layout.transformers.items():
            check_complete(missing_weights(routes[name][0].auto_model, home), ignored="pooler.")
    except NestvecError:
        raise
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as an asymmetric encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that sentence-transformers loads it on its own (trust_remote_code is not used).",
        ) from error
    model.float().eval()
    documents, queries = (_tower(model, routes[name], options) for name in ("document", QUERY_EXPERT))
    if (documents.dim, documents.normalised) != (queries.dim, queries.normalised):
        lengths = ["normalised" if tower.normalised else "not normalised" for tower in (queries, documents)]
        raise CheckpointUnsupported(
            "the checkpoint's queries and documents do not have vectors of one kind",
            value=f"queries {queries.dim} dims, {lengths[0]}; documents {documents.dim} dims, {lengths[1]}",
            next_step="Choose one in which both routes end in the same width, normalised alike.",
        )
    return LoadedCheckpoint(
        kind="dense",
        dim=documents.dim,
        normalised=documents.normalised,
        towers={"text": documents},
        prompts=named_prompts(model.prompts, model.default_prompt_name, options.overrides),
        experts={QUERY_EXPERT: queries},
    )


def _check_options(options: ExportOptions) -> None:
    """Raise CheckpointUnsupported for options that only one route could honour."""
    chosen = {
        "--pooling": options.overrides.pooling,
        "--bidirectional": options.overrides.bidirectional,
        "--exits": options.exits,
    }
    for name, value in chosen.items():
        if value:
            raise CheckpointUnsupported(
                "the checkpoint embeds queries and documents by weights of their own, and this option would "
                "have to say which of them it is for",
                value=name,
                next_step="Omit it.",
            )


def _modules(model: SentenceTransformer, route: str) -> list[Any]:
    """The modules that a route's texts go through."""
    router: Any = model[0]
    return [*router.sub_modules[route], *list(model)[1:]]


def _tower(
    model: SentenceTransformer, modules: list[Any], options: ExportOptions
) -> RouteTower | StaticModulesTower:
    """A route as an encoder of its own, which shares the modules."""
    prompts = {name: text or "" for name, text in model.prompts.items()}
    own = SentenceTransformer(modules=modules, device="cpu", prompts=prompts)
    own.eval()
    if type(modules[0]).__name__ == STATIC:
        return StaticModulesTower(own, options.max_tokens)
    return RouteTower(sources.describe(own), options.max_tokens)
