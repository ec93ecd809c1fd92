"""What a reranker reads around a query and a document: its chat template's text, or an instruction."""

from __future__ import annotations

from typing import Any, Final

from nestvec_exporters.checkpoints.untrusted.bounded_text import bounded_text
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.pair_template import PairTemplate, render_pair

_QUERY, _DOCUMENT = "\ue000", "\ue001"
"""Characters of the private use area, which no template contains."""

_ODD_PAIRS: Final = (
    ("  a query ", "a document\n"),
    ("", "x"),
    ("{{ messages }}", "{% if %} <b>&amp;</b>"),
    ("UPPER", "tab\tand 'quotes' \"too\""),
)
"""Pairs that a template might change."""

_FILLERS: Final = ("0", "1 2 3 4")
"""Two texts that end with different tokens."""


def read_pair_template(model: Any, instruction: str | None) -> PairTemplate | None:
    """The template of a CrossEncoder of sentence-transformers; None if its tokenizer joins a pair.

    ``instruction`` precedes the query, or is the chat template's system message. Raises CheckpointUnsupported
    if the chat template does more than to put texts around a query and a document.
    """
    if "message" not in model[0].modality_config:
        return PairTemplate(prefix=instruction) if instruction else None
    rendered = _render(model, (_QUERY, _DOCUMENT), instruction)
    places = [rendered.find(mark) for mark in (_QUERY, _DOCUMENT)]
    if rendered.count(_QUERY) != 1 or rendered.count(_DOCUMENT) != 1 or places != sorted(places):
        raise _unsupported("it does not write the query once, and the document once behind it")
    prefix, _, rest = rendered.partition(_QUERY)
    between, _, suffix = rest.partition(_DOCUMENT)
    template = PairTemplate(prefix=prefix, between=between, suffix=suffix)
    for query, document in _ODD_PAIRS:
        if _render(model, (query, document), instruction) != render_pair(template, query, document).text:
            raise _unsupported(f"it changes the texts {query!r} and {document!r}")
    return template.model_copy(update={"ending": _ending(model, template)})


def _render(model: Any, pair: tuple[str, str], instruction: str | None) -> str:
    transformer = model[0]
    messages = [transformer.input_formatter.pair_to_messages(pair)]
    if instruction:
        messages = transformer.input_formatter.prepend_prompt_to_messages(messages, instruction)
    options = dict(transformer.processing_kwargs.get("chat_template", {}))
    options.pop("restore_suffix", None)
    try:
        return bounded_text(
            lambda: str(transformer.processor.apply_chat_template(messages[0], tokenize=False, **options))
        )
    except Exception as error:  # a template can raise anything
        raise _unsupported(str(error).strip().partition("\n")[0] or type(error).__name__) from error


def _ending(model: Any, template: PairTemplate) -> tuple[int, ...]:
    """The ids that end every text, whatever the document is."""
    first, second = (
        model.tokenizer(render_pair(template, text, text).text, add_special_tokens=False)["input_ids"]
        for text in _FILLERS
    )
    shared: list[int] = []
    for left, right in zip(reversed(first), reversed(second), strict=False):
        if left != right:
            break
        shared.insert(0, int(left))
    return tuple(shared)


def _unsupported(value: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        "the reranker's chat template cannot be reproduced",
        value=value,
        next_step="Choose a checkpoint whose template writes a query and a document, each of them once and "
        "unchanged.",
    )
