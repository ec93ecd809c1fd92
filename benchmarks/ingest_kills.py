"""An ingest while its service and its Milvus are killed: rows lost, doubled, or with another text's vector.

A real ``nestvec serve`` and a real ``milvus-lite server`` are killed with SIGKILL, and started again a moment
later, at points spread over the file; the command itself is killed too, and run again. In the end every row
of the file is compared with the collection: its key, its text, and its vector with the text's embedding.

    python benchmarks/ingest_kills.py --models models [--encoder minilm] [--rows 50000] [--dim 64]
        [--service 20] [--milvus 5] [--both 5] [--ingest 3] [--auto-id] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from pymilvus import MilvusClient

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed_vectors, fetch_info
from nestvec.collections.lifecycle import create_collection
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.spec.yaml_file import parse_spec

COLLECTION: Final = "docs"
KILLS: Final = {"service": 20, "milvus": 5, "both": 5, "ingest": 3}
HANG_SECONDS: Final = 3600.0
_STARTS: Final = 20

SPEC: Final = """
collection: docs
service: {service}
fields:
  id:   {{type: INT64, primary: true, auto_id: {auto_id}}}
  text: {{type: VARCHAR, max_length: 200}}
  row:  {{type: INT64}}
embeddings:
  - {{field: text, encoder: {encoder}, dims: [{dim}]}}
"""

_ADJECTIVES: Final = ("quick", "slow", "bright", "dim", "warm", "cold", "loud", "quiet", "old", "new")
_NOUNS: Final = (
    "river",
    "engine",
    "letter",
    "garden",
    "market",
    "signal",
    "bridge",
    "window",
    "forest",
    "clock",
)


@dataclass(frozen=True)
class Plan:
    """What is ingested, and how often what is killed."""

    models: Path
    encoder: str = "minilm"
    dim: int = 64
    rows: int = 50_000
    batch: int = 256
    kills: dict[str, int] = field(default_factory=lambda: dict(KILLS))
    """By what is killed."""

    auto_id: bool = False
    seed: int = 0
    delay: float = 0.3
    """Seconds after which something is killed once a row is reached, at most."""


@dataclass
class Outcome:
    """What was found in the end."""

    rows: int
    stored: int
    lost: int
    doubled: int
    wrong_text: int
    wrong_vector: int
    cosine_min: float
    rejected: int

    killed: dict[str, int]
    """By what was killed."""

    commands: int
    """How often the same command was run: once more after each time that it was killed itself."""

    seconds: float


class Server:
    """A process that is started again after it was killed."""

    def __init__(self, command: Sequence[str], log: Path, answers: Callable[[], bool]) -> None:
        self._command, self._log, self._answers = command, log, answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, again if it ends at once: its port may not be free yet."""
        for _ in range(_STARTS):
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
            while self._process.poll() is None:
                if self._answers():
                    return
                time.sleep(0.1)
            time.sleep(0.5)
        raise TimeoutError(f"{self._command[0]} does not start; see {self._log}")

    def kill(self) -> None:
        """End the process as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """Below the ports of clients' connections, which would take it while its server is killed."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_768)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def connects(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def texts(count: int) -> list[str]:
    """Different short sentences."""
    return [
        f"a {_ADJECTIVES[n % 10]} {_NOUNS[n // 10 % 10]} near the {_ADJECTIVES[n // 100 % 10]} "
        f"{_NOUNS[n // 1000 % 10]}, number {n}"
        for n in range(count)
    ]


class Trial:
    """A file, a service, a Milvus and the command that ingests the one into the other."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        ports = free_port(), free_port()
        self.service = f"http://127.0.0.1:{ports[0]}"
        self.uri = f"http://127.0.0.1:{ports[1]}"
        self.file = folder / "rows.jsonl"
        self.texts = texts(plan.rows)
        nestvec = [sys.executable, "-c", "from nestvec.cli import main; main()"]
        serve = ["serve", "--models", str(plan.models), "--encoder", plan.encoder, "--port", str(ports[0])]
        lite = [str(Path(sys.executable).with_name("milvus-lite")), "server", "--host", "127.0.0.1"]
        lite += ["--data-dir", str(folder / "milvus"), "--port", str(ports[1])]
        self.servers = {
            "service": Server([*nestvec, *serve], folder / "service.log", self._serves),
            "milvus": Server(lite, folder / "milvus.log", lambda: connects(ports[1])),
        }
        self.command = [*nestvec, "ingest", str(self.file), "--collection", COLLECTION, "--uri", self.uri]
        self.command += ["--batch", str(plan.batch), "--json", "--models", str(folder / "no-models")]
        self.journal = folder / f"rows.jsonl.{COLLECTION}.ingest.json"
        self.killed: Counter[str] = Counter()
        self.commands = 0

    def _serves(self) -> bool:
        try:
            fetch_info(self.service)
        except NestvecError:
            return False
        return True

    def prepare(self) -> None:
        """Write the file, start the servers, create the collection."""
        with self.file.open("w") as file:
            for number, text in enumerate(self.texts):
                row = {"text": text, "row": number} | ({} if self.plan.auto_id else {"id": number})
                file.write(json.dumps(row) + "\n")
        for server in self.servers.values():
            server.start()
        spec = SPEC.format(
            service=self.service,
            auto_id=str(self.plan.auto_id).lower(),
            encoder=self.plan.encoder,
            dim=self.plan.dim,
        )
        with open_milvus(self.uri) as client:
            create_collection(client, parse_spec(spec, path="spec"))

    def reached(self) -> int:
        """Rows that the journal says are done."""
        try:
            return int(json.loads(self.journal.read_bytes())["reached"]["read"])
        except (OSError, ValueError):
            return 0

    def run(self) -> dict[str, Any]:
        """Run the command to its end, again whenever it was killed; gives its report."""
        rng = random.Random(self.plan.seed)
        names = [name for name, count in self.plan.kills.items() for _ in range(count)]
        rng.shuffle(names)
        # Not in the first and last tenth: the command reads the collection and the service as it starts.
        points = sorted(rng.uniform(0.05, 0.97) * self.plan.rows for _ in names)
        pending = list(zip(points, names, strict=True))
        process = self._start()
        limit = time.monotonic() + HANG_SECONDS
        while time.monotonic() < limit:
            if process.poll() is not None:
                out = (self.folder / "ingest.out").read_text()
                if process.returncode:
                    raise RuntimeError(f"the ingest ended by itself; see {self.folder / 'ingest.log'}")
                return dict(json.loads(out))
            if pending and self.reached() >= pending[0][0]:
                name = pending.pop(0)[1]
                # Anywhere in a batch, also while an answer is under way.
                time.sleep(rng.uniform(0, self.plan.delay))
                if name == "ingest":
                    if process.poll() is not None:  # it was faster
                        continue
                    process.kill()
                    process.wait()
                    process = self._start()
                else:
                    self._crash(name, rng.uniform(0.1, 2.0))
                self.killed[name] += 1
            time.sleep(0.005)
        process.kill()
        raise TimeoutError("the ingest hangs")

    def _start(self) -> subprocess.Popen[bytes]:
        self.commands += 1
        with (self.folder / "ingest.out").open("wb") as out, (self.folder / "ingest.log").open("ab") as log:
            return subprocess.Popen(self.command, stdout=out, stderr=log)

    def _crash(self, name: str, seconds: float) -> None:
        servers = list(self.servers.values()) if name == "both" else [self.servers[name]]
        for server in servers:
            server.kill()
        time.sleep(seconds)
        starts = [threading.Thread(target=server.start) for server in servers]
        for start in starts:
            start.start()
        for start in starts:
            start.join()

    def verify(self, report: dict[str, Any], seconds: float) -> Outcome:
        """Compare every row of the collection with the file."""
        with open_milvus(self.uri) as client:
            client.load_collection(COLLECTION)
            rows = list(_all_rows(client, EMBEDDED.format(self.plan.dim)))
        numbers = Counter(int(row["row"]) for row in rows)
        cosines = self._cosines(rows)
        return Outcome(
            rows=self.plan.rows,
            stored=len(rows),
            lost=self.plan.rows - len(numbers),
            doubled=sum(count - 1 for count in numbers.values()),
            wrong_text=sum(row["text"] != self.texts[int(row["row"])] for row in rows),
            wrong_vector=int((cosines < 0.9999).sum()),
            cosine_min=round(float(cosines.min()), 7),
            rejected=int(report["rejected"]),
            killed=dict(self.killed),
            commands=self.commands,
            seconds=round(seconds, 1),
        )

    def _cosines(self, rows: Sequence[dict[str, Any]]) -> np.ndarray:
        request = EmbeddingRequest(self.service, EmbeddingConfig(self.plan.encoder, self.plan.dim))
        stored = np.asarray([row[EMBEDDED.format(self.plan.dim)] for row in rows], np.float32)
        wanted = embed_vectors(request, [self.texts[int(row["row"])] for row in rows])
        products = (stored * wanted).sum(axis=1)
        return np.asarray(products / np.linalg.norm(stored, axis=1) / np.linalg.norm(wanted, axis=1))

    def close(self) -> None:
        """End the servers."""
        for server in self.servers.values():
            server.kill()


EMBEDDED: Final = "text_{}"


def _all_rows(client: MilvusClient, vector: str) -> Iterator[dict[str, Any]]:
    iterator = client.query_iterator(
        COLLECTION, batch_size=1000, filter="", output_fields=["id", "row", "text", vector]
    )
    while batch := iterator.next():
        yield from batch
    iterator.close()


@contextmanager
def trial(plan: Plan, folder: Path) -> Iterator[Trial]:
    """A trial whose servers run until the block ends."""
    made = Trial(plan, folder)
    try:
        made.prepare()
        yield made
    finally:
        made.close()


def run_trial(plan: Plan, folder: Path) -> Outcome:
    """Ingest while everything is killed, and compare."""
    with trial(plan, folder) as made:
        started = time.monotonic()
        report = made.run()
        return made.verify(report, time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    for name, count in KILLS.items():
        parser.add_argument(f"--{name}", type=int, default=count, help=f"times that it is killed ({count})")
    parser.add_argument(
        "--auto-id", action="store_true", help="only the collection whose keys Milvus generates"
    )
    parser.add_argument("--keyed", action="store_true", help="only rows with keys")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kills = {name: getattr(options, name) for name in KILLS}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    figures: dict[str, Any] = {"date": date.today().isoformat(), "cores": os.cpu_count()}
    for name, auto_id in (("rows with keys", False), ("generated keys", True)):
        if (options.auto_id and not auto_id) or (options.keyed and auto_id):
            continue
        plan = Plan(
            models=options.models,
            encoder=options.encoder,
            dim=options.dim,
            rows=options.rows,
            batch=options.batch,
            kills=kills,
            auto_id=auto_id,
            seed=options.seed,
        )
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            outcome = run_trial(plan, Path(folder))
        figures[name] = asdict(outcome)
        print(name, json.dumps(asdict(outcome), indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
