"""The embedded engine: ONNX Runtime in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime

from nestvec.engines.contract import Batch, graph_inputs
from nestvec_schemas.errors import EngineError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH, part_folder, read_manifest, verify_files
from nestvec_schemas.vectors import Vectors

_PREFERRED_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxEngine:
    """Sessions over the graphs of a model repository, one batch at a time: a batch uses every core."""

    name = "onnx"
    parallel = 1

    def __init__(self, folders: Mapping[str, Path], *, threads: int = 0) -> None:
        """Open the encoders in ``folders`` (name to folder); ``threads`` 0 means one per core.

        Raises ManifestCorrupt if a file is not the exported one, EngineError if it does not load.
        """
        manifests = {name: read_manifest(folder) for name, folder in folders.items()}
        self._graph_inputs = {name: graph_inputs(manifest) for name, manifest in manifests.items()}
        self._sessions = {
            name: _open_sessions(folders[name], manifest, threads) for name, manifest in manifests.items()
        }
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nestvec-onnx")

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.run_now, encoder, batch)

    def run_now(self, encoder: str, batch: Batch) -> Vectors:
        """``run`` without a loop, on the calling thread."""
        arrays = self._graph_inputs[encoder][batch.part].arrays(batch)
        session = self._sessions[encoder][batch.part]
        try:
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
        return encoder in self._sessions

    async def close(self) -> None:
        """See the contract."""
        self._thread.shutdown(wait=True)
        self._sessions.clear()


def _open_sessions(folder: Path, manifest: Manifest, threads: int) -> dict[str, onnxruntime.InferenceSession]:
    verify_files(folder, manifest)
    return {part: _open_session(part_folder(folder, part) / GRAPH, threads) for part in manifest.parts}


def _open_session(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    available = onnxruntime.get_available_providers()
    providers = [provider for provider in _PREFERRED_PROVIDERS if provider in available]
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=providers)
    except Exception as error:  # as in run_now
        raise EngineError(
            f"ONNX Runtime cannot load {graph}",
            value=str(error),
            next_step="Export the encoder again with this version of nestvec.",
        ) from error
