"""Write rows into a collection: convert, batch, embed, store; an interrupted file continues where it
stopped."""

from nestvec.ingest.run import IngestOptions, IngestReport, ingest, insert_rows

__all__ = ["IngestOptions", "IngestReport", "ingest", "insert_rows"]
