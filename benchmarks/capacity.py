"""1, 8 and 64 replicas under Milvus's retries, simulated: where they saturate, what keeps them stable.

    python benchmarks/capacity.py --json capacity.json --plot capacity.png

A discrete-event simulation (simpy). A replica runs one batch of up to 64 texts at a time, each for as long
as the service was measured to take (benchmarks/results/serve-openvino.json: 68 tokens a text, 2 cores).
Milvus is as in ``internal/util/function``: an insert's functions run at the same time, each sends its chunks
of 32 texts one after the other, and makes three tries of a chunk within 30 s, also after 504 and 429.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import simpy

RESULTS: Final = Path(__file__).parent / "results"
RATE_KEY: Final = "service 32 x 8, OpenVINO bf16"
BATCH_SECONDS: Final = 0.004
"""Of a batch beside its texts: what a lone short query takes in the engine."""
BATCH, CHUNK, ROWS = 64, 32, 160
TRIES, BUDGET, WAITS = 3, 30.0, ((1.0, 1.25), (2.0, 2.5))
TOKENS: Final = 68

Process = Iterator[simpy.Event]


@dataclass(frozen=True)
class Setting:
    """How the service and the proxy before it are set."""

    name: str
    deadline: float = 8.4
    """``--milvus-deadline-seconds``."""
    queue_texts: int = (1 << 21) // 2 // TOKENS
    """``--queue-tokens`` over the tokens of a text: the share that one client, such as a proxy, may have."""
    hashing: bool = True
    """Whether a chunk always reaches the same replica; else the one with the fewest requests."""
    tries: int = TRIES
    """Of Milvus, fixed there; 1 shows what retries do."""


DEFAULT = Setting("defaults, hashing")
SETTINGS: Final = (
    DEFAULT,
    replace(DEFAULT, name="short queue, hashing", queue_texts=0),
    replace(DEFAULT, name="defaults, least connections", hashing=False),
    replace(DEFAULT, name="25 s for Milvus too", deadline=25.0),
    replace(DEFAULT, name="without retries", tries=1),
)
SHORT_QUEUE_SECONDS: Final = 4.0
"""Work that may wait with a short queue: half of Milvus's deadline."""


@dataclass(frozen=True)
class Load:
    """What is offered."""

    replicas: int
    utilisation: float
    """Texts a second ÷ what the engines of all replicas embed."""
    fields: int = 4
    seconds: float = 240.0
    """Simulated; the first quarter is not counted."""
    burst: float = 0.0
    """Utilisation in the second eighth, for a burst; 0 for none."""
    writers: int = 0
    """Of each replica: each sends its next insert when the last has ended. 0 for inserts that arrive by
    themselves, at ``utilisation``."""


@dataclass(eq=False)
class Chunk:
    """Texts at one replica: waiting, being embedded, or embedded and remembered."""

    left: int = CHUNK
    done: simpy.Event | None = None
    waiters: int = 0
    is_queued: bool = False


class Replica:
    """One service: a queue of chunks, one engine, and a cache of what it embedded."""

    def __init__(self, env: simpy.Environment, setting: Setting, seconds_a_text: float) -> None:
        self._env, self._setting, self._seconds = env, setting, seconds_a_text
        self._chunks: dict[int, Chunk] = {}
        self._queue: deque[Chunk] = deque()
        self._wake = env.event()
        self.waiting = self.open = self.passes = 0
        """Texts that wait, requests in flight, and texts that the engine ran."""
        env.process(self._run())

    def embed(self, number: int, give_up: float) -> Process:
        """One request. Returns whether its texts were embedded before its deadline and the client's."""
        chunk = self._chunks.setdefault(number, Chunk())
        if chunk.left == 0:
            return True
        if not chunk.is_queued and self.waiting + chunk.left > self._setting.queue_texts:
            return False
        if chunk.done is None or chunk.done.triggered:
            chunk.done = self._env.event()
        chunk.waiters += 1
        self.open += 1
        if not chunk.is_queued:
            chunk.is_queued = True
            self.waiting += chunk.left
            self._queue.append(chunk)
            if not self._wake.triggered:
                self._wake.succeed()
        yield chunk.done | self._env.timeout(max(0.0, min(self._setting.deadline, give_up - self._env.now)))
        chunk.waiters -= 1
        self.open -= 1
        return chunk.left == 0

    def _run(self) -> Process:
        while True:
            batch, texts = self._next_batch()
            if not texts:
                self._wake = self._env.event()
                yield self._wake
                continue
            yield self._env.timeout(BATCH_SECONDS + texts * self._seconds)
            self.passes += texts
            for chunk, count in batch:
                chunk.left -= count
                if chunk.left == 0 and chunk.done is not None and not chunk.done.triggered:
                    chunk.done.succeed()

    def _next_batch(self) -> tuple[list[tuple[Chunk, int]], int]:
        batch, texts = [], 0
        while self._queue and texts < BATCH:
            chunk = self._queue[0]
            count = min(chunk.left, BATCH - texts)
            self.waiting -= chunk.left
            if chunk.waiters == 0:  # all who waited have given up
                chunk.is_queued = False
                self._queue.popleft()
                continue
            batch.append((chunk, count))
            texts += count
            if count == chunk.left:
                chunk.is_queued = False
                self._queue.popleft()
            else:
                self.waiting += chunk.left - count
                break
        return batch, texts


@dataclass
class Outcome:
    """What Milvus's users saw."""

    inserts: list[tuple[float, float, bool]] = field(default_factory=list)
    """When an insert came and ended, and whether it succeeded."""
    tries: Counter[str] = field(default_factory=Counter)


class Simulation:
    """One load on one setting."""

    def __init__(self, load: Load, setting: Setting, seconds_a_text: float, seed: int = 7) -> None:
        if setting.queue_texts == 0:
            setting = replace(setting, queue_texts=max(CHUNK, int(SHORT_QUEUE_SECONDS / seconds_a_text)))
        self.load, self.setting, self.seconds = load, setting, seconds_a_text
        self.env = simpy.Environment()
        self.replicas = [Replica(self.env, setting, seconds_a_text) for _ in range(load.replicas)]
        self.random = random.Random(seed)
        self.outcome = Outcome()
        self._chunks = 0

    def run(self) -> dict[str, Any]:
        for _ in range(self.load.writers * self.load.replicas):
            self.env.process(self._writer())
        if not self.load.writers:
            self.env.process(self._arrivals())
        self.env.run(self.load.seconds)
        return self._report()

    def _arrivals(self) -> Process:
        capacity, eighth = self.load.replicas / self.seconds / ROWS, self.load.seconds / 8
        while True:
            bursting = self.load.burst and eighth <= self.env.now < 2 * eighth
            rate = capacity * (self.load.burst if bursting else self.load.utilisation)
            yield self.env.timeout(self.random.expovariate(rate))
            self.env.process(self._insert())

    def _writer(self) -> Process:
        yield self.env.timeout(self.random.random())
        while True:
            yield from self._insert()

    def _insert(self) -> Process:
        arrived, first = self.env.now, self._chunks
        self._chunks += ROWS // CHUNK
        functions = [self.env.process(self._function(first)) for _ in range(self.load.fields)]
        yield self.env.all_of(functions)
        succeeded = all(process.value for process in functions)
        self.outcome.inserts.append((arrived, self.env.now, succeeded))

    def _function(self, first: int) -> Process:
        for number in range(first, first + ROWS // CHUNK):
            if not (yield from self._chunk(number)):
                return False
        return True

    def _chunk(self, number: int) -> Process:
        end = self.env.now + BUDGET
        for attempt in range(self.setting.tries):
            self.outcome.tries[f"try {attempt + 1}"] += 1
            if (yield from self._replica(number).embed(number, end)):
                return True
            if attempt + 1 == self.setting.tries:
                return False
            wait = self.random.uniform(*WAITS[attempt])
            if self.env.now + wait >= end:
                return False
            yield self.env.timeout(wait)
        return False

    def _replica(self, number: int) -> Replica:
        if self.setting.hashing:
            return self.replicas[(number * 2654435761 % (1 << 32)) * len(self.replicas) >> 32]
        fewest = min(replica.open for replica in self.replicas)
        return self.random.choice([replica for replica in self.replicas if replica.open == fewest])

    def _report(self) -> dict[str, Any]:
        outcome, load = self.outcome, self.load
        start = load.seconds / 4
        counted = [insert for insert in outcome.inserts if insert[1] >= start]
        latencies = sorted(end - arrived for arrived, end, succeeded in counted if succeeded)
        late = [succeeded for _, end, succeeded in counted if end >= load.seconds / 2]
        capacity = load.replicas / self.seconds
        passes, ok = sum(one.passes for one in self.replicas), sum(one[2] for one in outcome.inserts)
        return {
            "setting": self.setting.name,
            **asdict(load),
            "goodput": round(len(latencies) * ROWS / (load.seconds - start) / capacity, 3),
            "failed": round(1 - len(latencies) / max(1, len(counted)), 4),
            "failed_in_second_half": round(1 - sum(late) / max(1, len(late)), 4),
            "passes_per_text": round(passes / max(1, ok * ROWS), 2),
            "tries_per_chunk": round(sum(outcome.tries.values()) / max(1, outcome.tries["try 1"]), 3),
            "p50_seconds": round(statistics.median(latencies), 2) if latencies else None,
            "p99_seconds": round(latencies[int(len(latencies) * 0.99)], 2) if latencies else None,
        }


def runs(largest: int) -> Iterator[tuple[Load, Setting]]:
    for replicas in (1, 8, 64):
        if replicas > largest:
            continue
        many, seconds = replicas == 64, {1: 1200.0, 8: 480.0, 64: 240.0}[replicas]
        for setting in SETTINGS[:1] if many else SETTINGS:
            for utilisation in (0.7, 0.9, 1.0, 1.2) if many else (0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5):
                yield Load(replicas, utilisation, seconds=seconds), setting
            if not many:
                yield Load(replicas, 0.6, seconds=seconds, burst=1.6), setting
        for writers in (2,) if many else (1, 2, 4, 8, 16, 32):
            yield Load(replicas, 0.0, seconds=seconds, writers=writers), DEFAULT


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), sharex=True, sharey=True)
    for axis, replicas in zip(axes, (1, 8, 64), strict=True):
        for setting in SETTINGS:
            chosen = [
                row
                for row in rows
                if (row["setting"], row["replicas"], row["burst"], row["writers"])
                == (setting.name, replicas, 0, 0)
            ]
            if chosen:
                axis.plot(
                    [row["utilisation"] for row in chosen],
                    [row["goodput"] for row in chosen],
                    marker="o",
                    markersize=3,
                    label=setting.name,
                )
        axis.plot([0.25, 1.0, 1.5], [0.25, 1.0, 1.0], color="#999", linestyle=":", label="ideal")
        axis.set_title(f"{replicas} replica" + "s" * (replicas > 1), fontsize=10)
        axis.set_xlabel("offered ÷ capacity")
    axes[0].set_ylabel("rows in inserts that succeed ÷ capacity")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replicas", type=int, default=64, help="The most to simulate.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    measured = json.loads((RESULTS / "serve-openvino.json").read_text())
    seconds = 1 / measured["medians"][RATE_KEY]
    rows = []
    for load, setting in runs(options.replicas):
        rows.append(Simulation(load, setting, seconds).run())
        print(rows[-1], flush=True)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "simulated": True,
        "measured": {
            "file": "serve-openvino.json",
            "date": measured["date"],
            "texts_per_second": 1 / seconds,
        },
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
