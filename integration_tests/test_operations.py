"""``nestvec serve`` as it is operated: keys, logs, metrics and signals, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import orjson
import pytest

from nestvec_schemas.samples.docstrings import sample_texts

NESTVEC = Path(sys.executable).with_name("nestvec")
HANG_SECONDS = 240.0
TEXTS = [f"{number} {text[:120]}" for number, text in enumerate(sample_texts(400))]


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[str]
    service: str
    log: IO[str]
    """Of what it writes to standard error."""


@contextmanager
def running(models: Path, *options: str | Path) -> Iterator[Running]:
    command = [NESTVEC, "-v", "serve", "--models", models, "--port", "0", *options]
    # A file: a pipe that nobody reads would stop the service once some hundreds of requests are logged.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            line = ""
            while not line.startswith("Serving at "):
                line = process.stdout.readline()
                assert line
            yield Running(process, line.split()[2], log)
        finally:
            process.kill()


def ended(one: Running) -> list[str]:
    """The lines that a process, told to end, has written; it must have ended well."""
    status = one.process.wait(HANG_SECONDS)
    one.log.seek(0)
    lines = one.log.read().splitlines()
    assert status == 0, lines[-20:]
    return lines


def post(service: str, texts: Sequence[str], key: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{service}/embed", json={"inputs": texts}, headers=headers, timeout=120)


def metric(service: str, name: str) -> int:
    return metrics(service, name)[0]


def metrics(service: str, *names: str) -> list[int]:
    """Of one moment."""
    lines = httpx.get(f"{service}/metrics", timeout=HANG_SECONDS).text.splitlines()
    values = list[int]()
    for name in names:
        (line,) = [one for one in lines if one.startswith(f"{name}{{")]
        values.append(int(float(line.split()[-1])))
    return values


def until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG_SECONDS
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_signal_under_load_loses_nothing_that_was_taken(models: Path) -> None:
    # One client: 50 of them take longer to be made than their texts to be embedded, and leave no queue.
    client = httpx.Client(timeout=HANG_SECONDS)
    with client, running(models) as one, ThreadPoolExecutor(50) as pool:
        post(one.service, ["warm"])
        requests = [TEXTS[at * 8 : at * 8 + 8] for at in range(50)]
        bodies = ({"inputs": texts} for texts in requests)
        answers = [pool.submit(client.post, f"{one.service}/embed", json=body) for body in bodies]
        taken, queued = 1 + sum(len(set(texts)) for texts in requests), 0

        def all_are_taken() -> bool:
            nonlocal queued
            count, queued = metrics(one.service, "te_embed_count", "te_queue_size")
            return count == taken

        until(all_are_taken)
        assert queued > 0
        one.process.send_signal(signal.SIGTERM)
        assert [answer.result().status_code for answer in answers] == [200] * 50
        lines = ended(one)
        with pytest.raises(httpx.ConnectError):
            post(one.service, ["late"])
    assert sum("POST /embed 200, 8 texts" in line for line in lines) == 50


def test_a_second_signal_does_not_wait(models: Path) -> None:
    texts = [f"{text} {number}" for number in range(10) for text in TEXTS[:200]]
    with running(models) as one, ThreadPoolExecutor(1) as pool:
        post(one.service, ["warm"])
        asked = pool.submit(post, one.service, texts)
        until(lambda: metric(one.service, "te_queue_size") > 1000)
        one.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            one.process.wait(0.3)
        one.process.send_signal(signal.SIGTERM)
        ended(one)
        with pytest.raises(httpx.HTTPError):
            asked.result().raise_for_status()


def test_keys_rotate_and_the_log_keeps_quiet(models: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("old-key\n")
    keys.chmod(0o600)
    with running(models, "--api-keys", keys, "--log-format", "json") as one:
        assert post(one.service, ["a confidential text"]).status_code == 401
        assert post(one.service, ["a confidential text"], "old-key").status_code == 200
        keys.write_text("new-key\n")
        until(lambda: post(one.service, ["a confidential text"], "new-key").status_code == 200)
        assert post(one.service, ["a confidential text"], "old-key").status_code == 401
        assert httpx.get(f"{one.service}/health").status_code == 200
        one.process.send_signal(signal.SIGINT)
        lines = [orjson.loads(line) for line in ended(one)]
    access = [line for line in lines if line["logger"] == "nestvec.access"]
    assert {line["status"] for line in access} == {200, 401}
    written = repr(lines)
    assert not [secret for secret in ("old-key", "new-key", "confidential") if secret in written]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tls-cert", "cert.pem"], "TLS needs a certificate and its key"),
        (["--api-keys", "absent.txt"], "the file of API keys absent.txt cannot be read"),
        (["--otlp-endpoint", "collector"], "the address for traces is not an http or https URL: collector"),
    ],
)
def test_what_keeps_a_service_from_starting(models: Path, options: list[str], message: str) -> None:
    command = [NESTVEC, "serve", "--models", models, "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Serving at" not in done.stdout


def test_a_hangup_takes_up_the_options_of_the_config_file(models: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("max-inputs: 2048\n")
    with running(models, "--config", config, "--log-format", "json") as one:
        assert post(one.service, ["a", "b"]).status_code == 200
        config.write_text("max-inputs: 1\nthreads: 1\n")
        one.process.send_signal(signal.SIGHUP)
        until(lambda: post(one.service, ["a", "b"]).status_code == 422)
        assert post(one.service, ["a"]).status_code == 200
        config.write_text("max-inputs: 0\n")
        one.process.send_signal(signal.SIGHUP)
        config.write_text("max-inputs: 2\nthreads: 1\n")
        one.process.send_signal(signal.SIGHUP)
        until(lambda: post(one.service, ["a", "b"]).status_code == 200)
        one.process.send_signal(signal.SIGTERM)
        messages = [orjson.loads(line)["message"] for line in ended(one)]
    assert "option max-inputs changed" in messages
    assert "option threads has changed too, and needs a restart" in messages
