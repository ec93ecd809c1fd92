"""A callable that adds vectors to batches of a table: of Ray Data, of pandas, of Spark through pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property, lru_cache
from numbers import Integral
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import pyarrow as pa

from nestvec.bulk.embedding import EngineEmbedding, ServiceEmbedding, TextEmbedding, VectorOutput
from nestvec.engines.factory import EngineName, EngineOptions
from nestvec_schemas.embedding_config import EmbeddingConfig, Form
from nestvec_schemas.errors import IngestError, RowRejected, nearest
from nestvec_schemas.model_name import parse_model_name

FORMS: Final = get_args(Form)


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
        _check_values("dims", self.dims, Integral, "whole numbers, such as [64, 384]")
        _check_values("forms", self.forms, str, f"some of {', '.join(FORMS)}, such as ['float', 'int8']")
        for name, value, choices in (
            *(("form", form, FORMS) for form in self.forms),
            ("engine", self.engine, get_args(EngineName)),
        ):
            if value not in choices:
                raise IngestError(
                    f"there is no {name} of this name",
                    value=value,
                    next_step=f"Available: {', '.join(choices)}.{nearest(value, choices)}",
                )
        if self.threads < 0:
            raise IngestError(
                "threads is less than 0", value=self.threads, next_step="Write 0 for all cores."
            )
        _ = self.outputs

    @cached_property
    def outputs(self) -> tuple[VectorOutput, ...]:
        """The columns that it adds. Raises a ``NestvecError`` for a name that is none."""
        config = parse_model_name(self.encoder)
        return tuple(_outputs(config, tuple(self.dims), tuple(self.forms)))

    def __call__(self, batch: Any) -> Any:
        """The batch with the vectors.

        Raises RowRejected for a text that is null or empty, IngestError for a batch without the column of the
        texts or with one of the vectors, NestvecError.
        """
        self._check_columns(batch)
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
        # Of the same type without rows, of which pandas would make numbers.
        with_vectors = frame.assign(**{name: _objects(list(values)) for name, values in vectors.items()})
        return with_vectors if frame is batch else with_vectors[list(vectors)]

    def _check_columns(self, batch: Any) -> None:
        if hasattr(batch, "to_frame"):
            return  # a Series, whatever its name
        names = getattr(batch, "column_names", None)
        if names is None:
            # RecordBatches of older versions of Arrow have names in their schema alone.
            names = batch.schema.names if hasattr(batch, "schema") else getattr(batch, "columns", None)
        if names is None and isinstance(batch, Mapping):
            names = batch.keys()
        if names is None:
            raise IngestError(
                "this is no batch of rows",
                value=type(batch).__name__,
                next_step="Pass a mapping of arrays, a data frame, an Arrow table or a RecordBatch; Ray's "
                "map_batches does.",
            )
        columns = [str(name) for name in names]
        if self.column not in columns:
            raise IngestError(
                "the batch has no column of the texts",
                value=self.column,
                next_step=f"Name the column with column=. Columns: {', '.join(columns)}."
                f"{nearest(self.column, columns)}",
            )
        for output in self.outputs:
            if output.name in columns:
                raise IngestError(
                    "the batch has a column of the name of the vectors",
                    value=output.name,
                    next_step="Rename or drop it before.",
                )

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


def _check_values(option: str, values: object, kind: type, expected: str) -> None:
    is_many = isinstance(values, Iterable) and not isinstance(values, str)
    if not is_many or not all(isinstance(value, kind) for value in values):  # type: ignore[attr-defined]
        raise IngestError(
            f"{option} is not a list of {expected.partition(',')[0]}",
            value=values,
            next_step=f"Write {expected}.",
        )


def _no_text(value: Any) -> str:
    # pandas has NaN and NA for null.
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
        return "null"
    return "an empty text" if isinstance(value, str) else type(value).__name__


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
