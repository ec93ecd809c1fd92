"""What the plan of a change needs to know of a collection and its services."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

from pymilvus import MilvusClient

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed
from nestvec.client.service_key import environment_api_key
from nestvec.collections.change.definition import Change
from nestvec.collections.change.plan import Measured
from nestvec.collections.change.rows import Row, RowReader
from nestvec.ingest.convert import request_bytes
from nestvec.ingest.target import client_target
from nestvec.milvus.connection import milvus_errors

_SAMPLED_TEXTS: Final = 32


def measure(client: MilvusClient, reader: RowReader, rows: int, change: Change) -> Measured:
    """What a plan needs to know of a collection and its services. Raises ServiceError, StoreError."""
    with milvus_errors(f"reading {reader.collection}"):
        sample: list[Row] = list(
            client.query(reader.collection, filter="", limit=_SAMPLED_TEXTS, output_fields=["*"])
        )
    scalars = {column.name for column in reader.table.columns if not column.is_vector}
    sizes = [request_bytes({name: row[name] for name in row if name in scalars}) for row in sample]
    seconds = None
    for new in change.fields.values():
        texts = [str(row[new.source]) for row in sample if row.get(new.source)]
        if texts and new.config.form == "float":
            began = time.perf_counter()
            list(embed(EmbeddingRequest(new.service, new.config), texts, environment_api_key()))
            seconds = (time.perf_counter() - began) / len(texts)
            break
    return Measured(rows, sum(sizes) / max(len(sizes), 1), seconds, _free_bytes(client))


def _free_bytes(client: MilvusClient) -> int | None:
    place = client_target(client).partition("#")[0]
    if not place.endswith(".db"):
        return None
    try:
        return shutil.disk_usage(Path(place).parent).free
    except OSError:
        return None
