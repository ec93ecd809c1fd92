from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from nestvec_exporters.graph.vocabulary import (
    ACTIVATIONS,
    TERM_WEIGHTINGS,
    MaxTermWeights,
    TermWeights,
    TokenWeightLookup,
    term_weights_class,
    weight_terms,
)

LOGITS = torch.tensor([[[1.0, -2.0, 3.0], [2.0, -1.0, -4.0], [9.0, 9.0, 9.0]], [[-1.0, -2.0, 0.5]] * 3])
MASK = torch.tensor([[1, 1, 0], [1, 0, 0]])


def test_each_row_by_its_formula() -> None:
    e = np.e
    expected = {
        "splade": [[np.log(3), 0, np.log(4)], [0, 0, np.log(1.5)]],
        "splade_sum": [[np.log(2) + np.log(3), 0, np.log(4)], [0, 0, np.log(1.5)]],
        "splade_log": [[np.log1p(np.log(3)), 0, np.log1p(np.log(4))], [0, 0, np.log1p(np.log(1.5))]],
        "splade_log_sum": [
            [np.log1p(np.log(2)) + np.log1p(np.log(3)), 0, np.log1p(np.log(4))],
            [0, 0, np.log1p(np.log(1.5))],
        ],
        "vdr": [[3, e**-1, 4], [e**-1, e**-2, 1.5]],
    }
    assert set(expected) == set(TERM_WEIGHTINGS)
    for name, rows in expected.items():
        np.testing.assert_allclose(weight_terms(TERM_WEIGHTINGS[name], LOGITS, MASK).numpy(), rows, atol=1e-6)


def test_only_the_largest_weights_are_kept() -> None:
    row = torch.arange(2000.0).flip(0).reshape(1, 1, 2000)
    found = weight_terms(TERM_WEIGHTINGS["vdr"], row, torch.ones((1, 1)))
    assert (found[0] > 0).sum() == TERM_WEIGHTINGS["vdr"].top == 768
    assert found[0, :768].min() > 0


def test_every_pooling_of_sentence_transformers_is_a_row() -> None:
    assert len(ACTIVATIONS) == 4
    assert set(ACTIVATIONS.values()) <= set(TERM_WEIGHTINGS)


def test_a_word_counts_once_and_padding_takes_nothing_from_the_word_of_its_id() -> None:
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0])
    ids = torch.tensor([[3, 0, 2, 2, 0], [1, 2, 0, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]])
    assert TokenWeightLookup(weights)(ids, mask)[0].tolist() == [[0.5, 0, 2, 3], [0, 1, 2, 0]]
    assert TokenWeightLookup(weights, top=1)(ids, mask)[0].tolist() == [[0, 0, 0, 3], [0, 0, 2, 0]]


@pytest.mark.parametrize("module", [TermWeights, MaxTermWeights])
def test_there_are_no_exits(module: type[TermWeights] | type[MaxTermWeights]) -> None:
    with pytest.raises(ValueError, match="after its last layer"):
        module(None, TERM_WEIGHTINGS["splade"], (1,))


@pytest.mark.parametrize("name", [name for name, one in TERM_WEIGHTINGS.items() if one.reduction == "max"])
def test_the_short_way_gives_the_same(write_checkpoint: Callable[..., Path], name: str) -> None:
    folder = write_checkpoint("Bert", head="ForMaskedLM")
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    torch.nn.init.normal_(model.get_output_embeddings().bias)
    how = TERM_WEIGHTINGS[name]
    assert term_weights_class(model, how) == (MaxTermWeights, 200)
    ids = torch.randint(5, 100, (3, 7))
    mask = torch.tensor([[1] * 7, [1] * 3 + [0] * 4, [1] + [0] * 6])
    with torch.no_grad():
        found, expected = MaxTermWeights(model, how)(ids, mask)[0], TermWeights(model, how)(ids, mask)[0]
    torch.testing.assert_close(found, expected)


def test_a_model_with_more_behind_its_projection_goes_the_long_way(
    write_checkpoint: Callable[..., Path],
) -> None:
    model = AutoModelForMaskedLM.from_pretrained(write_checkpoint("Bert", head="ForMaskedLM")).eval()
    model.cls.register_forward_hook(lambda module, given, found: found * 2)
    assert term_weights_class(model, TERM_WEIGHTINGS["splade"]) == (TermWeights, 200)
    assert term_weights_class(model, TERM_WEIGHTINGS["splade_sum"]) == (TermWeights, 200)
