"""The embedded engine: ONNX Runtime in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime

from nestvec.engines.contract import Batch, EngineInfo, GraphInputs, graph_inputs
from nestvec.engines.device import AUTO, Device, check_session, choose_device
from nestvec.engines.free_memory import return_free_memory
from nestvec_schemas.errors import EngineError, EngineUnavailable
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH, part_folder, read_manifest, verify_files
from nestvec_schemas.vectors import Vectors

_Graph = tuple[onnxruntime.InferenceSession, GraphInputs]


class OnnxEngine:
    """Sessions over the graphs of a model repository, one batch at a time: a batch uses every core."""

    name = "onnx"
    parallel = 1

    def __init__(
        self,
        folders: Mapping[str, Path],
        *,
        threads: int = 0,
        device: str = AUTO,
        share_cores: bool = False,
    ) -> None:
        """Open the encoders in ``folders`` (name to folder); ``threads`` 0 means one per core.

        Threads spin while they wait for one another, or sleep if they ``share_cores`` with other work: MiniLM
        takes 3.5 ms or 5 ms for a query on two idle cores; at a load of 14, 35 ms or 20 ms and half the CPU.

        Raises ManifestCorrupt if a file is not the exported one, EngineError if it does not load or the
        device cannot be used.
        """
        self._threads, self._device, self._share_cores = threads, choose_device(device), share_cores
        self._graphs: dict[tuple[str, int], dict[str, _Graph]] = {}
        for name, folder in folders.items():
            self.open(name, folder)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nestvec-onnx")

    @property
    def info(self) -> EngineInfo:
        """See ``SessionEngine``."""
        return EngineInfo(self.name, onnxruntime.__version__, self._device.provider, self._device.name)

    def open(self, encoder: str, folder: Path, generation: int = 0, manifest: Manifest | None = None) -> None:
        """See ``SessionEngine``. Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew, EngineError."""
        manifest = manifest or read_manifest(folder)
        verify_files(folder, manifest)
        inputs = graph_inputs(manifest)
        self._graphs[encoder, generation] = {
            part: (self._open_session(part_folder(folder, part) / GRAPH), inputs[part])
            for part in manifest.parts
        }

    def drop(self, encoder: str, generation: int = 0) -> None:
        """See ``SessionEngine``. A batch that runs keeps its session until it is done."""
        if self._graphs.pop((encoder, generation), None) is not None:
            return_free_memory()

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.run_now, encoder, batch)

    def run_now(self, encoder: str, batch: Batch) -> Vectors:
        """``run`` without a loop, on the calling thread."""
        graphs = self._graphs.get((encoder, batch.generation))
        if graphs is None:
            raise EngineUnavailable(f"the encoder {encoder} is not loaded", next_step="Send it again.")
        session, inputs = graphs[batch.part]
        try:
            arrays = inputs.arrays(batch)
            vectors: Vectors = session.run([session.get_outputs()[0].name], arrays)[0]
        except Exception as error:  # onnxruntime raises classes of its own, without a common root
            raise EngineError(
                f"ONNX Runtime failed on a batch of {len(batch)} inputs with {encoder}",
                value=str(error),
                next_step="Send fewer or shorter ones; if it still fails, export the encoder again.",
            ) from error
        return vectors

    async def ready(self, encoder: str) -> bool:
        """See the contract."""
        return any(name == encoder for name, _ in list(self._graphs))

    async def close(self) -> None:
        """See the contract."""
        self._thread.shutdown(wait=True)
        self._graphs.clear()

    def _open_session(self, graph: Path) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0" if self._share_cores else "1")
        session = _new_session(graph, options, self._device)
        check_session(session, self._device)
        return session


def _new_session(
    graph: Path, options: onnxruntime.SessionOptions, device: Device
) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=device.providers())
    except Exception as error:  # as in run_now
        raise EngineError(
            f"ONNX Runtime cannot load {graph} on {device.name}",
            value=str(error),
            next_step="Export the encoder again with this version of nestvec."
            if device.name == "cpu"
            else "Check the GPU's free memory with nvidia-smi, or run on the CPU: --device cpu.",
        ) from error
