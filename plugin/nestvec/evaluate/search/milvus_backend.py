"""Searches through a real Milvus, in temporary collections."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from nestvec.evaluate.search.exact import OpenIndex, QuerySet, Ranking, VectorIndex, unrotate
from nestvec.evaluate.search.forms import Coding, VectorForm, prepare
from nestvec.milvus.address import ConnectSettings
from nestvec.milvus.connection import milvus_errors, open_milvus
from nestvec_schemas.binary_codes import sign_bits
from nestvec_schemas.errors import StoreError, StoreRefused
from nestvec_schemas.vectors import Vectors, normalise, to_int8, truncate

_INSERT_ROWS = 1000
_SEARCH_QUERIES = 64
_MAX_EF = 32_768
"""Candidates of a search that servers accept."""

_FIELDS: dict[Coding, tuple[Any, str, str]] = {
    "float": (DataType.FLOAT_VECTOR, "FLAT", "COSINE"),
    "int8": (DataType.INT8_VECTOR, "AUTOINDEX", "COSINE"),
    "binary": (DataType.BINARY_VECTOR, "BIN_FLAT", "HAMMING"),
}
"""Field type, index and metric of each coding. Milvus has no exact index for int8 fields."""


@contextmanager
def milvus_indexes(
    uri: str | None, token: str = "", *, database: str = "", settings: ConnectSettings | None = None
) -> Iterator[OpenIndex]:
    """Opens indexes in the Milvus at ``uri``; None is a temporary Milvus Lite database.

    Raises StoreUnreachable.
    """
    with tempfile.TemporaryDirectory(prefix="nestvec-evaluate-") as folder:
        place = uri or str(Path(folder) / "evaluate.db")
        with open_milvus(
            place, token=token, database=database, create=uri is None, settings=settings
        ) as client:

            @contextmanager
            def open_index(documents: Vectors, rotation: Vectors | None) -> Iterator[VectorIndex]:
                index = MilvusIndex(client, documents, rotation)
                try:
                    yield index
                finally:
                    index.drop()

            yield open_index


class MilvusIndex:
    """One temporary collection per form: servers before 2.4 allow one vector field per collection."""

    def __init__(self, client: MilvusClient, documents: Vectors, rotation: Vectors | None) -> None:
        self._client, self._documents, self._rotation = client, documents, rotation
        self._whole = VectorForm("float", documents.shape[1])
        self._collections: dict[VectorForm, str] = {}

    def search(
        self, probes: Sequence[QuerySet], k: int, advance: Callable[[int], None]
    ) -> list[Ranking | None]:
        """See VectorIndex."""
        answers: list[Ranking | None] = [None] * len(probes)
        for form in dict.fromkeys(probe.form for probe in probes):
            positions = [at for at, probe in enumerate(probes) if probe.form == form]
            if self._ensure_collection(form):
                for at in positions:
                    vectors = _wire(unrotate(probes[at].queries, form, self._rotation), form)
                    answers[at] = self._nearest(form, vectors, k)
            if form != self._whole:
                self._drop(form)
            advance(len(positions))
        return answers

    def rescore(self, queries: Vectors, candidates: Ranking) -> Ranking:
        """See VectorIndex: a second search among the candidates' ids."""
        self._ensure_collection(self._whole)
        ordered = np.full_like(candidates, -1)
        for row, (query, numbers) in enumerate(zip(normalise(queries), candidates, strict=True)):
            candidate_ids = [int(number) for number in numbers if number >= 0]
            ranking = self._nearest(self._whole, [query], len(candidate_ids), f"id in {candidate_ids}")
            ordered[row, : ranking.shape[1]] = ranking[0]
        return ordered

    def drop(self) -> None:
        """Drop the remaining collections; an error here does not hide an earlier one."""
        for form in list(self._collections):
            with contextlib.suppress(StoreError):
                self._drop(form)

    def _drop(self, form: VectorForm) -> None:
        name = self._collections.pop(form, None)
        if name is not None:
            with milvus_errors(f"dropping the temporary collection {name}"):
                self._client.drop_collection(name)

    def _ensure_collection(self, form: VectorForm) -> bool:
        """Fill a collection for ``form`` unless it exists; False if the server does not support the field."""
        if form in self._collections:
            return True
        if form.coding == "binary" and form.dim % 8:
            return False
        name = f"nestvec_evaluate_{uuid.uuid4().hex}"
        self._collections[form] = name
        try:
            self._create(name, form)
        except StoreRefused:
            if form.coding == "float":
                raise
            self._drop(form)
            return False
        for start in range(0, len(self._documents), _INSERT_ROWS):
            block = np.asarray(self._documents[start : start + _INSERT_ROWS])
            vectors = _wire(unrotate(block, form, self._rotation), form)
            rows = [{"id": start + at, "vector": vector} for at, vector in enumerate(vectors)]
            with milvus_errors(f"inserting into the temporary collection {name}"):
                self._client.insert(name, rows)
        return True

    def _create(self, name: str, form: VectorForm) -> None:
        kind, index, metric = _FIELDS[form.coding]
        with milvus_errors(f"creating a temporary collection of {form.coding} vectors"):
            schema = MilvusClient.create_schema(auto_id=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", kind, dim=form.dim)
            params = MilvusClient.prepare_index_params()
            params.add_index("vector", index_type=index, metric_type=metric)
            self._client.create_collection(
                name, schema=schema, index_params=params, consistency_level="Strong"
            )

    def _nearest(self, form: VectorForm, vectors: Sequence[Any], k: int, condition: str = "") -> Ranking:
        name, (_, index, metric) = self._collections[form], _FIELDS[form.coding]
        # A graph visits 64 candidates or so, whatever k is, unless it is told to visit more.
        params = {} if "FLAT" in index else {"ef": min(_MAX_EF, 8 * k + 1024)}
        ranking = np.full((len(vectors), k), -1, np.int64)
        for start in range(0, len(vectors), _SEARCH_QUERIES):
            with milvus_errors(f"searching the temporary collection {name}"):
                answers = self._client.search(
                    name,
                    data=list(vectors[start : start + _SEARCH_QUERIES]),
                    anns_field="vector",
                    limit=k,
                    filter=condition,
                    search_params={"metric_type": metric} | ({"params": params} if params else {}),
                )
            for row, hits in enumerate(answers, start):
                numbers = [int(hit["id"]) for hit in hits]
                ranking[row, : len(numbers)] = numbers
        return ranking


def _wire(vectors: Vectors, form: VectorForm) -> Sequence[Any]:
    """Vectors in the types that pymilvus takes for a field of this coding."""
    if form.coding == "int8":
        return list(to_int8(truncate(vectors, form.dim)))
    if form.coding == "binary":
        return [row.tobytes() for row in sign_bits(truncate(vectors, form.dim))]
    return list(prepare(vectors, form))
