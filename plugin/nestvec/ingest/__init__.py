"""Write rows into a collection: convert, batch, embed, store; an interrupted file continues where it
stopped."""

from nestvec.ingest.options import DeliveryOptions, IngestOptions, IngestReport
from nestvec.ingest.run import ingest, insert_rows

__all__ = ["DeliveryOptions", "IngestOptions", "IngestReport", "ingest", "insert_rows"]
