"""A BEIR folder (Thakur et al. 2021): ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/test.tsv``, checked.

The corpus is read line by line and never held in memory; of its ids, only the judged ones are.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from nestvec.datasets.qrels import Qrels, read_qrels
from nestvec_schemas.errors import DatasetUnusable, nearest
from nestvec_schemas.towers import Modality

CORPUS = "corpus.jsonl"
QUERIES = "queries.jsonl"
QRELS = "qrels/test.tsv"

Side = Literal["query", "document"]

PAIRS = "pairs.jsonl"
"""What a set of captioned images has instead; see ``image_pairs``."""

_RECORD_FORMAT = '{"_id": "…", "title": "…", "text": "…"}; title is optional.'
_TEXTS: Final[Mapping[Side, Modality]] = {"query": "text", "document": "text"}
_MAX_LINE_BYTES = 16 << 20
_LAYOUT = (
    f"A dataset is a folder with {CORPUS}, {QUERIES} and {QRELS} (BEIR's layout), or one of images with "
    f"{PAIRS}."
)


@dataclass(frozen=True)
class JudgedQueries:
    """The queries that have judgements, q of them, in the order of their file."""

    ids: tuple[str, ...]

    inputs: tuple[str, ...]
    """Texts, or ``file:`` addresses of images."""

    qrels: Qrels
    """A query's id to the judgements of documents, by their number."""

    own_documents: NDArray[np.int64]
    """(q,): the number of the document that is the query itself (same id and text), which searches ignore; -1
    without one, or if it is judged relevant."""

    unjudged: int = 0
    """Queries in the file without judgements."""

    def first(self, count: int) -> JudgedQueries:
        """The first ``count`` of them."""
        ids = self.ids[:count]
        qrels = {name: self.qrels[name] for name in ids}
        return JudgedQueries(ids, self.inputs[:count], qrels, self.own_documents[:count])


@dataclass(frozen=True)
class Dataset:
    """Queries, documents and judgements to measure encoders on."""

    name: str
    queries: JudgedQueries

    document_count: int
    """Documents in the corpus, numbered in the order of their lines."""

    read_corpus: Callable[[], Iterator[str]]
    """Reads the documents again: texts, or ``file:`` addresses of images."""

    digests: Mapping[Side, str]
    """SHA-256 of each side's inputs."""

    towers: Mapping[Side, Modality] = field(default_factory=lambda: _TEXTS)
    """The modality of each side."""

    language: str | None = None
    """The captions' language in a set with several; None for the set's own."""

    @property
    def direction(self) -> str | None:
        """``text→image`` or ``image→text``; None for a set of texts."""
        query_tower, document_tower = self.towers["query"], self.towers["document"]
        return None if query_tower == document_tower else f"{query_tower}→{document_tower}"

    def inputs(self, side: Side) -> Iterable[str]:
        """The inputs of a side, in order."""
        return self.queries.inputs if side == "query" else self.read_corpus()

    def count(self, side: Side) -> int:
        """The number of inputs of a side."""
        return len(self.queries.ids) if side == "query" else self.document_count


@dataclass(frozen=True)
class _Corpus:
    documents: int
    digest: str
    judged: Mapping[str, int]
    own: Mapping[str, int]


def open_dataset(folder: Path) -> Dataset:
    """Read and check a dataset. Raises DatasetUnusable with file and line."""
    for name in (CORPUS, QUERIES, QRELS):
        if not (folder / name).is_file():
            files = sorted(str(key.relative_to(folder)) for key in folder.glob("**/*") if key.is_file())[:100]
            raise DatasetUnusable(
                f"{folder} is not a dataset",
                value=f"{name} is missing",
                next_step=_LAYOUT + nearest(name, files),
            )
    judgements = read_qrels(folder / QRELS)
    texts = _queries(folder / QUERIES)
    _check_known(folder, "query", {key: line for key, line in judgements.queries.items() if key not in texts})
    corpus = _corpus(
        folder / CORPUS, judgements.documents.keys(), {key: texts[key] for key in judgements.qrels}
    )
    missing = {key: line for key, line in judgements.documents.items() if key not in corpus.judged}
    _check_known(folder, "document", missing)
    ids = tuple(key for key in texts if key in judgements.qrels)
    inputs = tuple(texts[key] for key in ids)
    queries = JudgedQueries(
        ids=ids,
        inputs=inputs,
        qrels={
            key: {str(corpus.judged[document]): score for document, score in judgements.qrels[key].items()}
            for key in ids
        },
        own_documents=np.array(
            [-1 if judgements.qrels[key].get(key, 0) > 0 else corpus.own.get(key, -1) for key in ids],
            np.int64,
        ),
        unjudged=len(texts) - len(ids),
    )
    return Dataset(
        name=folder.resolve().name,
        queries=queries,
        document_count=corpus.documents,
        read_corpus=partial(_documents, folder / CORPUS),
        digests={"query": digest_of(inputs), "document": corpus.digest},
    )


def digest_of(inputs: Sequence[str]) -> str:
    """SHA-256 of texts in this order, in hexadecimal."""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _documents(path: Path) -> Iterator[str]:
    """The text of each document: title, a space, text, as in BEIR."""
    for _, _, text in _records(path):
        yield text


def _check_known(folder: Path, what: str, unknown: Mapping[str, int]) -> None:
    if unknown:
        name, line = min(unknown.items(), key=lambda item: item[1])
        file = QUERIES if what == "query" else CORPUS
        raise DatasetUnusable(
            f"{folder / QRELS} judges {len(unknown)} {'queries' if what == 'query' else 'documents'} "
            f"that {file} does not have; line {line} names one",
            value=name,
            next_step=f"Add them to {file}, or remove these lines.",
        )


def _queries(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for line, name, text in _records(path):
        if name in texts:
            raise duplicate_id(path, line, name)
        texts[name] = text
    if not texts:
        raise DatasetUnusable(f"{path} has no queries", next_step="Write at least one line.")
    return texts


def _corpus(path: Path, judged_ids: Set[str], queries: Mapping[str, str]) -> _Corpus:
    """Count, digest and check the corpus in one pass, and find the numbers of ``judged_ids``."""
    digest, keys = hashlib.sha256(), array("Q")
    judged: dict[str, int] = {}
    own: dict[str, int] = {}
    for _, name, text in _records(path, digest):
        if name in judged_ids:
            judged.setdefault(name, len(keys))
        if queries.get(name) and text.endswith(queries[name]):
            own[name] = len(keys)
        keys.append(_key(name))
    if not keys:
        raise DatasetUnusable(f"{path} has no documents", next_step="Write at least one line.")
    _check_distinct(path, keys)
    return _Corpus(len(keys), digest.hexdigest(), judged, own)


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _check_distinct(path: Path, keys: array[int]) -> None:
    """Raise DatasetUnusable for a repeated id.

    A corpus may be very large, so that only eight bytes per id are held; ids with the same key are compared
    again.
    """
    ordered = np.sort(np.frombuffer(keys, np.uint64))
    repeated_keys = {int(key) for key in ordered[1:][ordered[1:] == ordered[:-1]]}
    names: set[str] = set()
    for line, name, _ in _records(path) if repeated_keys else ():
        if _key(name) in repeated_keys:
            if name in names:
                raise duplicate_id(path, line, name)
            names.add(name)


def duplicate_id(path: Path, line: int, name: str) -> DatasetUnusable:
    """The error for a line that repeats an id."""
    return DatasetUnusable(f"line {line} of {path} repeats an id", value=name, next_step="Use each _id once.")


def _records(path: Path, digest: hashlib._Hash | None = None) -> Iterator[tuple[int, str, str]]:
    """Line number, id and text (after the title, if there is one) of each line that is not blank."""
    for line, raw in read_lines(path, digest):
        yield line, *_record(path, line, raw)


def read_lines(path: Path, digest: hashlib._Hash | None = None) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line that is not blank; all are added to ``digest``. Raises
    DatasetUnusable."""
    try:
        with path.open("rb") as file:
            for line, raw in _lines(path, file):
                if digest is not None:
                    digest.update(raw)
                if raw.strip():
                    yield line, raw
    except OSError as error:
        raise DatasetUnusable(
            f"{path} cannot be read", value=error.strerror or str(error), next_step=_LAYOUT
        ) from error


def _lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    line = 0
    while raw := file.readline(_MAX_LINE_BYTES + 1):
        line += 1
        if line == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if len(raw) > _MAX_LINE_BYTES:
            raise DatasetUnusable(
                f"line {line} of {path} is longer than 16 MiB", next_step="Write one record per line."
            )
        yield line, raw


def _record(path: Path, line: int, raw: bytes) -> tuple[str, str]:
    name, fields = read_record(path, line, raw, _RECORD_FORMAT)
    title, text = fields.get("title"), fields.get("text")
    if not isinstance(text, str) or not isinstance(title, (str, type(None))):
        raise malformed_record(path, line, "its text or title is not a string", raw, _RECORD_FORMAT)
    return name, f"{title or ''} {text}".strip()


def read_record(path: Path, line: int, raw: bytes, format: str) -> tuple[str, dict[str, Any]]:
    """A line's ``_id`` and its fields. Raises DatasetUnusable, which shows the ``format`` of a line."""
    try:
        fields = orjson.loads(raw)
    except ValueError as error:
        raise DatasetUnusable(
            f"line {line} of {path} is not JSON",
            value=str(error),
            next_step="Write one JSON object per line.",
        ) from error
    if not isinstance(fields, dict):
        raise malformed_record(path, line, "it is not an object", raw, format)
    name = fields.get("_id")
    if isinstance(name, bool) or not isinstance(name, (str, int)) or name == "":
        raise malformed_record(path, line, "it has no _id", raw, format)
    return str(name), fields


def malformed_record(path: Path, line: int, cause: str, raw: bytes, format: str) -> DatasetUnusable:
    """The error for a line that is not in ``format``."""
    return DatasetUnusable(
        f"line {line} of {path} is not a record: {cause}",
        value=raw.decode("utf-8", "replace").strip(),
        next_step=f"Write {format}",
    )
