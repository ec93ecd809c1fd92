"""The embedded engine: ONNX Runtime in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import onnxruntime

from nestvec.engines.contract import Batch, EngineInfo, GraphInputs, graph_inputs
from nestvec.engines.device import AUTO, Device, check_session, choose_device
from nestvec.engines.free_memory import return_free_memory
from nestvec.engines.gpu_options import GpuOptions
from nestvec.engines.graph_rungs import can_capture
from nestvec.engines.graph_sessions import BoundSession, CapturedSession, GraphSession, HostSession
from nestvec_schemas.errors import EngineError, EngineUnavailable
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH, part_folder, read_manifest, verify_files
from nestvec_schemas.vectors import Vectors

_DEFAULT_GPU: Final = GpuOptions()

_VECTOR_AXES: Final = 2
"""Of an output with one vector for each input."""

_log = logging.getLogger("nestvec.engines")

_Graph = tuple[tuple[GraphSession, ...], GraphInputs]
"""The sessions of a graph, one for each instance, and its inputs."""


class OnnxEngine:
    """Sessions over the graphs of a model repository.

    On a CPU one batch at a time, which uses every core; on a GPU as many as there are instances.
    """

    name = "onnx"

    def __init__(
        self,
        folders: Mapping[str, Path],
        *,
        threads: int = 0,
        device: str = AUTO,
        share_cores: bool = False,
        gpu: GpuOptions = _DEFAULT_GPU,
    ) -> None:
        """Open the encoders in ``folders`` (name to folder); ``threads`` 0 means one per core.

        Threads spin while they wait for one another, or sleep if they ``share_cores`` with other work: MiniLM
        takes 3.5 ms or 5 ms for a query on two idle cores; at a load of 14, 35 ms or 20 ms and half the CPU.

        Raises ManifestCorrupt if a file is not the exported one, EngineError if it does not load, the device
        cannot be used, or ``gpu`` asks for what it does not have.
        """
        self._threads, self._device, self._share_cores = threads, choose_device(device), share_cores
        if self._device.name == "cpu":
            gpu.check_unused("ONNX Runtime runs on the CPU")
        gpu.check_provider(self._device.name, is_cuda=self._device.is_cuda)
        self._cuda_graphs = gpu.cuda_graphs
        self.parallel = 1 if self._device.name == "cpu" else gpu.instances
        self._free_instances: SimpleQueue[int] = SimpleQueue()
        for number in range(self.parallel):
            self._free_instances.put(number)
        self._graphs: dict[tuple[str, int], dict[str, _Graph]] = {}
        for name, folder in folders.items():
            self.open(name, folder)
        self._workers = ThreadPoolExecutor(self.parallel, thread_name_prefix="nestvec-onnx")

    @property
    def info(self) -> EngineInfo:
        """See ``SessionEngine``."""
        return EngineInfo(self.name, onnxruntime.__version__, self._device.provider, self._device.name)

    def encoder_info(self, encoder: str) -> EngineInfo:
        """See ``SessionEngine``."""
        return self.info

    def open(self, encoder: str, folder: Path, generation: int = 0, manifest: Manifest | None = None) -> None:
        """See ``SessionEngine``. Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew, EngineError."""
        manifest = manifest or read_manifest(folder)
        verify_files(folder, manifest)
        inputs = graph_inputs(manifest)
        self._graphs[encoder, generation] = {
            part: (self._open_sessions(part_folder(folder, part) / GRAPH, inputs[part]), inputs[part])
            for part in manifest.parts
        }

    def drop(self, encoder: str, generation: int = 0) -> None:
        """See ``SessionEngine``. A batch that runs keeps its session until it is done."""
        if self._graphs.pop((encoder, generation), None) is not None:
            return_free_memory()

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, self.run_now, encoder, batch)

    def run_now(self, encoder: str, batch: Batch) -> Vectors:
        """``run`` without a loop, on the calling thread."""
        graphs = self._graphs.get((encoder, batch.generation))
        if graphs is None:
            raise EngineUnavailable(f"the encoder {encoder} is not loaded", next_step="Send it again.")
        sessions, inputs = graphs[batch.part]
        instance = self._free_instances.get()
        try:
            return sessions[instance].run(inputs.arrays(batch))
        except Exception as error:  # onnxruntime raises classes of its own, without a common root
            raise EngineError(
                f"ONNX Runtime failed on a batch of {len(batch)} inputs with {encoder}",
                value=str(error),
                next_step="Send fewer or shorter ones; if it still fails, export the encoder again.",
            ) from error
        finally:
            self._free_instances.put(instance)

    async def ready(self, encoder: str) -> bool:
        """See the contract."""
        return any(name == encoder for name, _ in list(self._graphs))

    async def close(self) -> None:
        """See the contract."""
        self._workers.shutdown(wait=True)
        self._graphs.clear()

    def _open_sessions(self, graph: Path, inputs: GraphInputs) -> tuple[GraphSession, ...]:
        if not self._device.is_cuda:
            return tuple(HostSession(self._open_session(graph)) for _ in range(self.parallel))
        if self._cuda_graphs and can_capture(inputs.names):
            try:
                return tuple(self._open_captured(graph) for _ in range(self.parallel))
            except EngineError as error:
                _log.warning("%s runs without CUDA graphs: %s", graph, error)
        return tuple(BoundSession(self._open_session(graph), self._device) for _ in range(self.parallel))

    def _open_captured(self, graph: Path) -> GraphSession:
        session = self._open_session(graph, cuda_graphs=True)
        # A vector for each token is as many numbers as the batch has tokens, and needs no graph.
        if len(session.get_outputs()[0].shape) != _VECTOR_AXES:
            return BoundSession(self._open_session(graph), self._device)
        return CapturedSession(session, self._device)

    def _open_session(self, graph: Path, *, cuda_graphs: bool = False) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0" if self._share_cores else "1")
        # After a batch, threads that wait for the next take the cores from the request that comes or goes.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = _new_session(graph, options, self._device, cuda_graphs=cuda_graphs)
        check_session(session, self._device)
        return session


def _new_session(
    graph: Path, options: onnxruntime.SessionOptions, device: Device, *, cuda_graphs: bool
) -> onnxruntime.InferenceSession:
    try:
        return device.open_session(graph, options, cuda_graphs=cuda_graphs)
    except Exception as error:  # as in run_now
        raise EngineError(
            f"ONNX Runtime cannot load {graph} on {device.name}",
            value=str(error),
            next_step="Export the encoder again with this version of nestvec."
            if device.name == "cpu"
            else "Check the GPU's free memory with nvidia-smi, or run on the CPU: --device cpu.",
        ) from error
