"""On the CPU, whose memory can be bound as a GPU's can; there, ONNX Runtime ignores graph ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from nestvec.engines.device import choose_device
from nestvec.engines.graph_rungs import Rung
from nestvec.engines.graph_sessions import GRAPH_ID, BoundSession, CapturedSession, HostSession
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_schemas.preprocessing.collate import Arrays

from .test_onnx import counting_graph

CPU = choose_device("cpu")


@pytest.fixture
def session(tmp_path: Path) -> onnxruntime.InferenceSession:
    path = tmp_path / "graph" / "model.onnx"
    counting_graph(path)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def batch(*lengths: int) -> Arrays:
    return collate_ids([np.arange(1, length + 1) for length in lengths]).arrays


def test_bound_inputs_give_what_a_plain_run_gives(session: onnxruntime.InferenceSession) -> None:
    arrays = batch(3, 1, 7)
    plain, bound = HostSession(session).run(arrays), BoundSession(session, CPU).run(arrays)
    assert plain.tolist() == bound.tolist() == [[3], [1], [7]]


def test_inputs_that_are_not_contiguous_are_bound(session: onnxruntime.InferenceSession) -> None:
    arrays = {name: np.asfortranarray(array)[:, ::-1] for name, array in batch(3, 1, 7).items()}
    assert BoundSession(session, CPU).run(arrays).tolist() == [[3], [1], [7]]


def test_batches_of_a_rung_share_its_memory_and_no_result(session: onnxruntime.InferenceSession) -> None:
    captured = CapturedSession(session, CPU)
    first = captured.run(batch(3, 1, 7))
    second = captured.run(batch(9, 2, 4, 5))
    assert first.tolist() == [[3], [1], [7]]
    assert second.tolist() == [[9], [2], [4], [5]]
    assert list(captured._captured) == [Rung(4, 16)]


def test_each_rung_has_a_graph_of_its_own_and_long_batches_none(
    session: onnxruntime.InferenceSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[str] = []
    run = onnxruntime.InferenceSession.run_with_iobinding

    def recorded(
        self: onnxruntime.InferenceSession,
        binding: onnxruntime.IOBinding,
        options: onnxruntime.RunOptions,
    ) -> None:
        graphs.append(options.get_run_config_entry(GRAPH_ID))
        run(self, binding, options)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", recorded)
    captured = CapturedSession(session, CPU)
    for lengths in ((3,), (40,), (5,), (200,)):
        assert captured.run(batch(*lengths)).tolist() == [[length] for length in lengths]
    assert graphs == [Rung(1, 16).graph_id, Rung(1, 64).graph_id, Rung(1, 16).graph_id, "-1"]


def test_after_a_capture_that_failed_batches_run_without_graphs(
    session: onnxruntime.InferenceSession,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    graphs: list[str] = []
    run = onnxruntime.InferenceSession.run_with_iobinding

    def refusing(
        self: onnxruntime.InferenceSession,
        binding: onnxruntime.IOBinding,
        options: onnxruntime.RunOptions,
    ) -> None:
        graphs.append(options.get_run_config_entry(GRAPH_ID))
        if graphs[-1] != "-1":
            raise RuntimeError("operation not permitted when stream is capturing")
        run(self, binding, options)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", refusing)
    captured = CapturedSession(session, CPU)
    assert captured.run(batch(3, 1)).tolist() == [[3], [1]]
    assert captured.run(batch(4)).tolist() == [[4]]
    assert graphs == [Rung(2, 16).graph_id, "-1", "-1"]
    assert caplog.text.count("not permitted") == 1
