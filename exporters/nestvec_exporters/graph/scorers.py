"""Rerankers as modules to trace: ids and mask, (batch, tokens) int64, to raw scores, (batch, 1)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from torch import Tensor, nn

from nestvec_exporters.graph.pooling import last_token
from nestvec_exporters.graph.trace import HEAD_MODULES, PooledEncoder

TYPE_IDS = "token_type_ids"


class SequenceClassifier(nn.Module):
    """A sequence classifier of transformers with one label."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: Tensor, attention_mask: Tensor, types: Tensor | None = None) -> Tensor:
        """The logits of a batch padded on the right."""
        more = {} if types is None else {TYPE_IDS: types}
        logits: Tensor = self.transformer(input_ids=input_ids, attention_mask=attention_mask, **more).logits
        return logits


class LastTokenClassifier(nn.Module):
    """A decoder that classifies by its last token.

    transformers tells the last token by the padding's id, or, without one, takes the last of a text alone; a
    service pads with any id, so the mask tells it here.
    """

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.transformer, self.score = classifier.base_model, classifier.score
        self.padding: int | None = classifier.config.get_text_config().pad_token_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The logits of a batch padded on the right."""
        tokens = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        visible = attention_mask if self.padding is None else attention_mask * (input_ids != self.padding)
        logits: Tensor = self.score(last_token(tokens, visible))
        return logits


class LanguageModelScore(nn.Module):
    """A causal language model that answers with a word: the logit of one, less the logit of another.

    ``words`` are the ids of both, or of the first alone. Only their rows of the output matrix are kept.
    """

    def __init__(self, model: Any, words: Sequence[int]) -> None:
        super().__init__()
        head = model.get_output_embeddings()
        rows = nn.Linear(head.in_features, len(words), bias=head.bias is not None)
        rows.weight = nn.Parameter(head.weight.detach()[list(words)].clone(), requires_grad=False)
        if head.bias is not None:
            rows.bias = nn.Parameter(head.bias.detach()[list(words)].clone(), requires_grad=False)
        # The model itself keeps its own.
        self.transformer = copy(model)
        self.transformer._modules = dict(model._modules)
        self.transformer.set_output_embeddings(rows)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The scores of a batch padded on the right."""
        passed = self.transformer(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        last = last_token(passed.logits, attention_mask)
        return last[:, :1] - last[:, 1:] if last.shape[1] > 1 else last


class PooledScore(PooledEncoder):
    """A transformer, a pooling, and modules that end in one score."""

    def __init__(self, transformer: Any, pools: Sequence[Any], modules: Sequence[Any]) -> None:
        head = nn.Sequential(*(HEAD_MODULES[type(module).__name__](module) for module in modules))
        super().__init__(transformer, pools, head)
