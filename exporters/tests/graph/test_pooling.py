from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.models import Pooling
from torch import Tensor

from nestvec_exporters.checkpoints.prompts import Prefix
from nestvec_exporters.graph.pooling import POOLING, PromptMask, pools_of
from nestvec_schemas.towers import COUNT_ALL

HIDDEN = 8


def batch(lengths: list[int], tokens: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(sum(lengths))
    mask = torch.tensor([[int(place < length) for place in range(tokens)] for length in lengths])
    return torch.randn(len(lengths), tokens, HIDDEN), mask


def test_every_mode_of_sentence_transformers_has_a_row() -> None:
    assert set(POOLING) == set(Pooling.POOLING_MODES)


@pytest.mark.parametrize("mode", POOLING)
def test_a_mode_pools_as_sentence_transformers_does(mode: str) -> None:
    tokens, mask = batch([7, 1, 4, 2], 7)
    features = {"token_embeddings": tokens, "attention_mask": mask}
    expected = Pooling(HIDDEN, mode)(features)["sentence_embedding"]
    torch.testing.assert_close(POOLING[mode](tokens, mask), expected)


def test_the_modes_differ() -> None:
    tokens, mask = batch([7, 5], 7)
    pooled = [pool(tokens, mask) for pool in POOLING.values()]
    for place, one in enumerate(pooled):
        assert not any(torch.allclose(one, other) for other in pooled[:place])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 5), st.floats(-1e3, 1e3))
def test_padding_has_no_part(lengths: list[int], more: int, filling: float) -> None:
    tokens, mask = batch(lengths, 6)
    wider = torch.cat([tokens, torch.full((len(lengths), more, HIDDEN), filling)], dim=1)
    longer = torch.cat([mask, torch.zeros(len(lengths), more, dtype=mask.dtype)], dim=1)
    for pool in POOLING.values():
        torch.testing.assert_close(pool(wider, longer), pool(tokens, mask))


PROMPTS = PromptMask([Prefix((2, 5), 2), Prefix((2, 5, 6, 7), 3), Prefix((2, 9), 7)])


def test_a_prompt_is_told_by_the_ids_that_a_row_begins_with() -> None:
    rows = {
        (2, 5, 8, 8): (0, 0, 1, 1),
        (2, 5, 6, 7): (0, 0, 0, 1),  # the longer of two
        (2, 5, 6, 8): (0, 0, 1, 1),
        (2, 6, 5, 6): (1, 1, 1, 1),
        (5, 2, 5, 6): (1, 1, 1, 1),
        (2, 9, 8, 8): (0, 0, 0, 0),  # shorter than what it leaves out
    }
    ids = torch.tensor(list(rows))
    assert PROMPTS(ids, torch.ones_like(ids)).tolist() == [list(row) for row in rows.values()]


def test_a_row_that_is_shorter_than_a_prompt_has_none() -> None:
    ids = torch.tensor([[2, 5, 6, 0], [2, 0, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    assert PROMPTS(ids, mask).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert PROMPTS(ids[:, :1], mask[:, :1]).tolist() == [[1], [1]]


def test_a_text_that_merely_starts_like_a_prompt_counts_whole() -> None:
    ids = torch.tensor([[2, 5, 6, 7, 0], [2, 5, 6, 7, 8]])
    mask = torch.tensor([[COUNT_ALL] * 4 + [0], [1] * 5])
    assert PROMPTS(ids, mask).tolist() == [[1, 1, 1, 1, 0], [0, 0, 0, 1, 1]]


@pytest.mark.parametrize("mode", POOLING)
def test_a_mode_leaves_a_prompt_out_as_sentence_transformers_does(mode: str) -> None:
    tokens, mask = batch([7, 4, 6, 5], 7)
    features = {"token_embeddings": tokens, "attention_mask": mask, "prompt_length": 3}
    expected = Pooling(HIDDEN, mode, include_prompt=False)(features)["sentence_embedding"]
    shown = mask.clone()
    shown[:, :3] = 0
    torch.testing.assert_close(pools_of([mode], PROMPTS)[0](tokens, shown), expected)
