"""Shared by the benchmarks: a plain inference loop, the service as a process, a lightweight client."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from threading import local
from typing import Final, cast

import httpx
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from nestvec.engines.contract import Batch, ServingPrecision
from nestvec.engines.factory import EngineName, EngineOptions, open_engine
from nestvec.service.engine_probe import probe_batches
from nestvec.service.server import bind
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.repository import GRAPH, TOKENIZER, read_manifest
from nestvec_schemas.vectors import Vectors

LOOP_BATCH = 32

_LENGTH: Final = re.compile(rb"content-length: (\d+)")


@dataclass(frozen=True)
class EngineChoice:
    """An engine, and what it computes in."""

    name: EngineName = "onnx"
    precision: ServingPrecision = "auto"

    @property
    def arguments(self) -> list[str]:
        """As ``nestvec serve`` takes it."""
        precision = [] if self.precision == "auto" else ["--precision", self.precision]
        return ["--engine", self.name, *precision]


_ONNX = EngineChoice()


class Loop:
    """Tokenises all texts at once, sorts them by tokens and runs batches of 32 on an engine.

    ``as_served``: with the options that the service gives ONNX Runtime, in place of its defaults, by which
    threads spin after a batch. ``at_once``: as many batches at a time as the engine runs beside one another.
    """

    def __init__(
        self, folder: Path, choice: EngineChoice = _ONNX, *, as_served: bool = False, at_once: bool = False
    ) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.enable_truncation(read_manifest(folder).towers["text"].max_tokens)
        self._tokenizer.no_padding()
        self._run, streams = _runner(folder, choice, as_served=as_served, at_once=at_once)
        self._threads = ThreadPoolExecutor(streams) if at_once else None

    def __call__(self, texts: Sequence[str]) -> int:
        rows = sorted((encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))), key=len)
        batches = [rows[start : start + LOOP_BATCH] for start in range(0, len(rows), LOOP_BATCH)]
        for _ in map(self.run, batches) if self._threads is None else self._threads.map(self.run, batches):
            pass
        return sum(map(len, rows))

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """The vectors of texts, in their order."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        batches = [order[start : start + LOOP_BATCH] for start in range(0, len(order), LOOP_BATCH)]
        found = np.concatenate([self.run([rows[place] for place in batch]) for batch in batches])
        return found[np.argsort(order)]

    def run(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """One batch of ids, shortest first."""
        ids = np.zeros((len(batch), len(batch[-1])), np.int64)
        mask = np.zeros_like(ids)
        for line, row in enumerate(batch):
            ids[line, : len(row)] = row
            mask[line, : len(row)] = 1
        return self._run({"input_ids": ids, "attention_mask": mask})

    def ids(self, text: str) -> Sequence[int]:
        row: Sequence[int] = self._tokenizer.encode(text).ids
        return row


def _runner(
    folder: Path, choice: EngineChoice, *, as_served: bool, at_once: bool
) -> tuple[Callable[[Arrays], Vectors], int]:
    """What runs a batch, and how many of them the engine runs at once."""
    if choice == _ONNX and not as_served:
        session = onnxruntime.InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])
        return lambda arrays: session.run(None, arrays)[0], 1
    options = EngineOptions(choice.name, precision=choice.precision)
    engine = open_engine({folder.name: folder}, options, probe_batches)
    streams = engine.encoder_info(folder.name).streams
    return lambda arrays: engine.run_now(folder.name, Batch(arrays, alone=not at_once)), streams


class Connection:
    """A connection that is written and read without a library: what a client in C or Go costs."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=300)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
            "content-type: application/json\r\ncontent-length: "
        ).encode()
        self._received = b""
        self._end = 0
        """Where the response that arrives ends; 0 before its headers are complete."""

    def fileno(self) -> int:
        """Of the socket, for a selector."""
        return self._socket.fileno()

    def write(self, body: bytes) -> None:
        """Send a request."""
        self._socket.sendall(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))

    def read(self) -> bytes | None:
        """What arrives next of the response: its body once that is complete, else None.

        Raises RuntimeError unless its status is 200.
        """
        data = self._socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the connection was closed")
        self._received += data
        if not self._end:
            head = self._received.find(b"\r\n\r\n") + 4
            if head < 4:
                return None
            if not self._received.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(self._received[:300])
            (length,) = _LENGTH.findall(self._received, 0, head)
            self._end = head + int(length)
        if len(self._received) < self._end:
            return None
        response, self._received, self._end = self._received, b"", 0
        return response.partition(b"\r\n\r\n")[2]

    def send(self, body: bytes) -> bytes:
        """The body of the response to a request. Raises what ``read`` does."""
        self.write(body)
        while (response := self.read()) is None:
            pass
        return response

    def close(self) -> None:
        self._socket.close()


class Client:
    """Requests over persistent connections; answers are read, not parsed."""

    def __init__(self, port: int, path: str, wrap: Callable[[Sequence[str]], object]) -> None:
        self._port, self._path, self._wrap, self._thread = port, path, wrap, local()

    def post(self, texts: Sequence[str]) -> bytes:
        """One request by Python's http.client."""
        connection: HTTPConnection | None = getattr(self._thread, "http", None)
        if connection is None:
            connection = self._thread.http = HTTPConnection("127.0.0.1", self._port, timeout=300)
        connection.request("POST", self._path, self._body(texts), {"content-type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(data[:300])
        return data

    def __call__(self, texts: Sequence[str], size: int, flight: int) -> None:
        """All texts, ``flight`` requests at a time, without a library and on one thread: a thread for each
        takes the cores from the service that is measured."""
        bodies = deque(self._body(texts[start : start + size]) for start in range(0, len(texts), size))
        with DefaultSelector() as selector:
            for _ in range(min(flight, len(bodies))):
                connection = Connection(self._port, self._path)
                selector.register(connection, EVENT_READ)
                connection.write(bodies.popleft())
            while selector.get_map():
                for key, _ in selector.select():
                    connection = cast(Connection, key.fileobj)
                    if connection.read() is None:
                        continue
                    if bodies:
                        connection.write(bodies.popleft())
                    else:
                        selector.unregister(connection)
                        connection.close()

    def _body(self, texts: Sequence[str]) -> bytes:
        return json.dumps(self._wrap(texts)).encode()


class BareClient:
    """Requests over one connection, without a library."""

    def __init__(self, port: int, encoder: str) -> None:
        self._connection = Connection(port, f"/embed?encoder={encoder}")

    def post(self, texts: Sequence[str]) -> bytes:
        return self._connection.send(json.dumps({"inputs": list(texts)}).encode())

    def close(self) -> None:
        self._connection.close()


def tei(port: int, encoder: str) -> Client:
    """A client of the service's TEI endpoint."""
    return Client(port, f"/embed?encoder={encoder}", lambda texts: {"inputs": list(texts)})


@contextmanager
def service(models: Path, encoder: str, *more: str) -> Iterator[tuple[int, int]]:
    """``nestvec serve`` in its own process, on a free port: the port and the process id."""
    program = Path(sys.executable).with_name("nestvec")
    command = [str(program), "serve", "--models", str(models), "--encoder", encoder, "--port", "0", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("Serving at "):
                    yield int(line.split()[2].rpartition(":")[2]), process.pid
                    break
        finally:
            process.terminate()


@contextmanager
def infinity(program: Path, checkpoint: Path, dtype: str = "float32") -> Iterator[int]:
    """Infinity on the same checkpoint, torch on the CPU, without its cache: its port. The model is ``m``."""
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [program, "v2", "--model-id", checkpoint, "--served-model-name", "m", "--device", "cpu"]
    command += ["--engine", "torch", "--dtype", dtype, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--no-bettertransformer", "--batch-size", "32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as peer:
        try:
            for _ in range(240):
                time.sleep(0.5)
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                        break
                except httpx.HTTPError:
                    continue
            yield port
        finally:
            peer.terminate()


def rate(texts: Sequence[str], work: Callable[[], object]) -> float:
    """Texts per second."""
    started = time.perf_counter()
    work()
    return len(texts) / (time.perf_counter() - started)
