"""A bridge between real encoders: fitted, served, and searching vectors that the old one made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from integration_tests.fixtures.services import Serve
from tokenizers import Tokenizer

from nestvec.bridge.build import BridgeRequest, BuiltBridge, build_bridge, takes_document_ids
from nestvec.bridge.vectors import PromptedText, embed_map_inputs, embed_texts, read_tokens
from nestvec.cli import cli
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.bridge.token_table import sum_tokens, token_inputs
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.repository import read_manifest, verify_files
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, normalise

NESTVEC = Path(sys.executable).with_name("nestvec")
TEXTS = tuple(dict.fromkeys(text[:200] for text in sample_texts(320)))


@pytest.fixture(scope="module")
def repository(models: Path, static: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``minilm``, 384 dims, and ``wordllama``, 256, in a repository of their own."""
    folder = tmp_path_factory.mktemp("bridged") / "models"
    for source in (models / "minilm", static / "wordllama"):
        shutil.copytree(source, folder / source.name)
    return folder


@pytest.fixture(scope="module")
def built(repository: Path) -> BuiltBridge:
    """WordLlama's vectors by MiniLM; the few steps keep the test short."""
    return build_bridge(BridgeRequest(repository, "wordllama", "minilm", Sample("docs", TEXTS), steps=10))


@pytest.fixture(scope="module")
def service(repository: Path, built: BuiltBridge, serve: Serve) -> str:
    return serve(repository)


def _embed(service: str, query: str, texts: tuple[str, ...]) -> Vectors:
    answer = httpx.post(f"{service}/embed?{query}", json={"inputs": texts}, timeout=120)
    assert answer.status_code == 200, answer.text
    return normalise(np.array(answer.json(), np.float32))


def test_the_new_encoder_s_vectors_and_fingerprint_stay(
    repository: Path, models: Path, built: BuiltBridge, service: str
) -> None:
    before, after = read_manifest(models / "minilm"), read_manifest(repository / "minilm")
    assert encoder_fingerprint(after) == encoder_fingerprint(before)
    verify_files(repository / "minilm", after)
    assert _embed(service, "encoder=minilm", TEXTS[:4]).shape == (4, 384)


def test_served_vectors_are_the_fitted_map_of_the_encoder_s_own_and_of_tokens(
    repository: Path, built: BuiltBridge, service: str
) -> None:
    """WordLlama's vectors are of words, so that a map which reads them is nearest."""
    assert built.bridge.method.endswith(", with tokens")
    tokens, tokenizer = built.fit.maps.tokens, Tokenizer.from_file(str(repository / "minilm/tokenizer.json"))
    assert tokens is not None
    tokenizer.no_padding()
    texts = [encoding.ids for encoding in tokenizer.encode_batch(list(TEXTS[:16]))]
    own = np.concatenate([_embed(service, "encoder=minilm", TEXTS[:16]), sum_tokens(tokens, texts)], axis=1)
    bridged = _embed(service, "encoder=minilm&as=wordllama", TEXTS[:16])
    np.testing.assert_allclose(bridged, built.fit.maps.documents(own), atol=2e-3)


def test_tokens_are_read_as_the_graph_sums_them(models: Path) -> None:
    """On both sides of a search; the last text is truncated."""
    tokens = np.random.default_rng(0).standard_normal((30522, 8)).astype(np.float16)
    probes = [PromptedText(text, "document") for text in TEXTS[:3]]
    probes += [PromptedText(TEXTS[3], "query"), PromptedText("wing " * 2000, "document")]
    _, sums = embed_map_inputs(models / "minilm", "wordllama", tokens, probes)
    np.testing.assert_allclose(sums, sum_tokens(tokens, read_tokens(models / "minilm", probes)), atol=1e-3)


def test_a_piece_of_a_word_is_embedded_by_its_id(models: Path) -> None:
    """Its text would be tokenized as a word."""
    folder = models / "minilm"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert takes_document_ids(read_manifest(folder), folder)
    inputs = token_inputs(tokenizer, tokenizer)
    ids = inputs[tokenizer.token_to_id("##ing")]
    session = onnxruntime.InferenceSession(folder / "1/model.onnx")
    arrays = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, 3), np.int64)}
    arrays["token_type_ids"] = np.zeros_like(arrays["input_ids"])
    (expected,) = session.run(None, {item.name: arrays[item.name] for item in session.get_inputs()})
    by_id, by_text = embed_texts(folder, [PromptedText(value, "document") for value in (ids, "ing")])
    np.testing.assert_allclose(by_id, normalise(expected)[0], atol=1e-5)
    assert by_id @ by_text < 0.9


@pytest.mark.parametrize("dim", [256, 64])
def test_texts_find_themselves_among_old_vectors(service: str, dim: int) -> None:
    """By vectors of the new encoder, in a gallery of the old one's: chance is 1 in 300."""
    old = _embed(service, f"encoder=wordllama&dim={dim}", TEXTS[:200])
    new = _embed(service, f"encoder=minilm&as=wordllama&dim={dim}", TEXTS[:200])
    assert ((new @ old.T).argmax(axis=1) == np.arange(200)).mean() > 0.5


@pytest.mark.nightly
def test_a_compatible_version_needs_no_map(
    models: Path, minilm_checkpoint: Path, repository: Path, tmp_path: Path
) -> None:
    """Trained for some steps in the space of the first version, exported as the second, and served as it."""
    shutil.copytree(models / "minilm", tmp_path / "models" / "minilm")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    words = ["adapt", str(minilm_checkpoint), "--to", str(tmp_path / "v2"), "--texts", str(corpus)]
    words += ["--compatible-with", str(tmp_path / "models" / "minilm"), "--steps", "8", "--max-tokens", "64"]
    done = subprocess.run([NESTVEC, *words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    layer = str(record["layers"][0])
    for dim, figure in record["after"]["on_old"][layer].items():
        assert figure >= 0.99 * record["before"]["on_old"][layer][dim]
    export(ExportOptions(str(tmp_path / "v2"), tmp_path / "models", "minilm:2", verify="quick"))
    request = BridgeRequest(tmp_path / "models", "minilm", "minilm:2", Sample("docs", TEXTS), steps=2)
    bridge = build_bridge(request).bridge
    assert bridge.method == "identity"
    assert bridge.quality[384] > 0.97


def test_too_small_a_sample_is_refused_and_changes_nothing(
    repository: Path, service: str, tmp_path: Path
) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text("\n".join(" ".join(text.split()) for text in TEXTS[:50]))
    arguments = ["bridge", "wordllama", "minilm", "--sample", str(sample), "--to", str(repository)]
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exception is not None
    assert "too few distinct texts" in str(refused.exception)
    assert set(read_manifest(repository / "minilm").bridges.maps) == {"wordllama"}  # type: ignore[union-attr]
    assert json.loads((repository / "minilm" / "encoder.json").read_text())["bridges"]["selected"] is None
