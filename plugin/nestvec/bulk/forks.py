"""Ray's daemons beside gRPC in one process. Imports nothing, so that it can come first."""

from __future__ import annotations

import os


def allow_forks() -> None:
    """Let this process start Ray after it has used gRPC, as clients of Milvus do.

    gRPC aborts some of the processes that Ray forks before they begin (3 of 100, 9 of 10 starts succeed),
    unless it is told not to follow forks. It reads that when it is imported.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
