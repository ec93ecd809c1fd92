"""Readers of files of rows: JSON lines, JSON arrays, CSV, TSV and Parquet.

They give one row at a time, in memory that does not grow with the file.
"""

from nestvec.datasets.readers.options import ReadOptions
from nestvec.datasets.readers.rows import MAX_ROW_BYTES, CellTypes, RowPosition, SourceRow
from nestvec.datasets.readers.source import FORMATS, RowSource, format_name, open_source
from nestvec.datasets.readers.streams import STDIN

__all__ = [
    "FORMATS",
    "MAX_ROW_BYTES",
    "STDIN",
    "CellTypes",
    "ReadOptions",
    "RowPosition",
    "RowSource",
    "SourceRow",
    "format_name",
    "open_source",
]
