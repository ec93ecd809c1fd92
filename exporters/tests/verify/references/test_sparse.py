from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_graphs import append_operator
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import Router, SparseStaticEmbedding, SpladePooling

from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import VerificationFailed

SPLADE = Overrides(pooling="splade")


@pytest.fixture(scope="module")
def masked(write_tiny: Any) -> Path:
    return Path(write_tiny("Bert", "ForMaskedLM"))


@pytest.fixture(scope="module")
def splade(masked: Path, export_tiny: Any) -> Any:
    return export_tiny(masked, overrides=SPLADE)


def test_weights_are_those_of_sparse_encoder(splade: Any) -> None:
    verification = splade.verify()
    assert verification.reference.endswith("(SparseEncoder)")
    assert set(verification.groups) == {"texts", "characters", "lengths", "batches"}
    assert min(verification.groups.values()) >= 0.9999


def test_broken_weights_are_refused(splade: Any, tmp_path: Path) -> None:
    summed = replace(splade.options, overrides=Overrides(pooling="splade_sum"))
    with pytest.raises(VerificationFailed, match="SparseEncoder"):
        splade.verify(summed, level="quick")
    broken = splade.copy(tmp_path / "broken")
    append_operator(broken.graph(), "Sqrt")
    with pytest.raises(VerificationFailed, match=r"too far .*SparseEncoder"):
        broken.verify(level="quick")


def test_queries_of_a_table_have_a_reference_of_their_own(
    masked: Path, export_tiny: Any, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    model = SparseEncoder(str(masked), device="cpu")
    weights = torch.rand(len(model.tokenizer.get_vocab()))
    weights[model.tokenizer.all_special_ids] = 0
    table = SparseStaticEmbedding(tokenizer=model.tokenizer, weight=weights)
    modules: list[Any] = [model[0], SpladePooling()]
    router = Router.for_query_document(query_modules=[table], document_modules=modules)
    SparseEncoder(modules=[router], device="cpu").save(str(tmp_path / "routed"), create_model_card=False)
    export = export_tiny(tmp_path / "routed")
    assert set(export.manifest.experts) == {"query"}
    assert min(export.verify().groups.values()) >= 0.9999
    broken = export.copy(tmp_path / "broken")
    append_operator(broken.graph("query"), "Sqrt")
    with pytest.raises(VerificationFailed, match="too far"):
        broken.verify(level="quick")
