"""One graph on one device, by three ways of passing a batch to ONNX Runtime."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnxruntime

from nestvec.engines.device import Device
from nestvec.engines.graph_rungs import NO_GRAPH, Rung, cut_rows, pad_to_rung, rung_of
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import Vectors

_log = logging.getLogger("nestvec.engines")

GRAPH_ID = "gpu_graph_id"
"""The option of a run that says which captured CUDA graph it replays."""


class GraphSession(Protocol):
    """Runs batches of one graph, one at a time."""

    def run(self, arrays: Mapping[str, Array]) -> Vectors:
        """The first output for the arrays of a batch by input name. Raises what ONNX Runtime raises."""
        ...


@dataclass(frozen=True)
class HostSession:
    """Arrays in and out: for the CPU, whose memory they are in already."""

    session: onnxruntime.InferenceSession

    def run(self, arrays: Mapping[str, Array]) -> Vectors:
        """See ``GraphSession``."""
        vectors: Vectors = self.session.run([output_name(self.session)], dict(arrays))[0]
        return vectors


@dataclass(frozen=True)
class BoundSession:
    """Inputs copied to the device by this thread, so that one batch is copied while another runs."""

    session: onnxruntime.InferenceSession
    device: Device

    def run(self, arrays: Mapping[str, Array]) -> Vectors:
        """See ``GraphSession``."""
        return self.run_with(arrays, onnxruntime.RunOptions())

    def run_with(self, arrays: Mapping[str, Array], options: onnxruntime.RunOptions) -> Vectors:
        """``run`` with options of ONNX Runtime for this run."""
        binding = self.session.io_binding()
        for name, array in arrays.items():
            binding.bind_ortvalue_input(name, on_device(array, self.device))
        binding.bind_output(output_name(self.session), "cpu")
        self.session.run_with_iobinding(binding, options)
        vectors: Vectors = binding.copy_outputs_to_cpu()[0]
        return vectors


@dataclass(frozen=True)
class _CapturedGraph:
    """The memory that a captured graph reads and writes, which never moves."""

    binding: onnxruntime.IOBinding
    inputs: Mapping[str, onnxruntime.OrtValue]
    output: onnxruntime.OrtValue
    options: onnxruntime.RunOptions


class CapturedSession:
    """Short batches, padded to rungs, replay a CUDA graph: one call starts all kernels of the encoder.

    ONNX Runtime captures a rung's graph in its first runs. Longer batches run as in a BoundSession, and so do
    all once a capture has failed: an operator of the encoder may need what a capture does not allow.
    """

    def __init__(self, session: onnxruntime.InferenceSession, device: Device) -> None:
        """``session`` was opened with CUDA graphs enabled; its output is (n, dim)."""
        self._session, self._device = session, device
        self._bound = BoundSession(session, device)
        self._captured: dict[Rung, _CapturedGraph] = {}
        self._refused = False

    def run(self, arrays: Mapping[str, Array]) -> Vectors:
        """See ``GraphSession``."""
        rung = None if self._refused else rung_of(*arrays["input_ids"].shape)
        if rung is not None:
            try:
                return self._replayed(arrays, rung)
            except Exception as error:  # onnxruntime raises classes of its own, without a common root
                self._refused = True
                self._captured.clear()
                _log.warning("no more CUDA graphs are captured, since one failed: %s", error)
        return self._bound.run_with(arrays, _run_options(NO_GRAPH))

    def _replayed(self, arrays: Mapping[str, Array], rung: Rung) -> Vectors:
        padded = pad_to_rung(arrays, rung)
        captured = self._captured.get(rung)
        if captured is None:
            captured = self._captured[rung] = self._bind(padded, rung)
        else:
            for name, array in padded.items():
                captured.inputs[name].update_inplace(array)
        self._session.run_with_iobinding(captured.binding, captured.options)
        return cut_rows(captured.output.numpy(), len(arrays["input_ids"]))

    def _bind(self, padded: Mapping[str, Array], rung: Rung) -> _CapturedGraph:
        device = self._device
        inputs = {name: on_device(array.copy(), device) for name, array in padded.items()}
        shape = [rung.batch, self._session.get_outputs()[0].shape[-1]]
        output = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            shape, np.float32, device.memory, device.index
        )
        binding = self._session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output(output_name(self._session), output)
        return _CapturedGraph(binding, inputs, output, _run_options(rung.graph_id))


def on_device(array: Array, device: Device) -> onnxruntime.OrtValue:
    """The array in the device's memory; on the CPU, the array itself."""
    contiguous = np.ascontiguousarray(array)
    return onnxruntime.OrtValue.ortvalue_from_numpy(contiguous, device.memory, device.index)


def output_name(session: onnxruntime.InferenceSession) -> str:
    """The first output of a graph: its vectors."""
    name: str = session.get_outputs()[0].name
    return name


def _run_options(graph_id: str) -> onnxruntime.RunOptions:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry(GRAPH_ID, graph_id)
    return options
