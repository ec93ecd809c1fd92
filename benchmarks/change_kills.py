"""A collection that gets another encoder while everything is killed, and while it is read and written.

``nestvec collection alter`` embeds every row again, of a collection that readers use by an alias. It, a real
``nestvec serve`` and a real Milvus Lite (``lite_server.py`` says what is different about it) are killed with
SIGKILL at points spread over the copy, and the command also while it compares what an earlier run copied. A
writer upserts and deletes rows meanwhile; a reader counts the rows, and reads and searches rows that nobody
changes. In the end every row is compared: its key, its text, and its vector with its text's embedding by the
new encoder.

    python benchmarks/change_kills.py --models models --before wordllama --after wordllama-rotated
        [--rows 50000] [--command 5] [--resumed 2] [--service 7] [--milvus 6] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from change_traffic import COLLECTION, Outage, Reader, Writer, connect
from ingest_kills import Server, connects, free_port, texts
from pymilvus import MilvusException

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed_vectors, fetch_info
from nestvec.collections.lifecycle import create_collection
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.spec.yaml_file import parse_spec

KILLS: Final = {"command": 5, "resumed": 2, "service": 7, "milvus": 6}
"""``resumed``: the command, while it compares the rows that an earlier run copied."""

HANG_SECONDS: Final = 3 * 3600.0
BEFORE: Final = f"{COLLECTION}__1"
AFTER: Final = f"{COLLECTION}__2"
FIELD: Final = "embedded"

SPEC: Final = """
collection: {name}
service: {service}
fields:
  id:   {{type: INT64, primary: true, auto_id: false}}
  text: {{type: VARCHAR, max_length: 200}}
embeddings:
  - {{field: text, encoder: {encoder}, dims: [{dim}], name: {field}}}
"""


@dataclass(frozen=True)
class Plan:
    """What is changed, what is written meanwhile, and how often what is killed."""

    models: Path
    before: str
    after: str
    """The encoders."""

    dim: int = 64
    rows: int = 50_000
    upserts: int = 1_000
    deletes: int = 200
    kills: dict[str, int] = field(default_factory=lambda: dict(KILLS))
    seed: int = 0


@dataclass
class Outcome:
    """What was there in the end."""

    rows: int
    stored: int
    lost: int
    """Rows that are missing."""

    stale: int
    """Rows with a text that was replaced, or with the vector of another text or encoder."""

    returned: int
    """Rows that are there although they were deleted."""

    doubled: int
    cosine_min: float
    reads: int
    read_errors: int
    """While Milvus ran."""

    fewer_rows: int
    """Reads in which a row was missing that had been there before and was not deleted."""

    upserts: int
    deletes: int
    killed: dict[str, int]
    commands: int
    """How often the same command was run: once more after each time that it was killed itself."""

    seconds: float


class Trial:
    """A collection, a service, a Milvus and the command that changes the one by the others."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        ports = free_port(), free_port()
        self.service = f"http://127.0.0.1:{ports[0]}"
        self.uri = f"http://127.0.0.1:{ports[1]}"
        self.texts = dict(enumerate(texts(plan.rows)))
        nestvec = [sys.executable, "-c", "from nestvec.cli import main; main()"]
        serve = ["serve", "--models", str(plan.models), "--port", str(ports[0])]
        serve += ["--encoder", plan.before, "--encoder", plan.after]
        lite = [sys.executable, str(Path(__file__).with_name("lite_server.py")), "server"]
        lite += ["--host", "127.0.0.1"]
        lite += ["--data-dir", str(folder / "milvus"), "--port", str(ports[1])]
        self.servers = {
            "service": Server([*nestvec, *serve], folder / "service.log", self._serves),
            "milvus": Server(lite, folder / "milvus.log", lambda: connects(ports[1])),
        }
        self.spec = folder / "after.yaml"
        self.command = [*nestvec, "collection", "alter", str(self.spec), "--uri", self.uri, "--yes", "--json"]
        self.command += ["--models", str(folder / "no-models")]
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.killed: Counter[str] = Counter()
        self.commands = 0
        self.outage = Outage()
        self.writer = Writer(self.uri, self.texts, plan.upserts, plan.deletes, plan.seed)
        self.reader = Reader(self.uri, self.writer, self.outage, FIELD, plan.dim)

    def _serves(self) -> bool:
        try:
            fetch_info(self.service)
        except NestvecError:
            return False
        return True

    def _spec(self, encoder: str, name: str) -> str:
        return SPEC.format(name=name, service=self.service, encoder=encoder, dim=self.plan.dim, field=FIELD)

    def prepare(self) -> None:
        """Start the servers, create and fill the collection, by whose alias it is read and written."""
        for server in self.servers.values():
            server.start()
        self.spec.write_text(self._spec(self.plan.after, COLLECTION))
        client = connect(self.uri)
        create_collection(client, parse_spec(self._spec(self.plan.before, BEFORE), path="spec"))
        for start in range(0, self.plan.rows, 500):
            numbers = range(start, min(start + 500, self.plan.rows))
            client.insert(BEFORE, [{"id": number, "text": self.texts[number]} for number in numbers])
        client.flush(BEFORE)
        client.create_alias(BEFORE, COLLECTION)
        client.close()

    def run(self) -> None:
        """Run the command to its end, again whenever it was killed, while rows are read and written."""
        rng = random.Random(self.plan.seed)
        names = [name for name, count in self.plan.kills.items() for _ in range(count)]
        rng.shuffle(names)
        points = sorted(rng.uniform(0.03, 0.97) * self.plan.rows for _ in names)
        pending = list(zip(points, names, strict=True))
        self.writer.start()
        self.reader.start()
        process, limit = self._start(), time.monotonic() + HANG_SECONDS
        while time.monotonic() < limit:
            if process.poll() is not None:
                if process.returncode:
                    raise RuntimeError(f"the change ended by itself; see {self.folder / 'change.log'}")
                self.writer.finish()
                self.reader.finish()
                return
            copied = self._copied()
            self.writer.allow(copied / self.plan.rows)
            if pending and copied >= pending[0][0]:
                name = pending.pop(0)[1]
                time.sleep(rng.uniform(0, 0.3))  # anywhere in a batch, also while an answer is under way
                print(f"{copied} rows: killing {name}", flush=True)
                process = self._kill(name, process, rng)
                self.killed[name] += 1
            time.sleep(0.02)
        process.kill()
        raise TimeoutError("the change hangs")

    def _kill(
        self, name: str, process: subprocess.Popen[bytes], rng: random.Random
    ) -> subprocess.Popen[bytes]:
        if name in ("command", "resumed"):
            process.kill()
            process.wait()
            process = self._resume()
            if name == "resumed":
                time.sleep(rng.uniform(0, 1))
                process.kill()
                process.wait()
                process = self._resume()
            return process
        server = self.servers[name]
        if name == "milvus":
            self.outage.begin()
        server.kill()
        time.sleep(rng.uniform(0.1, 2.0))
        server.start()
        if name == "milvus":
            self._load()
            self.outage.end()
        return process

    def _load(self) -> None:
        """Load what a Milvus Lite that was started again has released."""
        while True:
            try:
                client = connect(self.uri)
                client.load_collection(COLLECTION)
                client.close()
            except MilvusException:
                time.sleep(0.1)
            else:
                return

    def _resume(self) -> subprocess.Popen[bytes]:
        """Run the command again, and wait until it says that it continues."""
        count = self._continued()
        process = self._start()
        while self._continued() == count and process.poll() is None:
            time.sleep(0.01)
        return process

    def _continued(self) -> int:
        return (self.folder / "change.log").read_text(errors="replace").count("Continuing the change")

    def _copied(self) -> int:
        """Rows in the new collection."""
        with suppress(MilvusException, ValueError):
            client = connect(self.uri)
            try:
                if client.has_collection(AFTER):
                    return int(client.get_collection_stats(AFTER)["row_count"])
            finally:
                client.close()
        return 0

    def _start(self) -> subprocess.Popen[bytes]:
        self.commands += 1
        with (self.folder / "change.log").open("ab") as log:
            return subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment)

    def verify(self, seconds: float) -> Outcome:
        """Compare every row of the collection with what was written last."""
        client = connect(self.uri)
        client.load_collection(COLLECTION)
        assert client.describe_collection(COLLECTION)["collection_name"] == AFTER
        rows = list[dict[str, Any]]()
        fields = ["id", "text", FIELD]
        iterator = client.query_iterator(COLLECTION, batch_size=1000, filter="", output_fields=fields)
        while batch := iterator.next():
            rows += batch
        iterator.close()
        written = self.writer.rows
        keys = Counter(int(row["id"]) for row in rows)
        kept = [row for row in rows if int(row["id"]) in written]
        cosines = self._cosines(kept, [written[int(row["id"])] for row in kept])
        return Outcome(
            rows=len(written),
            stored=len(rows),
            lost=len(set(written) - set(keys)),
            stale=int(
                sum(
                    row["text"] != written[int(row["id"])] or cosine < 0.9999
                    for row, cosine in zip(kept, cosines, strict=True)
                )
            ),
            returned=len(set(keys) - set(written)),
            doubled=sum(count - 1 for count in keys.values()),
            cosine_min=round(float(cosines.min()), 7),
            reads=self.reader.reads,
            read_errors=len(self.reader.errors),
            fewer_rows=self.reader.fewer,
            upserts=self.writer.upserted,
            deletes=self.writer.deleted,
            killed=dict(self.killed),
            commands=self.commands,
            seconds=round(seconds, 1),
        )

    def _cosines(self, rows: list[dict[str, Any]], expected: list[str]) -> np.ndarray:
        request = EmbeddingRequest(self.service, EmbeddingConfig(self.plan.after, self.plan.dim))
        stored = np.asarray([row[FIELD] for row in rows], np.float32)
        wanted = embed_vectors(request, expected)
        products = (stored * wanted).sum(axis=1)
        return np.asarray(products / np.linalg.norm(stored, axis=1) / np.linalg.norm(wanted, axis=1))

    def close(self) -> None:
        """End the threads and the servers."""
        self.writer.stop()
        self.reader.stop()
        for server in self.servers.values():
            server.kill()


def run_trial(plan: Plan, folder: Path) -> tuple[Outcome, list[str]]:
    """Change the collection while everything is killed, and compare; also what readers were told."""
    trial = Trial(plan, folder)
    try:
        trial.prepare()
        started = time.monotonic()
        trial.run()
        return trial.verify(time.monotonic() - started), trial.reader.errors
    finally:
        trial.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--before", required=True, help="encoder of the collection")
    parser.add_argument("--after", required=True, help="encoder that it gets")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--upserts", type=int, default=1_000)
    parser.add_argument("--deletes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    for name, count in KILLS.items():
        parser.add_argument(f"--{name}", type=int, default=count, help=f"times that it is killed ({count})")
    parser.add_argument("--keep", type=Path, help="folder for the databases and logs, which remains")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    plan = Plan(
        models=options.models.absolute(),
        before=options.before,
        after=options.after,
        dim=options.dim,
        rows=options.rows,
        upserts=options.upserts,
        deletes=options.deletes,
        kills={name: getattr(options, name) for name in KILLS},
        seed=options.seed,
    )
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # of requests while Milvus was down
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = (options.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        outcome, errors = run_trial(plan, folder)
    print(json.dumps(asdict(outcome), indent=2), *errors[:5], sep="\n")
    if options.json:
        head = {"date": date.today().isoformat(), "cores": os.cpu_count()}
        options.json.write_text(json.dumps(head | asdict(outcome), indent=2) + "\n")


if __name__ == "__main__":
    main()
