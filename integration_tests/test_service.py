"""The real service, in a process of its own, with the real encoder."""

from __future__ import annotations

import base64
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from sentence_transformers import SentenceTransformer

from nestvec.service.server import bind
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.vectors import cosines, nest

NESTVEC = Path(sys.executable).with_name("nestvec")
TEXTS = sample_texts(100)


@pytest.fixture(scope="module")
def process(models: Path) -> Iterator[subprocess.Popen[str]]:
    command = [NESTVEC, "serve", "--models", models, "--port", "0", "--precision", "fp32"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        yield started
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 0
        assert started.stderr is not None
        assert started.stderr.read() == ""


@pytest.fixture(scope="module")
def service(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert process.stdout.readline().startswith("minilm: ")
    assert process.stdout.readline().startswith("Engine: openvino ")
    found = re.fullmatch(r"Serving at (http://\S+) \(.*/docs\)\n", process.stdout.readline())
    assert found
    return found[1]


@pytest.fixture(scope="module")
def own(minilm_checkpoint: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return SentenceTransformer(str(minilm_checkpoint), device="cpu").encode(list(TEXTS))


@pytest.mark.parametrize("dim", [384, 128, 100])
def test_vectors_over_http_are_the_checkpoints_own(
    service: str, own: np.ndarray[tuple[int, ...], np.dtype[np.float32]], dim: int
) -> None:
    answer = httpx.post(f"{service}/embed?encoder=minilm&dim={dim}", json={"inputs": TEXTS}, timeout=60)
    assert cosines(np.array(answer.json()), nest(own, dim)).min() > 0.99999


def test_a_lone_text_has_the_vector_it_has_in_a_batch(
    service: str, own: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    # The trailing space changes what is remembered, not the tokens.
    alone = [
        httpx.post(f"{service}/embed", json={"inputs": f"{text} "}, timeout=60).json()[0]
        for text in TEXTS[:5]
    ]
    assert cosines(np.array(alone), own[:5]).min() > 0.99999


def test_both_encodings_of_the_openai_face_are_the_same_numbers(service: str) -> None:
    client = openai.OpenAI(base_url=f"{service}/v1", api_key="none")
    kinds = [
        client.embeddings.create(input=list(TEXTS[:9]), model="minilm", dimensions=64, encoding_format=kind)
        for kind in ("float", "base64")
    ]
    floats = np.float32([one.embedding for one in kinds[0].data])
    packed = [np.frombuffer(base64.b64decode(str(one.embedding)), "<f4") for one in kinds[1].data]
    assert np.array_equal(floats, packed)


def test_a_port_in_use_ends_with_1(models: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        command = [NESTVEC, "serve", "--models", models, "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "another program listens on this port" in done.stderr
