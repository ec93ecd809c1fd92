"""The Triton engine: batches over gRPC to the Triton servers that hold the same model repository."""

from nestvec.engines.triton.engine import TritonEngine
from nestvec.engines.triton.server import MAX_BATCH_SIZE

__all__ = ["MAX_BATCH_SIZE", "TritonEngine"]
