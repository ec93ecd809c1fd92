"""``architectures`` of a ``config.json``: the class that saved the weights, and so its head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from nestvec_exporters.checkpoints.kinds import M3, SENTENCE
from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.rules.rule import Rule, honoured, irrelevant, limited

_HEADLESS: Final = re.compile(r"\w*(Model|Encoder|Backbone|Base)$")
_HEADS_NAMED_MODEL: Final = re.compile(r"LMHeadModel$|DoubleHeadsModel$|MTModel$")

_CHECKED: Final = frozenset({SENTENCE, M3, "decoder"})
"""Kinds of which any architecture with a body could be read."""


def architecture_rule(context: InventoryContext, config: Mapping[str, Any], *, with_modules: bool) -> Rule:
    """The rule: with ``modules.json``, or ``--pooling``, the body alone is read; a plain layout with a head
    does not say that it embeds."""
    if with_modules:
        return irrelevant("modules.json says what is made of the transformer's outputs")
    if context.kind not in _CHECKED:
        return honoured(f"the checkpoint is read as {context.kind}")
    if context.options.overrides.pooling is not None:
        return irrelevant("--pooling says what is made of the transformer's outputs")
    heads = [head for head in config.get("architectures") or () if has_head(head)]
    what = heads[0] if heads else "the class"
    return limited(
        honoured("token vectors are averaged, as sentence-transformers does without modules.json"),
        lambda value: not heads,
        f"{what} has a head, and nothing says how its checkpoint embeds; add --pooling lasttoken (or mean, "
        "cls) if it is an embedding model",
    )


def has_head(architecture: Any) -> bool:
    """Whether a class of transformers has a head besides the body that gives token vectors."""
    name = str(architecture)
    return _HEADS_NAMED_MODEL.search(name) is not None or _HEADLESS.fullmatch(name) is None
