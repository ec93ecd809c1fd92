"""``nestvec bulk --ray ADDRESS`` on several Ray nodes of this machine; the memory of a worker by input size.

    python benchmarks/bulk_nodes.py cores --models models [--encoder minilm] [--rows 4000] [--json FILE]
    python benchmarks/bulk_nodes.py accelerators --models models [--encoder minilm] [--rows 10000] ...
    python benchmarks/bulk_nodes.py memory --models models [--encoder words] [--rows 10000,100000,1000000] ...

``--rows`` are those of one node: n nodes embed n times as many, so an efficiency of 1 means that they take as
long as one. Seconds are from the beginning of the first task, which loads the engine, to the end of the last;
those of the whole command are stated too, and the rate after the first task of each worker until one of them
has no other.

``cores``: 1 and 2 nodes, each confined to a core of its own, and the engine's own loop in as many processes,
confined alike: what the loop loses, the machine does not have. The command itself and the head of the cluster
run on the same cores.
``accelerators`` is a simulation: 1, 2 and 4 nodes whose workers call a server with Triton's protocol, which
computes nothing, but keeps each batch for as long as an accelerator of ``--tokens-per-second`` would; each
worker has one of its own. What is measured is what ``nestvec bulk`` adds: reading, checking, tokenizing,
sending, writing, and the distribution of tasks. All nodes share the cores of this machine; the CPU seconds of
the tasks say how much of them.
``memory``: workers of one CPU; the resident memory of the largest after loading the engine and at its
most, as the worker says and as the system does.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any, Final

import grpc
from bulk import Place, loop_rate, records_of, task_times, worker_pids, write_rows
from tritonclient.grpc import service_pb2, service_pb2_grpc

from nestvec.bulk.manifest import TaskRecord
from nestvec.bulk.on_ray import patient_start
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import read_manifest

STORE_BYTES: Final = 80 << 20
CALLS: Final = 16


class SimulatedAccelerators(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Triton's protocol; each call takes as long as its tokens would, and gives zeros."""

    def __init__(self, manifest: Manifest, tokens_per_second: float) -> None:
        (tower,) = manifest.towers.values()
        self._output, self._dim, self._rate = tower.output, manifest.dim, tokens_per_second

    def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelInfer(self, request: Any, context: Any) -> Any:
        count, length = request.inputs[0].shape
        time.sleep(count * length / self._rate)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        answer.outputs.add(name=self._output, datatype="FP32", shape=[count, self._dim])
        answer.raw_output_contents.append(bytes(4 * count * self._dim))
        return answer


def serve_accelerators(options: argparse.Namespace, port: Any) -> None:
    """Serve until the process is ended."""
    server = grpc.server(futures.ThreadPoolExecutor(CALLS))
    manifest = read_manifest(options.models / options.encoder)
    servicer = SimulatedAccelerators(manifest, options.tokens_per_second)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port.value = server.add_insecure_port("127.0.0.1:0")
    server.start()
    server.wait_for_termination()


@contextmanager
def simulated_accelerators(options: argparse.Namespace) -> Iterator[str]:
    """The address of the simulation, in a process of its own."""
    spawning = multiprocessing.get_context("spawn")
    port = spawning.Value("i", 0)
    process = spawning.Process(target=serve_accelerators, args=(options, port), daemon=True)
    process.start()
    try:
        while not port.value:
            if not process.is_alive():
                raise SystemExit("the simulation did not start")
            time.sleep(0.05)
        yield f"127.0.0.1:{port.value}"
    finally:
        process.kill()
        process.join()


@contextmanager
def confined(core: int | None) -> Iterator[None]:
    """What is started meanwhile runs on this core only."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def ray_nodes(count: int, cores: Sequence[int | None]) -> Iterator[str]:
    """The address of a cluster: a head that runs no workers, and nodes of one CPU each."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    import ray
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    with patient_start(ray):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **memory})
        try:
            for number in range(count):
                with confined(cores[number % len(cores)]):
                    cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
            yield cluster.address
        finally:
            cluster.shutdown()


def nodes_run(options: argparse.Namespace, folder: Path, count: int, *more: str) -> dict[str, Any]:
    """One command on ``count`` nodes."""
    place = Place(folder, options, f"nodes{count}")
    rows = options.rows[0] * count
    write_rows(place.source, rows)
    cores = sorted(os.sched_getaffinity(0)) if options.what == "cores" else [None]
    with ray_nodes(count, cores) as address:
        job = ("--to", str(place.job), "--no-import", "--task-rows", str(options.task_rows))
        cluster = ("--ray", address, "--worker-cpus", "1")
        report, seconds, _ = place.run("bulk", *job, *cluster, *more)
    if report["rows"] != rows or report["rejected"]:
        raise SystemExit(f"{report['rows']} of {rows} rows were written")
    ends = task_ends(place)
    begun, finished = task_times(place.job)
    return {
        "nodes": count,
        "rows": rows,
        "tasks of each worker": sorted(len(each) for each in ends.values()),
        "seconds": round(finished - begun, 2),
        "seconds of the command": round(seconds, 2),
        "rows/s": round(rows / (finished - begun), 1),
        "rows/s once loaded": round(options.task_rows * rate_once_loaded(ends), 1),
        "CPU seconds of tasks": round(report["seconds"]["cpu"], 2),
    }


def task_ends(place: Place) -> dict[str, list[float]]:
    """When the tasks of each worker ended."""
    ends: dict[str, list[float]] = {}
    for path in (place.job / "tasks").glob("task-*.json"):
        record = TaskRecord.model_validate_json(path.read_bytes())
        ends.setdefault(record.worker, []).append(path.stat().st_mtime)
    return {worker: sorted(times) for worker, times in ends.items()}


def rate_once_loaded(ends: dict[str, list[float]]) -> float:
    """Tasks per second while all workers run: after the first task of each, until one has no other."""
    first, last = (function(times[at] for times in ends.values()) for at, function in ((0, max), (-1, min)))
    if last <= first:
        return float("nan")
    return sum(first < time <= last for times in ends.values() for time in times) / (last - first)


def with_efficiency(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    base = runs[0]
    return [
        {
            **run,
            "efficiency": round(run["rows/s"] / run["nodes"] / (base["rows/s"] / base["nodes"]), 3),
            "efficiency once loaded": round(
                run["rows/s once loaded"] / run["nodes"] / (base["rows/s once loaded"] / base["nodes"]),
                3,
            ),
        }
        for run in runs
    ]


def confined_loop(options: argparse.Namespace, core: int, gate: Any, seconds: Any) -> None:
    os.sched_setaffinity(0, {core})
    options.rows, options.threads = options.rows[0], 1
    gate.wait()
    seconds.put(options.rows / loop_rate(options)[0])


def loop_seconds(options: argparse.Namespace, count: int) -> float:
    """The longest of ``count`` loops at the same time, each confined to a core."""
    spawning = multiprocessing.get_context("spawn")
    gate, seconds = spawning.Barrier(count), spawning.Queue()
    cores = sorted(os.sched_getaffinity(0))
    loops = [
        spawning.Process(target=confined_loop, args=(options, cores[number % len(cores)], gate, seconds))
        for number in range(count)
    ]
    for each in loops:
        each.start()
    longest = max(seconds.get(timeout=3600) for _ in loops)
    for each in loops:
        each.join()
    return float(longest)


def cores(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    counts = [count for count in options.nodes or (1, 2) if count <= len(os.sched_getaffinity(0))]
    engine = ("--engine", options.engine)
    runs = with_efficiency([nodes_run(options, folder, count, *engine) for count in counts])
    loops = {count: round(loop_seconds(options, count), 2) for count in counts}
    for run in runs:
        run["loop, seconds"] = loops[run["nodes"]]
        run["loop, efficiency"] = round(loops[counts[0]] / loops[run["nodes"]], 3)
    return {"runs": runs}


def accelerators(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    with simulated_accelerators(options) as address:
        triton = ("--engine", "triton", "--triton-url", address)
        counts = options.nodes or (1, 2, 4)
        runs = with_efficiency([nodes_run(options, folder, count, *triton) for count in counts])
    return {"simulated tokens/s of each node": options.tokens_per_second, "runs": runs}


class LargestMemory(threading.Thread):
    """The largest resident memory of the processes below this one that run tasks, as the system counts it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes, self.ended = 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            for pid in worker_pids(os.getpid()):
                with suppress(OSError, IndexError, ValueError):
                    status = Path(f"/proc/{pid}/status").read_text()
                    self.bytes = max(self.bytes, 1024 * int(status.partition("VmHWM:")[2].split()[0]))


def memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    runs: list[dict[str, Any]] = []
    for rows in options.rows:
        place = Place(folder, options, f"memory{rows}")
        write_rows(place.source, rows)
        largest = LargestMemory()
        largest.start()
        job = ("--to", str(place.job), "--no-import", "--task-rows", str(options.task_rows))
        report, seconds, _ = place.run("bulk", *job, "--engine", options.engine, "--worker-cpus", "1")
        largest.ended.set()
        largest.join()
        if report["rows"] != rows:
            raise SystemExit(f"{report['rows']} of {rows} rows were written")
        records = records_of(place)
        runs.append(
            {
                "rows": rows,
                "tasks": len(records),
                "MB of input": round(place.source.stat().st_size / 1e6, 1),
                "engine, MB": round(max(record.engine_bytes for record in records) / 1e6, 1),
                "largest, MB": round(max(record.peak_bytes for record in records) / 1e6, 1),
                "largest by the system, MB": round(largest.bytes / 1e6, 1),
                "beyond the engine, MB": round(
                    max(record.peak_bytes - record.engine_bytes for record in records) / 1e6, 1
                ),
                "seconds": round(seconds, 1),
            }
        )
        print(json.dumps(runs[-1]), file=sys.stderr)
    return {"runs": runs}


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


DEFAULTS: Final = {
    "cores": ("minilm", [4_000], 200),
    "accelerators": ("minilm", [10_000], 250),
    "memory": ("words", [10_000, 100_000, 1_000_000], 50_000),
}
"""The encoder, the rows, and those of a task."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=list(DEFAULTS))
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--encoder")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rows", type=numbers, help="of a node; for memory, of each run")
    parser.add_argument("--nodes", type=numbers)
    parser.add_argument("--dims", type=numbers)
    parser.add_argument("--task-rows", type=int)
    parser.add_argument("--tokens-per-second", type=float, default=20_000, help="of a simulated accelerator")
    parser.add_argument("--folder", type=Path, help="where the files go meanwhile")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    encoder, rows, task_rows = DEFAULTS[options.what]
    options.models = options.models.absolute()
    options.encoder, options.rows = options.encoder or encoder, options.rows or rows
    options.task_rows = options.task_rows or task_rows
    options.dims = options.dims or [read_manifest(options.models / options.encoder).dim]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        work = {"cores": cores, "accelerators": accelerators, "memory": memory}[options.what]
        result = {
            "date": f"{date.today()}",
            "cores": os.cpu_count(),
            "load before": round(load, 2),
            "encoder": options.encoder,
            "dims": options.dims,
            "rows of a task": options.task_rows,
            **work(options, Path(folder)),
        }
    print(json.dumps(result, indent=2))
    if options.json:
        before = json.loads(options.json.read_text()) if options.json.exists() else {}
        options.json.write_text(json.dumps({**before, options.what: result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
