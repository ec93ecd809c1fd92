"""The same searches through a real Milvus, in collections that are gone afterwards."""

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

from nestvec.evaluate.forms import Coding, Cut, prepare
from nestvec.evaluate.measuring import OpenIndex
from nestvec.evaluate.search import Found, Index, Probe, based
from nestvec.milvus import connect, milvus_errors
from nestvec_schemas.compressed import sign_bits
from nestvec_schemas.errors import StoreError, StoreRefused
from nestvec_schemas.vectors import Vectors, normalise, to_int8, truncate

_ROWS = 1000
_QUERIES = 64

_FIELDS: dict[Coding, tuple[Any, str, str]] = {
    "float": (DataType.FLOAT_VECTOR, "FLAT", "COSINE"),
    "int8": (DataType.INT8_VECTOR, "AUTOINDEX", "COSINE"),
    "binary": (DataType.BINARY_VECTOR, "BIN_FLAT", "HAMMING"),
}
"""Field type, index and metric of each coding. Milvus has no exact index of int8 fields."""


@contextmanager
def milvus_indexes(uri: str | None, token: str = "") -> Iterator[OpenIndex]:
    """What opens indexes in the Milvus at ``uri``; None is a Milvus Lite database that is gone at the end.

    Raises StoreUnreachable.
    """
    with tempfile.TemporaryDirectory(prefix="nestvec-evaluate-") as folder:
        place = uri or str(Path(folder) / "evaluate.db")
        with connect(place, token=token, create=uri is None) as client:

            @contextmanager
            def open_index(documents: Vectors, rotation: Vectors | None) -> Iterator[Index]:
                index = MilvusIndex(client, documents, rotation)
                try:
                    yield index
                finally:
                    index.drop()

            yield open_index


class MilvusIndex:
    """A temporary collection for each cut: a server before 2.4 has one vector field a collection."""

    def __init__(self, client: MilvusClient, documents: Vectors, rotation: Vectors | None) -> None:
        self._client, self._documents, self._rotation = client, documents, rotation
        self._whole = Cut("float", documents.shape[1])
        self._collections: dict[Cut, str] = {}

    def search(self, probes: Sequence[Probe], k: int, advance: Callable[[int], None]) -> list[Found | None]:
        """See the protocol."""
        answers: list[Found | None] = [None] * len(probes)
        for cut in dict.fromkeys(probe.cut for probe in probes):
            asked = [at for at, probe in enumerate(probes) if probe.cut == cut]
            if self._offered(cut):
                for at in asked:
                    vectors = _wire(based(probes[at].queries, cut, self._rotation), cut)
                    answers[at] = self._nearest(cut, vectors, k)
            if cut != self._whole:
                self._drop(cut)
            advance(len(asked))
        return answers

    def rescore(self, queries: Vectors, candidates: Found) -> Found:
        """See the protocol: a second search among the candidates' ids."""
        self._offered(self._whole)
        ordered = np.full_like(candidates, -1)
        for row, (query, numbers) in enumerate(zip(normalise(queries), candidates, strict=True)):
            there = [int(number) for number in numbers if number >= 0]
            found = self._nearest(self._whole, [query], len(there), f"id in {there}")
            ordered[row, : found.shape[1]] = found[0]
        return ordered

    def drop(self) -> None:
        """Drop every collection that is still there; what cannot be dropped does not hide another error."""
        for cut in list(self._collections):
            with contextlib.suppress(StoreError):
                self._drop(cut)

    def _drop(self, cut: Cut) -> None:
        name = self._collections.pop(cut, None)
        if name is not None:
            with milvus_errors(f"dropping the temporary collection {name}"):
                self._client.drop_collection(name)

    def _offered(self, cut: Cut) -> bool:
        """Fill a collection for ``cut`` unless it is there; False where the server has no such field."""
        if cut in self._collections:
            return True
        if cut.coding == "binary" and cut.dim % 8:
            return False
        name = f"nestvec_evaluate_{uuid.uuid4().hex}"
        self._collections[cut] = name
        try:
            self._create(name, cut)
        except StoreRefused:
            if cut.coding == "float":
                raise
            self._drop(cut)
            return False
        for start in range(0, len(self._documents), _ROWS):
            block = np.asarray(self._documents[start : start + _ROWS])
            vectors = _wire(based(block, cut, self._rotation), cut)
            rows = [{"id": start + at, "vector": vector} for at, vector in enumerate(vectors)]
            with milvus_errors(f"inserting into the temporary collection {name}"):
                self._client.insert(name, rows)
        return True

    def _create(self, name: str, cut: Cut) -> None:
        kind, index, metric = _FIELDS[cut.coding]
        with milvus_errors(f"a temporary collection of {cut.coding} vectors"):
            schema = MilvusClient.create_schema(auto_id=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", kind, dim=cut.dim)
            params = MilvusClient.prepare_index_params()
            params.add_index("vector", index_type=index, metric_type=metric)
            self._client.create_collection(
                name, schema=schema, index_params=params, consistency_level="Strong"
            )

    def _nearest(self, cut: Cut, vectors: Sequence[Any], k: int, condition: str = "") -> Found:
        name, (_, _, metric) = self._collections[cut], _FIELDS[cut.coding]
        found = np.full((len(vectors), k), -1, np.int64)
        for start in range(0, len(vectors), _QUERIES):
            with milvus_errors(f"a search in the temporary collection {name}"):
                answers = self._client.search(
                    name,
                    data=list(vectors[start : start + _QUERIES]),
                    anns_field="vector",
                    limit=k,
                    filter=condition,
                    search_params={"metric_type": metric},
                )
            for row, hits in enumerate(answers, start):
                numbers = [int(hit["id"]) for hit in hits]
                found[row, : len(numbers)] = numbers
        return found


def _wire(vectors: Vectors, cut: Cut) -> Sequence[Any]:
    """Vectors as pymilvus takes them for a field of this coding."""
    if cut.coding == "int8":
        return list(to_int8(truncate(vectors, cut.dim)))
    if cut.coding == "binary":
        return [row.tobytes() for row in sign_bits(truncate(vectors, cut.dim))]
    return list(prepare(vectors, cut))
