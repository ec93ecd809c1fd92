"""A callable that adds vectors to batches of a table: of Ray Data, of pandas, of Spark through pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nestvec.bulk.embedding import EngineEmbedding, ServiceEmbedding, TextEmbedding, VectorOutput
from nestvec.engines.factory import EngineName, EngineOptions
from nestvec_schemas.embedding_config import EmbeddingConfig, Form
from nestvec_schemas.errors import RowRejected
from nestvec_schemas.model_name import parse_model_name


@dataclass(frozen=True, eq=False)
class Embed:
    """Adds the columns ``vector_64``, ``vector_384``, … to batches: one pass for all of them.

    It takes and returns what Ray Data calls ``numpy`` (a mapping of arrays), ``pandas`` and ``pyarrow``, and
    the RecordBatch of Spark's ``mapInArrow``. A pandas Series of texts becomes a data frame of the vectors
    alone. Each process loads the engine once, whatever the number of batches, and it pickles without it.
    """

    encoder: str
    """Its name, perhaps with an exit or expert: ``minilm@3``."""

    dims: Sequence[int] = ()
    """Lengths of the vectors; the encoder's own if there is none."""

    _: KW_ONLY

    column: str = "text"
    """The column of the texts, which are documents."""

    forms: Sequence[Form] = ("float",)
    """``float``, ``int8``, ``binary`` and ``sparse``. The names of columns of others than ``float`` end with
    the form: ``vector_64_int8``."""

    models: str | Path = "models"
    """Folder of the exported encoders."""

    service: str | None = None
    """The address of a service that embeds, instead of an engine."""

    engine: EngineName = "auto"
    device: str = "auto"

    threads: int = 0
    """Threads of the engine; 0 for all cores."""

    def __post_init__(self) -> None:
        _ = self.outputs

    @cached_property
    def outputs(self) -> tuple[VectorOutput, ...]:
        """The columns that it adds. Raises a ``NestvecError`` for a name that is none."""
        config = parse_model_name(self.encoder)
        return tuple(_outputs(config, tuple(self.dims), tuple(self.forms)))

    def __call__(self, batch: Any) -> Any:
        """The batch with the vectors. Raises RowRejected for a text that is null or empty, NestvecError."""
        if isinstance(batch, Mapping):
            vectors = self.vectors(list(np.asarray(batch[self.column]).tolist()))
            return {**batch, **{name: _objects(values) for name, values in vectors.items()}}
        if isinstance(batch, pa.Table | pa.RecordBatch):
            arrow = _arrow if isinstance(batch, pa.Table) else _spark_arrow
            for name, values in self.vectors(batch.column(self.column).to_pylist()).items():
                batch = batch.append_column(name, arrow(values))
            return batch
        # A Series is to become a data frame.
        frame = batch.to_frame(self.column) if hasattr(batch, "to_frame") else batch
        vectors = self.vectors(frame[self.column].tolist())
        with_vectors = frame.assign(**{name: list(values) for name, values in vectors.items()})
        return with_vectors if frame is batch else with_vectors[list(vectors)]

    def vectors(self, texts: Sequence[Any]) -> dict[str, Any]:
        """The columns of n texts: (n, dim) arrays, or mappings of ids to weights of a sparse encoder."""
        for position, text in enumerate(texts):
            if not isinstance(text, str) or not text:
                raise RowRejected(
                    f"row {position} of the batch has no text in column {self.column}",
                    value=_no_text(text),
                    next_step="Filter such rows out before.",
                )
        # An empty batch has columns of the same types as others.
        embedded = self._engine().embed(texts or ["empty"], self.outputs)
        if embedded.failed:
            position, error = next(iter(embedded.failed.items()))
            raise error.reworded(cause=f"row {position} of the batch: {error.cause}")
        return {name: values[: len(texts)] for name, values in embedded.columns.items()}

    def _engine(self) -> TextEmbedding:
        if self.service is not None:
            return ServiceEmbedding(self.service)
        options = EngineOptions(self.engine, threads=self.threads, device=self.device)
        return _open(str(self.models), self.outputs[0].config.encoder, options)


@lru_cache(maxsize=4)
def _open(models: str, encoder: str, options: EngineOptions) -> EngineEmbedding:
    """The engine of this process."""
    names = (encoder,) if encoder else ()
    return EngineEmbedding(Path(models), names, options)


def _outputs(config: EmbeddingConfig, dims: tuple[int, ...], forms: tuple[Form, ...]) -> list[VectorOutput]:
    outputs = []
    for form in forms:
        for dim in (None,) if form == "sparse" or not dims else dims:
            parts = ["vector", *([] if dim is None else [str(dim)]), *([] if form == "float" else [form])]
            outputs.append(VectorOutput("_".join(parts), replace(config, dim=dim, form=form)))
    return outputs


def _no_text(value: Any) -> str:
    # pandas has NaN for null.
    if value is None or (isinstance(value, float) and value != value):
        return "null"
    return "an empty text" if value == "" else type(value).__name__


def _objects(values: Any) -> Any:
    if not isinstance(values, list):
        return values
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects


def _arrow(values: Any) -> Any:
    if isinstance(values, list):
        kind = pa.map_(pa.int64(), pa.float32())
        return pa.array([list(row.items()) for row in values], kind)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _spark_arrow(values: Any) -> Any:
    """As Spark's ``mapInArrow`` takes it, which has RecordBatches: it has neither lists of a fixed length nor
    unsigned numbers."""
    array = _arrow(values)
    if isinstance(values, list):
        return array
    return array.cast(pa.list_(pa.int16() if values.dtype == np.uint8 else array.type.value_type))
