from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers.models import Normalize, Pooling

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.architectures.sentence import load
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.probes.probe import Probe
from nestvec_exporters.verify.graph_encoder import open_graphs_of
from nestvec_schemas.errors import CheckpointUnsupported, VerificationFailed
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.samples.sample import Sample

Write = Callable[..., Path]


def _options(folder: Path, models: Path, **fields: Any) -> ExportOptions:
    return ExportOptions(str(folder), models, "encoder", **fields)


class Broken:
    """An encoder whose answers are changed by ``change``, after its graphs gave them."""

    def __init__(self, encoder: Any, change: Callable[[Probe, Array, int | None], Array]) -> None:
        self.encoder, self.change = encoder, change

    def embed(
        self, probes: Sequence[Probe], *, dim: int | None = None, expert: str | None = None
    ) -> list[Array]:
        outputs = self.encoder.embed(probes, dim=dim, expert=expert)
        return [self.change(probe, output, dim) for probe, output in zip(probes, outputs, strict=True)]


def _export_broken(
    folder: Path, models: Path, change: Callable[[Probe, Array, int | None], Array], **fields: Any
) -> None:
    options = _options(folder, models, **fields)
    opened = open_graphs_of(load(Checkpoint(folder, folder.name), options))

    @contextmanager
    def open_broken(place: Path) -> Iterator[Broken]:
        with opened(place) as encoder:
            yield Broken(encoder, change)

    export(options, open_served=open_broken)


def test_every_group_of_probes_is_compared_with_the_library(sentence_bert: Write, tmp_path: Path) -> None:
    folder = sentence_bert(Pooling(32), Normalize(), prompts={"query": "find: ", "document": "text: "})
    verification = export(_options(folder, tmp_path)).verification
    assert verification.reference is not None
    assert verification.reference.startswith("sentence-transformers ")
    assert set(verification.groups) == {"texts", "prompts", "lengths", "characters", "batches"}
    assert min(verification.groups.values()) >= 0.9999
    assert verification.level == "full"
    assert verification.max_tokens == 64
    assert not verification.served


def test_a_quick_verification_is_recorded_as_such(sentence_bert: Write, tmp_path: Path) -> None:
    folder = sentence_bert(Pooling(32), Normalize(), prompts={"query": "find: ", "document": "text: "})
    full = export(_options(folder, tmp_path / "full")).verification
    quick = export(_options(folder, tmp_path / "quick", verify="quick")).verification
    assert quick.level == "quick"
    assert quick.sentences < full.sentences / 3
    assert set(quick.groups) == {"texts", "prompts"}


@pytest.mark.parametrize(
    ("group", "broken"),
    [
        ("texts", lambda probe: probe.group == "texts"),
        ("characters", lambda probe: "\x00" in str(probe.value)),
        ("lengths", lambda probe: probe.group == "lengths" and len(str(probe.value)) > 200),
        ("batches", lambda probe: probe.group == "batches"),
        ("prompts", lambda probe: probe.prompt == "document"),
    ],
)
def test_inputs_of_one_kind_that_come_out_otherwise_are_refused(
    group: str, broken: Callable[[Probe], bool], sentence_bert: Write, tmp_path: Path
) -> None:
    folder = sentence_bert(Pooling(32), Normalize(), prompts={"query": "find: ", "document": "text: "})

    def change(probe: Probe, output: Array, dim: int | None) -> Array:
        return np.roll(output, 1) if dim is None and broken(probe) else output

    with pytest.raises(VerificationFailed, match=group):
        _export_broken(folder, tmp_path, change)
    assert not (tmp_path / "encoder").exists()


def test_a_prefix_that_is_not_normalised_again_is_refused(sentence_bert: Write, tmp_path: Path) -> None:
    folder = sentence_bert(Pooling(32), Normalize())

    def change(probe: Probe, output: Array, dim: int | None) -> Array:
        return output if dim is None else output * 0.9

    with pytest.raises(VerificationFailed, match="not as long"):
        _export_broken(folder, tmp_path, change, dims=(32, 8))


def test_a_rotation_is_no_difference(sentence_bert: Write, tmp_path: Path, texts: tuple[str, ...]) -> None:
    folder = sentence_bert(Pooling(32), Normalize())
    manifest = export(_options(folder, tmp_path, rotation="pca", sample=Sample("papers", texts)))
    assert manifest.verification.cosine_min >= 0.9999
    assert "lengths" in manifest.verification.groups


def test_an_input_on_which_the_library_fails_is_no_traceback(
    sentence_bert: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nestvec_exporters.verify.references.sentence import SentenceReference

    def fail(*_: object, **__: object) -> list[Array]:
        raise IndexError("index out of range in self")

    monkeypatch.setattr(SentenceReference, "encode", fail)
    folder = sentence_bert(Pooling(32), Normalize())
    with pytest.raises(
        CheckpointUnsupported, match=r"own library fails on an input.*\n?.*index out of range"
    ):
        export(_options(folder, tmp_path))


def test_a_library_whose_padding_changes_a_vector_is_named(write_checkpoint: Write, tmp_path: Path) -> None:
    """Positions are counted from the first token of a row, and this tokenizer pads before it."""
    folder = write_checkpoint("Bert", side="left")
    with pytest.raises(
        CheckpointUnsupported, match=r"another vector in a batch than alone.*padding_side to right"
    ):
        export(_options(folder, tmp_path / "models"))
    assert not list((tmp_path / "models").glob("*"))
