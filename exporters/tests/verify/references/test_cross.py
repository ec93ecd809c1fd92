from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from broken_graphs import append_operator, ignore_input

from nestvec_exporters.probes.pairs import TYPE_IDS
from nestvec_exporters.verify.references.cross import CrossReference
from nestvec_schemas.errors import VerificationFailed


@pytest.fixture(scope="module")
def cross(write_tiny: Any, export_tiny: Any) -> Any:
    return export_tiny(write_tiny("Bert", "ForSequenceClassification", num_labels=1))


def test_scores_are_those_of_cross_encoder_on_pairs_of_all_kinds(cross: Any) -> None:
    verification = cross.verify()
    assert verification.reference.endswith("(CrossEncoder)")
    assert set(verification.groups) == {"pairs", "characters", "lengths", "batches"}
    assert min(verification.groups.values()) >= 0.9999


@pytest.mark.parametrize(
    "damage",
    [
        lambda graph: append_operator(graph, "Sigmoid"),
        lambda graph: append_operator(graph, "Mul", 1.1),
        lambda graph: append_operator(graph, "Add", 0.5),
        lambda graph: append_operator(graph, "Neg"),
        lambda graph: ignore_input(graph, TYPE_IDS),
    ],
    ids=["activation", "scaled", "shifted", "reversed", "token types"],
)
def test_a_broken_graph_is_refused(cross: Any, damage: Callable[[Path], None], tmp_path: Path) -> None:
    broken = cross.copy(tmp_path / "broken")
    damage(broken.graph())
    with pytest.raises(VerificationFailed, match=r"scores are too far .*CrossEncoder\), pairs"):
        broken.verify(level="quick")


def test_another_activation_than_the_librarys_is_refused(cross: Any) -> None:
    with pytest.raises(VerificationFailed, match=r"another activation .*: identity against Sigmoid"):
        CrossReference(cross.checkpoint, cross.options, "identity")


def test_pairs_that_are_truncated_elsewhere_are_refused(cross: Any) -> None:
    """The library keeps 60 tokens, and the export 64."""
    with pytest.raises(VerificationFailed, match="scores are too far"):
        cross.verify(replace(cross.options, max_tokens=60))


def test_roberta_has_fewer_positions_than_its_config_says(write_tiny: Any, export_tiny: Any) -> None:
    fields = {"num_labels": 1, "pad_token_id": 1, "type_vocab_size": 1}
    folder = write_tiny("Roberta", "ForSequenceClassification", types=False, **fields)
    verification = export_tiny(folder).verify()
    assert verification.max_tokens == 62
    assert min(verification.groups.values()) >= 0.9999
