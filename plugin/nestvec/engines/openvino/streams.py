"""An encoder's graphs for several batches at once, compiled in the background once there is load for them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from threading import Lock
from typing import Final

from nestvec.engines.agreement import smallest_cosine
from nestvec.engines.contract import Batch
from nestvec.engines.free_memory import available_memory, return_free_memory
from nestvec.engines.openvino.opening import MIN_COSINE, CompiledGraph, OpenedEncoder, Opening

logger = logging.getLogger(__name__)

_BUSY_BATCHES: Final = 8
"""Batches that were not alone, before graphs are compiled for them: two queries that met are no load."""

_MAX_BYTES: Final = 512 << 20
"""Of graphs that are compiled twice: a large one keeps all cores busy, and costs as much memory again."""

_MEMORY_FACTOR: Final = 3
"""Memory that must be available, by the size of the graphs: what is compiled, and what batches need in it."""


class EncoderStreams:
    """Several batches of one encoder at once; until its graphs are compiled for that, one after the other."""

    def __init__(self, opening: Opening, opened: OpenedEncoder, compiler: Executor) -> None:
        """``compiler`` is where graphs are compiled, beside the batches."""
        self._opening, self._opened, self._compiler = opening, opened, compiler
        self.count = _stream_count(opening, opened.graphs)
        """Batches at once."""
        self.compiling: Future[None] | None = None
        """Done once the graphs for several batches are compiled, or that has failed; None before there is
        load."""
        self._graphs: Mapping[str, CompiledGraph] | None = None
        self._lock = Lock()
        self._busy_batches = 0
        self._is_dropped = False

    def graph(self, batch: Batch) -> CompiledGraph:
        """The graph to run a batch on."""
        if batch.alone or self.count == 1:
            return self._opened.graphs[batch.part]
        if self._graphs is not None:
            return self._graphs[batch.part]
        with self._lock:
            self._busy_batches += 1
            is_load = self._busy_batches == _BUSY_BATCHES
        if is_load:
            with suppress(RuntimeError):  # the engine is being closed
                self.compiling = self._compiler.submit(self._compile, batch)
        return self._opened.graphs[batch.part]

    def drop(self) -> None:
        """Compile nothing from now on."""
        self._is_dropped = True

    def _compile(self, batch: Batch) -> None:
        """Compile the graphs, and use them if they give the vectors of ``batch`` that the others give."""
        encoder = self._opening.encoder
        try:
            if self._is_dropped:
                return
            _check_memory(self._opening.graph_bytes())
            graphs = self._opening.open_streams(self._opened, self.count)
            outputs = [own[batch.part].run(batch) for own in (graphs, self._opened.graphs)]
            cosine = smallest_cosine(outputs[:1], outputs[1:], packed=bool(self._opening.manifest.outputs))
            if cosine < MIN_COSINE:
                raise ValueError(f"their vectors have a cosine of {cosine:.5f} to those of all cores")
        except Exception as error:
            self.count = 1
            if self._is_dropped:  # its files may be gone
                return
            logger.warning("batches of %s run one after the other, not at once: %s", encoder, error)
            return
        if self._is_dropped:
            del graphs  # before what is free is returned
            return_free_memory()
            return
        self._graphs = graphs
        logger.info("%d batches of %s run at once", self.count, encoder)


def _check_memory(size: int) -> None:
    """Raise MemoryError if there is none to spare for graphs of ``size`` bytes."""
    available = available_memory()
    if available is not None and available < _MEMORY_FACTOR * size:
        raise MemoryError(f"{available >> 20} MB of memory are available, for graphs of {size >> 20} MB")


def _stream_count(opening: Opening, graphs: Mapping[str, CompiledGraph]) -> int:
    """How many batches share the threads that OpenVINO gives to one."""
    if opening.graph_bytes() > _MAX_BYTES:
        return 1
    threads = min(int(graph.compiled.get_property("INFERENCE_NUM_THREADS")) for graph in graphs.values())
    return max(1, min(opening.options.max_streams, threads))
