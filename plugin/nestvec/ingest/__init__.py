"""Rows into a collection: read, checked, batched, written; an interrupted file goes on where it stopped."""

from nestvec.ingest.run import Options, Report, ingest, insert_rows

__all__ = ["Options", "Report", "ingest", "insert_rows"]
