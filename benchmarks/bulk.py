"""``nestvec bulk``: its rate against the engine's own loop and against ``nestvec ingest``, and kills.

    python benchmarks/bulk.py speed --models models [--encoder minilm] [--rows 200000] [--rounds 3]
        [--minutes 12] [--json FILE]
    python benchmarks/bulk.py turns --models models [--encoder minilm] [--rows 10240] [--json FILE]
    python benchmarks/bulk.py kills --models models [--encoder wordllama] [--rows 1000000] [--json FILE]

``speed``: the loop tokenizes 2,048 texts at a time, sorts them by length and runs batches, in this process
with all cores; ``bulk --no-import`` does the same on a Ray of this machine, reads JSON lines and writes
Parquet; ``bulk`` also inserts into Milvus Lite meanwhile; then ``ingest`` inserts the same rows. They take
turns, as many rounds as the minutes allow. The rate of ``bulk`` beside the loop is that of the files alone,
from the beginning of the first task, which loads the engine, to the end of the last; that with the start of
Ray is stated too, and "bulk / ingest" is of whole commands with the import. On a busy machine compare
CPU seconds: those of the loop, of the tasks, and (with control groups) of whole commands. ``turns``: what a
worker does, without Ray, and the loop, on the same rows window by window in turns, so that a busy machine
slows both.
``kills``: workers and the command itself are killed with SIGKILL at points spread over the rows, and every
file is read back.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from cpu_groups import cpu_group

from nestvec.bulk.embedding import EngineEmbedding
from nestvec.bulk.manifest import TaskRecord
from nestvec.bulk.plan import Task
from nestvec.bulk.task import EngineChoice, TaskRunner, Work
from nestvec.collections.lifecycle import create_collection
from nestvec.engines.factory import EngineOptions
from nestvec.evaluate.vectors.encode import run_batches
from nestvec.ingest.options import IngestOptions
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec.service.in_process import serve_in_process
from nestvec.service.preprocess.prepare import tokenize_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.spec.yaml_file import parse_spec

SPEC: Final = """
collection: docs
service: {service}
fields:
  id:   {{type: INT64, primary: true}}
  text: {{type: VARCHAR, max_length: 400}}
embeddings:
  - {{field: text, encoder: {encoder}, dims: [{dims}]}}
"""
WINDOW: Final = 2048
HANG_SECONDS: Final = 7200.0

_TEXT: Final = """
heat flow wing plate layer shock wave boundary pressure number vector index graph search storage engine model
table query column the of on in with under over between river mountain city paper music language
"""
_WORDS: Final = tuple(_TEXT.split())


def text_of(number: int) -> str:
    """A text of its own: 5 to 40 words."""
    rng = random.Random(number)
    return " ".join([*rng.choices(_WORDS, k=rng.randint(5, 40)), str(number)])


def write_rows(path: Path, rows: int) -> None:
    with path.open("w") as file:
        for number in range(rows):
            file.write(json.dumps({"id": number, "text": text_of(number)}) + "\n")


def vacant_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


class Place:
    """A folder with a database and a file of rows."""

    def __init__(self, folder: Path, options: argparse.Namespace, name: str) -> None:
        self.options, self.source, self.uri = options, folder / "rows.jsonl", str(folder / f"{name}.db")
        self.job = folder / f"{name}.job"
        service = vacant_address()
        dims = ", ".join(map(str, options.dims))
        spec = parse_spec(SPEC.format(service=service, encoder=options.encoder, dims=dims), path="spec")
        with open_milvus(self.uri) as client, serve_in_process(spec.services, options.models):
            create_collection(client, spec)

    def command(self, name: str, *more: str) -> list[str]:
        program = str(Path(sys.executable).with_name("nestvec"))
        where = ["--collection", "docs", "--uri", self.uri, "--models", str(self.options.models)]
        return [program, name, str(self.source), *where, "--json", *more]

    def run(self, name: str, *more: str) -> tuple[dict[str, Any], float, float]:
        """The report, the seconds, and the CPU seconds of all of its processes."""
        started = time.perf_counter()
        with cpu_group() as group:
            done = subprocess.run(
                [*group.entering, *self.command(name, *more)],
                stdout=subprocess.PIPE,
                timeout=HANG_SECONDS,
                check=True,
            )
            return json.loads(done.stdout), time.perf_counter() - started, group.seconds()


def loop_rate(options: argparse.Namespace) -> tuple[float, float]:
    """Texts per second, and per CPU second, of the loop."""
    engine = EngineOptions(options.engine, threads=getattr(options, "threads", 0))
    embedding = EngineEmbedding(options.models, (options.encoder,), engine)
    loaded = embedding.encoders[options.encoder]
    texts = [text_of(number) for number in range(options.rows)]
    seconds = cpu_seconds = 0.0
    for start in range(-WINDOW, options.rows, WINDOW):  # the first is a warm-up
        window = texts[max(0, start) : max(0, start) + WINDOW]
        started, cpu_started = time.perf_counter(), time.process_time()
        rows = [row for row in tokenize_inputs(loaded, window, Truncation()) if hasattr(row, "arrays")]
        for _ in run_batches(
            rows, lambda batch: embedding._run(options.encoder, batch), 0, "", lambda count: None
        ):
            pass
        seconds += time.perf_counter() - started if start >= 0 else 0.0
        cpu_seconds += time.process_time() - cpu_started if start >= 0 else 0.0
    return options.rows / seconds, options.rows / cpu_seconds


def speed(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Rounds of the loop, ``bulk`` and ``ingest`` in turns, until one more would take longer than allowed."""
    rounds: list[dict[str, float]] = []
    began, longest = time.monotonic(), 0.0
    while len(rounds) < options.rounds:
        started = time.monotonic()
        if rounds and started - began + longest > 60 * options.minutes:
            break
        rounds.append(speed_round(options, folder, len(rounds)))
        longest = max(longest, time.monotonic() - started)
        print(json.dumps(rounds[-1]), file=sys.stderr)
    medians = {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}
    print_table(rounds, medians)
    return {"rows": options.rows, "encoder": options.encoder, "medians": medians, "rounds": rounds}


def speed_round(options: argparse.Namespace, folder: Path, number: int) -> dict[str, float]:
    load = os.getloadavg()[0]
    place, other = (Place(folder, options, f"{name}{number}") for name in ("bulk", "ingest"))
    if not place.source.exists():
        write_rows(place.source, options.rows)
    loop, loop_cpu = loop_rate(options)
    more = ("--engine", options.engine, "--task-rows", str(options.task_rows))
    files, _, files_cpu = place.run("bulk", *more, "--no-import", "--to", f"{place.job}-files")
    began = time.time()
    report, bulk_seconds, bulk_cpu = place.run("bulk", *more, "--to", str(place.job))
    ingested, ingest_seconds, ingest_cpu = other.run("ingest")
    counts = [report["imported"], ingested["inserted"]]
    if counts != [options.rows, options.rows]:
        raise SystemExit(f"{counts} of {options.rows} rows were stored")
    embedding = task_times(Path(f"{place.job}-files"))
    start = task_times(place.job)[0] - began
    phases, rows, workers = files["seconds"], options.rows, report["workers"].values()
    rate = rows / (embedding[1] - embedding[0])
    return {
        "load before": round(load, 2),
        "workers": len(workers),
        "loop rows/s": round(loop, 1),
        "bulk rows/s": round(rate, 1),
        "bulk / loop": round(rate / loop, 3),
        "bulk / loop, with the start of Ray": round(rows / phases["total"] / loop, 3),
        "bulk / ingest": round(ingest_seconds / bulk_seconds, 3),
        "bulk / ingest, without that start": round(ingest_seconds / (bulk_seconds - start), 3),
        "bulk / loop, CPU seconds of tasks": round(rows / phases["cpu"] / loop_cpu, 3),
        "bulk / ingest, CPU seconds": round(ingest_cpu / bulk_cpu, 3),
        "files alone, CPU s": round(files_cpu, 1),
        "bulk, CPU s": round(bulk_cpu, 1),
        "ingest, CPU s": round(ingest_cpu, 1),
        "before the first task, s": round(start, 1),
        "import, s": round(report["seconds"]["import"], 1),
        "bulk, s": round(bulk_seconds, 1),
        "ingest, s": round(ingest_seconds, 1),
        "MB beyond engine": round(max(each["bytes_beyond_engine"] for each in workers) / 1e6, 1),
        **{f"{name}, s": round(phases[name], 2) for name in ("read", "tokenize", "engine", "write")},
    }


def task_times(job: Path) -> tuple[float, float]:
    """When the first task of a job was begun, and when the last one was finished."""
    begun = min(path.stat().st_mtime for path in (job / "begun").iterdir())
    return begun, max(path.stat().st_mtime for path in (job / "tasks").iterdir())


def print_table(rounds: list[dict[str, float]], medians: dict[str, float]) -> None:
    for name, median in medians.items():
        print(f"{name:36}", *(f"{each[name]:>9}" for each in rounds), f"| {median:>9}")


def turns(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    place = Place(folder, options, "turns")
    write_rows(place.source, options.rows)
    with open_milvus(place.uri) as client:
        table = read_table(client, "docs")
    engine = EngineOptions(options.engine)
    embedding = EngineEmbedding(options.models, (options.encoder,), engine)
    work = Work(table, str(place.job), IngestOptions(place.uri), EngineChoice(options.models, engine))
    runner = TaskRunner(work, embedding)
    loaded, loops, tasks = embedding.encoders[options.encoder], [], []
    window = min(WINDOW, options.task_rows)
    for number, start in enumerate((0, *range(0, options.rows, window))):  # the first is a warm-up
        texts = [text_of(at) for at in range(start, min(start + window, options.rows))]
        began = time.perf_counter()
        rows = [row for row in tokenize_inputs(loaded, texts, Truncation()) if hasattr(row, "arrays")]
        for _ in run_batches(
            rows, lambda batch: embedding._run(options.encoder, batch), 0, "", lambda count: None
        ):
            pass
        loops.append(time.perf_counter() - began)
        began = time.perf_counter()
        runner(Task(number=number, address=str(place.source), start=start, rows=len(texts), first=start))
        tasks.append(time.perf_counter() - began)
    ratios = [loop / task for loop, task in zip(loops[1:], tasks[1:], strict=True)]
    return {
        "rows": options.rows,
        "window": window,
        "encoder": options.encoder,
        "dims": options.dims,
        "loop_rows_per_second": round(options.rows / sum(loops[1:]), 1),
        "worker_rows_per_second": round(options.rows / sum(tasks[1:]), 1),
        "worker / loop": round(sum(loops[1:]) / sum(tasks[1:]), 3),
        "worker / loop, median of windows": round(statistics.median(ratios), 3),
    }


def records_of(place: Place) -> list[TaskRecord]:
    folder = place.job / "tasks"
    names = sorted(folder.glob("task-*.json")) if folder.is_dir() else []
    return [TaskRecord.model_validate_json(path.read_bytes()) for path in names]


def finished(place: Place) -> int:
    folder = place.job / "tasks"
    return len(list(folder.glob("task-*.json"))) if folder.is_dir() else 0


def worker_pids(parent: int) -> Iterator[int]:
    """The processes below ``parent`` that run tasks."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    waiting = [parent]
    while waiting:
        for pid in children.get(waiting.pop(), []):
            waiting.append(pid)
            try:
                title = (Path("/proc") / str(pid) / "cmdline").read_bytes()
            except OSError:
                continue
            if b"ray::" in title and b"Worker" in title:
                yield pid


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def kills(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    place = Place(folder, options, "kills")
    write_rows(place.source, options.rows)
    more = ("--no-import", "--to", str(place.job), "--task-rows", str(options.task_rows))
    tasks = -(-options.rows // options.task_rows)
    names = ["worker"] * options.worker_kills + ["command"] * options.command_kills
    rng = random.Random(1)
    rng.shuffle(names)
    points = [round(tasks * (at + 1) / (len(names) + 2)) for at in range(len(names))]
    killed, commands, started = Counter[str](), 0, time.perf_counter()
    waiting = list(zip(points, names, strict=True))
    while finished(place) < tasks:
        commands += 1
        with running(place.command("bulk", *more)) as process:
            while process.poll() is None:
                if waiting and finished(place) >= waiting[0][0]:
                    if waiting[0][1] == "command":
                        os.kill(process.pid, signal.SIGKILL)
                        killed[waiting.pop(0)[1]] += 1
                        break
                    pids = list(worker_pids(process.pid))
                    if pids:
                        os.kill(rng.choice(pids), signal.SIGKILL)
                        killed[waiting.pop(0)[1]] += 1
                time.sleep(0.02)
    records = records_of(place)
    begun = Counter(path.name[: len("task-000000")] for path in (place.job / "begun").glob("task-*"))
    counts = np.zeros(options.rows, np.int64)
    wrong = 0
    for record in records:
        for file in record.files:
            table = pq.read_table(place.job / file.name)
            ids = table.column("id").to_numpy()
            np.add.at(counts, ids, 1)
            wrong += sum(
                text != text_of(number)
                for number, text in zip(
                    ids[::101].tolist(), table.column("text").to_pylist()[::101], strict=True
                )
            )
    return {
        "rows": options.rows,
        "tasks": tasks,
        "encoder": options.encoder,
        "dims": options.dims,
        "killed": dict(killed),
        "commands": commands,
        "begun_again": begun.total() - tasks,
        "begun_again / kill": round((begun.total() - tasks) / max(1, killed.total()), 3),
        "most_begins_of_a_task": max(begun.values()),
        "lost": int((counts == 0).sum()),
        "doubled": int((counts > 1).sum()),
        "wrong_text": wrong,
        "wrong_vector": wrong_vectors(options, place, records),
        "files_without_a_record": len(list((place.job / "files").glob("*.parquet")))
        - sum(len(record.files) for record in records),
        "worker_mb_beyond_engine": round(
            max(record.peak_bytes - record.engine_bytes for record in records) / 1e6, 1
        ),
        "seconds": round(time.perf_counter() - started, 1),
    }


def wrong_vectors(options: argparse.Namespace, place: Place, records: list[TaskRecord]) -> int:
    """Vectors of a sample that differ from those of this process."""
    from nestvec.bulk.embedding import VectorOutput

    embedding = EngineEmbedding(options.models, (options.encoder,), EngineOptions(options.engine))
    dim, wrong = max(options.dims), 0
    output = VectorOutput("v", EmbeddingConfig(options.encoder, dim), has_role=False)
    for record in records[:: max(1, len(records) // 20)]:
        table = pq.read_table(place.job / record.files[0].name).slice(0, 50)
        expected = embedding.embed(table.column("text").to_pylist(), [output]).columns["v"]
        stored = np.asarray(table.column(f"text_{dim}").to_pylist(), np.float32)
        wrong += int((np.abs(stored - expected).max(axis=1) > 1e-3).sum())
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["speed", "turns", "kills"])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dims", type=lambda text: [int(dim) for dim in text.split(",")], default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=12, help="no round begins that may end later")
    parser.add_argument("--task-rows", type=int, default=10_000)
    parser.add_argument("--worker-kills", type=int, default=10)
    parser.add_argument("--command-kills", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go meanwhile")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.models = options.models.absolute()
    options.dims = options.dims or [read_manifest(options.models / options.encoder).dim]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        work = {"speed": speed, "turns": turns, "kills": kills}[options.what]
        result = {"date": f"{date.today()}", "cores": os.cpu_count(), **work(options, Path(folder))}
    print(json.dumps(result, indent=2))
    if options.json:
        name = f"speed of {options.encoder}" if options.what == "speed" else options.what
        before = json.loads(options.json.read_text()) if options.json.exists() else {}
        options.json.write_text(json.dumps({**before, name: result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
