"""Rows into a collection: read, checked, batched, written; an interrupted file goes on where it stopped."""

from nestvec.ingest.run import IngestOptions, IngestReport, ingest, insert_rows

__all__ = ["IngestOptions", "IngestReport", "ingest", "insert_rows"]
